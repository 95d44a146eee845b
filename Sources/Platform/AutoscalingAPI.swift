import APIServer
import Client
import Controllers
import Machinery
import Schema
import Transport
import Tree

/// What autoscalers ask, answered by this process's API server, and by the servers of metrics that APIServices name.
struct AutoscalingAPI: ScalingSource {
    let catalog: ResourceCatalog
    let client: any ClusterClient
    /// Of other servers; without any, custom metrics are those of this process.
    let aggregation: AggregatedAPIs
    let customMetrics: CustomMetrics
    /// The PodMetrics of a namespace.
    let metrics: @Sendable (String) async throws -> [Node]

    private var targets: ScaleTargets { ScaleTargets(catalog: catalog, client: client) }

    func scale(apiVersion: String, kind: String, namespace: String, name: String) async throws -> Node {
        try await targets.scale(apiVersion: apiVersion, kind: kind, namespace: namespace, name: name)
    }

    func setReplicas(_ replicas: Int64, apiVersion: String, kind: String, namespace: String, name: String) async throws {
        try await targets.setReplicas(replicas, apiVersion: apiVersion, kind: kind, namespace: namespace, name: name)
    }

    func podMetrics(namespace: String) async throws -> [Node] { try await metrics(namespace) }

    // MARK: - Custom metrics

    func podsMetric(_ name: String, namespace: String, pods: LabelSelector, metric: Node) async throws -> [Node] {
        try await custom(namespace, "pods/*/\(name)", "pods.\(customMetrics.group) *", objects: pods.description, series: AutoscalingAPI.series(metric))
    }

    func objectMetric(_ name: String, namespace: String, object: Node, metric: Node) async throws -> Node {
        let kind = object["kind"].string ?? ""
        let group = GroupVersionKind(apiVersion: object["apiVersion"].string ?? "", kind: kind)?.group ?? ""
        let path: String
        if kind == "Namespace", group.isEmpty {
            path = "metrics/\(name)"
        } else {
            guard let resource = catalog.all.first(where: { $0.group == group && $0.kind == kind }) else {
                throw APIError.badRequest("unable to map kind \(group.isEmpty ? kind : "\(kind).\(group)") to resource: no matches for kind \"\(kind)\" in group \"\(group)\"")
            }
            path = "\(group.isEmpty ? resource.plural : "\(resource.plural).\(group)")/\(object["name"].string ?? "")/\(name)"
        }
        let what = path.split(separator: "/").dropLast().joined(separator: ".\(customMetrics.group) ")
        let items = try await custom(namespace, path, what, objects: "", series: AutoscalingAPI.series(metric))
        guard let first = items.first, items.count == 1 else {
            throw APIError.badRequest("the custom metrics API server returned \(items.count) results when we asked for exactly one")
        }
        return first
    }

    private static func series(_ metric: Node) -> String { LabelSelector(object: metric["selector"]).description }

    private func custom(_ namespace: String, _ path: String, _ what: String, objects: String, series: String) async throws -> [Node] {
        let rest = "namespaces/\(namespace)/\(path)"
        if let version = try aggregation.preferredVersion(of: customMetrics.group, known: customMetrics.versions) {
            let groupVersion = GroupVersion(group: customMetrics.group, version: version)
            let query = AutoscalingAPI.query([("labelSelector", objects), ("metricLabelSelector", series)])
            return try await aggregation.metrics(groupVersion, rest + query, what)["items"].list
        }
        let info = RequestInfo(method: "GET", path: "/apis/\(customMetrics.group)/\(customMetrics.versions[0])/\(rest)") { _ in nil }
        return try await customMetrics.answer(info) { $0 == "labelSelector" ? objects : $0 == "metricLabelSelector" ? series : nil }["items"].list
    }

    private static func query(_ items: [(String, String)]) -> String {
        let given = items.filter { !$0.1.isEmpty }.map { "\($0.0)=\(PercentEncoding.encode($0.1))" }
        return given.isEmpty ? "" : "?" + given.joined(separator: "&")
    }

    // MARK: - External metrics

    func externalMetric(_ name: String, namespace: String, metric: Node) async throws -> [Node] {
        let group = "external.metrics.k8s.io"
        guard try aggregation.preferredVersion(of: group, known: ["v1beta1"]) != nil else { throw AggregatedAPIs.nobodyServes("\(name).\(group)") }
        let query = AutoscalingAPI.query([("labelSelector", AutoscalingAPI.series(metric))])
        return try await aggregation.metrics(
            GroupVersion(group: group, version: "v1beta1"), "namespaces/\(namespace)/\(name)\(query)", "\(name).\(group)")["items"].list
    }
}
