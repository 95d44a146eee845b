package import Client
package import Core
import Kinds
import Machinery
package import Schema
import Tree

/// Says in EndpointSlices which pods stand behind a Service: slices of at most a hundred endpoints, one set of slices for each
/// address family and each set of ports, changed as little as may be.
package struct EndpointSlices: Controller {
    package init() {}

    package var name: String { "endpointslice-controller" }
    static let manager = "endpointslice-controller.k8s.io"
    private static let limit = 100
    private static let bySlice = ObjectTable.Index("service") { slice in
        let labels = slice["metadata"]["labels"]
        guard labels["endpointslice.kubernetes.io/managed-by"].string == manager, let service = labels["kubernetes.io/service-name"].string else { return [] }
        return ["\(slice.namespace)/\(service)"]
    }

    package var triggers: [Trigger] {
        [
            .own(.services, indexes: [.namespace]),
            ServiceSelection.pods,
            Trigger(.endpointSlices, indexes: [EndpointSlices.bySlice]) { change, _ in
                [change.old, change.new].compactMap { $0 }.flatMap(EndpointSlices.bySlice.values).compactMap { text in
                    text.firstIndex(of: "/").map { ObjectKey(String(text[..<$0]), String(text[text.index(after: $0)...])) }
                }
            },
            Trigger(.nodes) { change, view in EndpointSlices.services(afterNode: change, view) },
        ]
    }

    package var reads: [(GroupVersionResource, [ObjectTable.Index])] { [(.pods, [.node])] }

    /// A node that came, went or changed its zone concerns the Services of its pods.
    private static func services(afterNode change: ClusterView.Change, _ view: ClusterView) -> [ObjectKey] {
        if let old = change.old, let new = change.new, zone(old) == zone(new) { return [] }
        return view.read { state in
            var keys: Set<ObjectKey> = []
            for pod in state[.pods].objects("node", change.key.name) {
                for service in state[.services].objects("namespace", pod.namespace)
                where ServiceSelection.selector(of: service)?.matches(pod["metadata"]["labels"]) == true {
                    keys.insert(ObjectKey(service.namespace, service.name))
                }
            }
            return Array(keys)
        }
    }

    private static func zone(_ node: Node?) -> String? { node?["metadata"]["labels"]["topology.kubernetes.io/zone"].string.flatMap { $0.isEmpty ? nil : $0 } }

    // MARK: - Plan

    package func plan(_ key: ObjectKey, _ state: borrowing ClusterState, now: Timestamp) -> Plan {
        // The slices of a Service that is gone are the garbage collector's.
        guard let service = state.get(.services, key), let selector = ServiceSelection.selector(of: service) else { return .nothing }
        let pods = ServiceSelection.pods(service, selector, state)
        let slices = state[.endpointSlices].objects("service", "\(key.namespace)/\(key.name)").filter { !$0.isBeingDeleted }
            .sorted(by: ClusterState.olderFirst)
        let families = EndpointSlices.families(service)
        var changes = Changes()
        for slice in slices where !families.contains(slice["addressType"].string ?? "") { changes.deleted.append(slice) }
        for family in families {
            var desired: [String: Desired] = [:]
            for pod in pods { add(pod, service, family, state, to: &desired) }
            reconcile(service, family, desired, slices.filter { $0["addressType"].string == family }, &changes)
        }
        return Plan(changes.actions)
    }

    private struct Desired {
        let ports: [Node]
        var endpoints: [Node] = []
    }

    private struct Changes {
        var created: [Node] = []
        var updated: [Node] = []
        var deleted: [Node] = []
        var actions: [Action] {
            updated.map { .update(.endpointSlices, $0) } + created.map { .create(.endpointSlices, $0) }
                + deleted.map { .delete(.endpointSlices, ObjectKey($0.namespace, $0.name), DeleteOptions(uid: $0.uid)) }
        }
    }

    private static func families(_ service: Node) -> [String] {
        let stated = service["spec"]["ipFamilies"].stringList.filter { $0 == "IPv4" || $0 == "IPv6" }
        if !stated.isEmpty { return stated }
        let address = service["spec"]["clusterIP"].string ?? ""
        return [ServiceSelection.isIPv6(address) ? "IPv6" : "IPv4"]
    }

    private func add(_ pod: Node, _ service: Node, _ family: String, _ state: borrowing ClusterState, to desired: inout [String: Desired]) {
        let view = PodView(pod)
        guard !view.isTerminal, !view.addresses.isEmpty else { return }
        let addresses = view.addresses.filter { ServiceSelection.isIPv6($0) == (family == "IPv6") }
        let publishes = service["spec"]["publishNotReadyAddresses"].bool == true
        let node = state.get(.nodes, "", view.nodeName)
        if addresses.isEmpty || (node == nil && !publishes) { return }
        let ports = EndpointSlices.ports(service, pod)
        var endpoint: Node = [
            "addresses": Node(addresses),
            "conditions": [
                "ready": .bool(publishes || (view.isReady && !pod.isBeingDeleted)), "serving": .bool(view.isReady), "terminating": .bool(pod.isBeingDeleted),
            ],
            "targetRef": ServiceSelection.targetReference(pod),
        ]
        if !view.nodeName.isEmpty { endpoint["nodeName"] = .string(view.nodeName) }
        if let zone = EndpointSlices.zone(node) { endpoint["zone"] = .string(zone) }
        if let hostname = ServiceSelection.hostname(pod, service) { endpoint["hostname"] = .string(hostname) }
        EndpointSlices.hint(&endpoint, service)
        desired[EndpointSlices.portKey(ports), default: Desired(ports: ports)].endpoints.append(endpoint)
    }

    /// Where `trafficDistribution` asks for nearness, each ready endpoint serves its own zone (and node).
    private static func hint(_ endpoint: inout Node, _ service: Node) {
        guard endpoint["conditions"]["ready"].bool == true else { return }
        let wish = service["spec"]["trafficDistribution"].string ?? ""
        guard ["PreferClose", "PreferSameZone", "PreferSameNode"].contains(wish) else { return }
        if let zone = endpoint["zone"].string { endpoint["hints"]["forZones"] = [["name": .string(zone)]] }
        if wish == "PreferSameNode", let node = endpoint["nodeName"].string { endpoint["hints"]["forNodes"] = [["name": .string(node)]] }
    }

    private static func ports(_ service: Node, _ pod: Node) -> [Node] {
        service["spec"]["ports"].list.compactMap { port in
            guard let number = ServiceSelection.targetPort(port, pod) else { return nil }
            var out: Node = ["name": .string(port["name"].string ?? ""), "port": .int(number), "protocol": .string(port["protocol"].string ?? "TCP")]
            out["appProtocol"] = port["appProtocol"]
            return out
        }
    }

    private static func portKey(_ ports: [Node]) -> String {
        ports.map { "\($0["name"].string ?? "")|\($0["port"].int ?? 0)|\($0["protocol"].string ?? "")|\($0["appProtocol"].string ?? "")" }.sorted()
            .joined(separator: ",")
    }

    // MARK: - Packing

    private func reconcile(_ service: Node, _ family: String, _ desired: [String: Desired], _ slices: [Node], _ changes: inout Changes) {
        var byPorts: [String: [Node]] = [:]
        var local = Changes()
        for slice in slices {
            if slice.owners.contains(where: { $0.uid == service.uid && $0.kind == "Service" }) {
                byPorts[EndpointSlices.portKey(slice["ports"].list), default: []].append(slice)
            } else {
                local.deleted.append(slice)
            }
        }
        for (ports, wanted) in desired.sorted(by: { $0.key < $1.key }) {
            pack(wanted, into: byPorts.removeValue(forKey: ports) ?? [], service, family, &local)
        }
        for (_, rest) in byPorts.sorted(by: { $0.key < $1.key }) { local.deleted += rest }
        if slices.count == local.deleted.count, local.created.isEmpty {
            // A Service without endpoints keeps one slice that says so.
            let empty = slice(service, family, ports: [], endpoints: [])
            if local.deleted.count == 1, isPlaceholder(local.deleted[0], empty) { local.deleted = [] } else { local.created.append(empty) }
        }
        changes.created += local.created
        changes.updated += local.updated
        changes.deleted += local.deleted
    }

    private func isPlaceholder(_ slice: Node, _ empty: Node) -> Bool {
        slice["endpoints"].list.isEmpty && slice["ports"].list.isEmpty && slice["metadata"]["labels"] == empty["metadata"]["labels"]
            && slice.owners == empty.owners
    }

    private static func identity(_ endpoint: Node) -> String {
        endpoint["addresses"].stringList.joined(separator: ",") + "|" + (endpoint["targetRef"]["uid"].string ?? "")
    }

    /// Keeps each endpoint in the slice that has it; what is new fills slices that change anyway, then the one it fits best.
    private func pack(_ desired: Desired, into slices: [Node], _ service: Node, _ family: String, _ changes: inout Changes) {
        var waiting = Dictionary(desired.endpoints.map { (EndpointSlices.identity($0), $0) }) { first, _ in first }
        let labels = EndpointSlices.labels(service)
        var touched: [Node] = []
        var untouched: [Node] = []
        var emptied: [Node] = []
        for old in slices {
            let kept = old["endpoints"].list.compactMap { waiting.removeValue(forKey: EndpointSlices.identity($0)) }
            var slice = old
            slice["endpoints"] = .list(kept)
            slice["metadata"]["labels"] = labels
            slice["ports"] = .list(desired.ports)
            if kept.isEmpty { emptied.append(slice) } else if slice["endpoints"] != old["endpoints"] || labels != old["metadata"]["labels"] {
                touched.append(slice)
            } else {
                untouched.append(slice)
            }
        }
        var rest = desired.endpoints.filter { waiting.removeValue(forKey: EndpointSlices.identity($0)) != nil }[...]
        touched.sort { $0["endpoints"].list.count > $1["endpoints"].list.count }
        for index in touched.indices { fill(&touched[index], &rest) }
        while !rest.isEmpty {
            if var slice = emptied.popLast() {
                fill(&slice, &rest)
                touched.append(slice)
            } else if let index = roomiest(untouched, rest.count) {
                var slice = untouched.remove(at: index)
                fill(&slice, &rest)
                touched.append(slice)
            } else {
                var slice = slice(service, family, ports: desired.ports, endpoints: [])
                fill(&slice, &rest)
                changes.created.append(slice)
            }
        }
        changes.updated += touched
        changes.deleted += emptied
    }

    private func fill(_ slice: inout Node, _ rest: inout ArraySlice<Node>) {
        let room = EndpointSlices.limit - slice["endpoints"].list.count
        slice["endpoints"] = .list(slice["endpoints"].list + rest.prefix(room))
        rest = rest.dropFirst(room)
    }

    /// The slice that would be fullest with all of them in it.
    private func roomiest(_ slices: [Node], _ count: Int) -> Int? {
        slices.indices.filter { slices[$0]["endpoints"].list.count + count <= EndpointSlices.limit }
            .max { slices[$0]["endpoints"].list.count < slices[$1]["endpoints"].list.count }
    }

    private func slice(_ service: Node, _ family: String, ports: [Node], endpoints: [Node]) -> Node {
        [
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
            "metadata": [
                "generateName": .string("\(service.name)-"), "namespace": .string(service.namespace), "labels": EndpointSlices.labels(service),
                "ownerReferences": [OwnerReference(controller: service, apiVersion: "v1", kind: "Service").node],
            ],
            "addressType": .string(family), "endpoints": .list(endpoints), "ports": .list(ports),
        ]
    }

    private static func labels(_ service: Node) -> Node {
        var labels = service.labels
        labels["service.kubernetes.io/headless"] = ServiceSelection.hasAddress(service) ? nil : ""
        labels["kubernetes.io/service-name"] = service.name
        labels["endpointslice.kubernetes.io/managed-by"] = manager
        return Node(labels)
    }
}
