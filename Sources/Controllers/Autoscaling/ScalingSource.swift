package import Machinery
package import Tree

/// What horizontal scaling asks of the API beyond stored objects: scales of anything, and metrics from those who serve them.
package protocol ScalingSource: Sendable {
    /// The `autoscaling/v1` Scale of an object of a kind.
    func scale(apiVersion: String, kind: String, namespace: String, name: String) async throws -> Node
    func setReplicas(_ replicas: Int64, apiVersion: String, kind: String, namespace: String, name: String) async throws
    /// All `PodMetrics` of a namespace.
    func podMetrics(namespace: String) async throws -> [Node]
    /// The MetricValues (`custom.metrics.k8s.io`) of a metric that describes pods.
    func podsMetric(_ name: String, namespace: String, pods: LabelSelector, metric: Node) async throws -> [Node]
    /// The one MetricValue of a metric that describes one object.
    func objectMetric(_ name: String, namespace: String, object: Node, metric: Node) async throws -> Node
    /// The ExternalMetricValues (`external.metrics.k8s.io`) of a metric of something outside.
    func externalMetric(_ name: String, namespace: String, metric: Node) async throws -> [Node]
}
