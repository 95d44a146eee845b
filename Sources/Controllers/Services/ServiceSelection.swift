import Client
import Core
import Kinds
import Machinery
import Schema
import Tree

/// Which Services a pod stands behind, and what of a pod matters to them: shared by EndpointSlices and Endpoints.
enum ServiceSelection {
    static let pods = Trigger(.pods, indexes: [.namespace]) { change, view in
        if let old = change.old, let new = change.new, facet(old) == facet(new) { return [] }
        let labels = [change.old, change.new].compactMap { $0?["metadata"]["labels"] }
        return view.read { state in
            state[.services].objects("namespace", change.key.namespace)
                .filter { service in
                    guard let selector = selector(of: service) else { return false }
                    return labels.contains { selector.matches($0) }
                }
                .map { ObjectKey($0.namespace, $0.name) }
        }
    }

    /// Nil for a Service whose endpoints are somebody else's business.
    static func selector(of service: Node) -> LabelSelector? {
        guard service["spec"]["type"].string != "ExternalName", !service["spec"]["selector"].isEmpty else { return nil }
        return LabelSelector(equals: service["spec"]["selector"].stringMap)
    }

    /// What of a pod shows in endpoints.
    private static func facet(_ pod: Node) -> [Node] {
        let view = PodView(pod)
        return [
            pod["metadata"]["labels"], pod["metadata"]["deletionTimestamp"], .bool(view.isReady), .bool(view.isTerminal), Node(view.addresses),
            pod["spec"]["nodeName"], pod["spec"]["hostname"], pod["spec"]["subdomain"],
        ]
    }

    static func pods(_ service: Node, _ selector: LabelSelector, _ state: borrowing ClusterState) -> [Node] {
        state.inNamespace(.pods, service.namespace).filter { selector.matches($0["metadata"]["labels"]) }
    }

    static func targetReference(_ pod: Node) -> Node {
        ["kind": "Pod", "namespace": .string(pod.namespace), "name": .string(pod.name), "uid": .string(pod.uid)]
    }

    static func hostname(_ pod: Node, _ service: Node) -> String? {
        guard let hostname = pod["spec"]["hostname"].string, !hostname.isEmpty, pod["spec"]["subdomain"].string == service.name else { return nil }
        return hostname
    }

    /// The pod's port behind a Service port; nil where it has none of that name.
    static func targetPort(_ port: Node, _ pod: Node) -> Int64? {
        let target = port["targetPort"]
        if let number = target.int { return number == 0 ? port["port"].int : number }
        guard let name = target.string, !name.isEmpty else { return port["port"].int }
        return PodView(pod).port(named: name, protocol: port["protocol"].string ?? "TCP")
    }

    static func hasAddress(_ service: Node) -> Bool {
        let address = service["spec"]["clusterIP"].string ?? ""
        return !address.isEmpty && address != "None"
    }

    static func isIPv6(_ address: String) -> Bool { address.utf8.contains(UInt8(ascii: ":")) }
}
