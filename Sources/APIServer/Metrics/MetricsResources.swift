import Client
import Core
package import Machinery
import Schema
package import Store
package import Tree

/// metrics.k8s.io: what nodes and pods use now, read-only. Labels are those of the objects, so that selectors work.
package struct MetricsResources: VirtualResource {
    package enum Of: Sendable { case nodes, pods }

    private let source: UsageSource
    private let store: Store
    private let subject: Of

    package init(_ subject: Of, _ source: UsageSource, _ store: Store) {
        self.subject = subject
        self.source = source
        self.store = store
    }

    package func list(_ resource: ServedResource, namespace: String) async throws(APIError) -> [Node] {
        let usage = await source.usage()
        var out: [Node] = []
        switch subject {
        case .nodes:
            for node in usage { if let metrics = try metrics(node, resource) { out.append(metrics) } }
            return out
        case .pods:
            for node in usage {
                for pod in node.pods where namespace.isEmpty || pod.key.namespace == namespace {
                    if let metrics = try metrics(pod, node.time, resource) { out.append(metrics) }
                }
            }
            return out.sorted { ($0.namespace, $0.name) < ($1.namespace, $1.name) }
        }
    }

    /// Nil for what the API no longer has.
    private func metrics(_ node: NodeUsage, _ resource: ServedResource) throws(APIError) -> Node? {
        guard let record = store.get(Key("nodes", name: node.node)) else { return nil }
        var out = head(try record.sharedNode(), node.time, node.window, resource)
        out["usage"] = MetricsResources.amounts(node.usage)
        return out
    }

    private func metrics(_ pod: NodeUsage.Pod, _ time: Timestamp, _ resource: ServedResource) throws(APIError) -> Node? {
        guard let record = store.get(Key("pods", namespace: pod.key.namespace, name: pod.key.name)) else { return nil }
        let object = try record.sharedNode()
        guard object.uid == pod.uid else { return nil }
        var out = head(object, time, pod.window, resource)
        out["containers"] = .list(pod.containers.map { ["name": .string($0.name), "usage": MetricsResources.amounts($0.usage)] })
        return out
    }

    private func head(_ object: Node, _ time: Timestamp, _ window: Duration, _ resource: ServedResource) -> Node {
        var metadata: Node = ["name": .string(object.name)]
        if !object.namespace.isEmpty { metadata["namespace"] = .string(object.namespace) }
        metadata["creationTimestamp"] = .string(Timestamp.now().rfc3339)
        if !object["metadata"]["labels"].isEmpty { metadata["labels"] = object["metadata"]["labels"] }
        let milliseconds = window.components.seconds * 1000 + window.components.attoseconds / 1_000_000_000_000_000
        return [
            "kind": .string(resource.kind), "apiVersion": .string(resource.resource.gvk.apiVersion), "metadata": metadata,
            "timestamp": .string(time.rfc3339), "window": .string(GoDuration.render(milliseconds * 1_000_000)),
        ]
    }

    private static func amounts(_ usage: NodeUsage.Amount) -> Node {
        [
            "cpu": .string(usage.cpuNanocores == 0 ? "0" : "\(usage.cpuNanocores)n"),
            "memory": .string(usage.memoryWorkingSet < 1024 ? "0" : "\(usage.memoryWorkingSet / 1024)Ki"),
        ]
    }
}
