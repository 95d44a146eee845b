package import Client
package import Core
import Kinds
import Machinery
import Schema
import Tree

/// The older object of the same content as EndpointSlices: one a Service, of its first address family, at most a thousand addresses.
package struct Endpoints: Controller {
    package init() {}

    package var name: String { "endpoint-controller" }

    package var triggers: [Trigger] { [.own(.services, indexes: [.namespace]), ServiceSelection.pods, .own(.endpoints)] }

    private static let limit = 1000
    private static let managedBy = "endpoints.kubernetes.io/managed-by"
    private static let overCapacity = "endpoints.kubernetes.io/over-capacity"
    private static let headless = "service.kubernetes.io/headless"

    package func plan(_ key: ObjectKey, _ state: borrowing ClusterState, now: Timestamp) -> Plan {
        let current = state.get(.endpoints, key)
        guard let service = state.get(.services, key) else {
            // Endpoints that this controller made go with their Service; those that people made stay.
            guard let current, current["metadata"]["labels"][Endpoints.managedBy].string == "endpoint-controller" else { return .nothing }
            return Plan([.delete(.endpoints, key, DeleteOptions(uid: current.uid))])
        }
        guard let selector = ServiceSelection.selector(of: service) else { return .nothing }
        var (subsets, isOver) = Endpoints.subsets(service, ServiceSelection.pods(service, selector, state))
        if subsets.isEmpty { isOver = false }
        var wanted = current ?? ["apiVersion": "v1", "kind": "Endpoints", "metadata": ["name": .string(key.name), "namespace": .string(key.namespace)]]
        if Endpoints.sorted(wanted["subsets"].list) != Endpoints.sorted(subsets) { wanted["subsets"] = subsets.isEmpty ? .null : .list(subsets) }
        var labels = service.labels
        labels[Endpoints.headless] = ServiceSelection.hasAddress(service) ? nil : ""
        labels[Endpoints.managedBy] = "endpoint-controller"
        if wanted.labels != labels { wanted["metadata"]["labels"] = Node(labels) }
        if isOver {
            wanted["metadata"]["annotations"][Endpoints.overCapacity] = "truncated"
        } else if wanted.annotations[Endpoints.overCapacity] != nil {
            wanted["metadata"]["annotations"].remove(Endpoints.overCapacity)
        }
        guard let current else { return Plan([.create(.endpoints, wanted)]) }
        return wanted == current ? .nothing : Plan([.update(.endpoints, wanted)])
    }

    private struct Group {
        var ports: [Node]
        var ready: [Node] = []
        var notReady: [Node] = []
    }

    private static func subsets(_ service: Node, _ pods: [Node]) -> (subsets: [Node], isOver: Bool) {
        let publishes = service["spec"]["publishNotReadyAddresses"].bool == true
        let family = service["spec"]["ipFamilies"].list.first?.string
        let isSix = family.map { $0 == "IPv6" } ?? ServiceSelection.isIPv6(service["spec"]["clusterIP"].string ?? "")
        let stated = service["spec"]["ports"].list
        // Ports with the same addresses share a subset.
        var groups: [String: Group] = [:]
        var order: [String] = []
        var count = 0
        for pod in pods {
            let view = PodView(pod)
            guard !view.isTerminal, publishes || !pod.isBeingDeleted, let address = view.addresses.first(where: { ServiceSelection.isIPv6($0) == isSix })
            else { continue }
            let ports: [Node] = stated.compactMap { port in
                guard let number = ServiceSelection.targetPort(port, pod) else { return nil }
                var out: Node = ["port": .int(number), "protocol": .string(port["protocol"].string ?? "TCP")]
                if let name = port["name"].string, !name.isEmpty { out["name"] = .string(name) }
                out["appProtocol"] = port["appProtocol"]
                return out
            }
            if ports.isEmpty, !stated.isEmpty || service["spec"]["clusterIP"].string != "None" { continue }
            count += 1
            if count > limit { continue }
            var entry: Node = ["ip": .string(address)]
            if let hostname = ServiceSelection.hostname(pod, service) { entry["hostname"] = .string(hostname) }
            if !view.nodeName.isEmpty { entry["nodeName"] = .string(view.nodeName) }
            entry["targetRef"] = ServiceSelection.targetReference(pod)
            let key = ports.map { "\($0["name"].string ?? "")|\($0["port"].int ?? 0)|\($0["protocol"].string ?? "")" }.joined(separator: ",")
            if groups[key] == nil { order.append(key) }
            if publishes || view.isReady {
                groups[key, default: Group(ports: ports)].ready.append(entry)
            } else {
                groups[key, default: Group(ports: ports)].notReady.append(entry)
            }
        }
        let subsets = order.compactMap { groups[$0] }.map(subset)
        return (subsets, count > limit)
    }

    private static func subset(_ group: Group) -> Node {
        var out = Node.emptyMap
        if !group.ready.isEmpty { out["addresses"] = .list(byAddress(group.ready)) }
        if !group.notReady.isEmpty { out["notReadyAddresses"] = .list(byAddress(group.notReady)) }
        if !group.ports.isEmpty { out["ports"] = .list(group.ports) }
        return out
    }

    private static func byAddress(_ entries: [Node]) -> [Node] { entries.sorted { ($0["ip"].string ?? "") < ($1["ip"].string ?? "") } }

    /// The same subsets whatever the order they came in.
    private static func sorted(_ subsets: [Node]) -> [Node] {
        subsets.map { subset in
            var out = subset
            for field in ["addresses", "notReadyAddresses"] where out.has(field) { out[field] = .list(byAddress(out[field].list)) }
            return out
        }.sorted { ($0["ports"][0]["port"].int ?? 0, $0["ports"][0]["name"].string ?? "") < ($1["ports"][0]["port"].int ?? 0, $1["ports"][0]["name"].string ?? "") }
    }
}
