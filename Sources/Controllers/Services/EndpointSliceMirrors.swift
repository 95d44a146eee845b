package import Client
package import Core
import Kinds
import Machinery
import Schema
import Tree

/// Repeats in EndpointSlices the Endpoints that people keep for Services without a selector: one slice a set of ports and address
/// family, of at most a thousand addresses.
package struct EndpointSliceMirrors: Controller {
    package init() {}

    package var name: String { "endpointslicemirroring-controller" }
    private static let manager = "endpointslicemirroring-controller.k8s.io"
    private static let limit = 1000
    /// Said of the Endpoints themselves, not of what they hold.
    private static let ownAnnotations = ["endpoints.kubernetes.io/last-change-trigger-time", "kubectl.kubernetes.io/last-applied-configuration"]
    private static let mirrors = ObjectTable.Index("mirrors") { slice in
        let labels = slice["metadata"]["labels"]
        guard labels["endpointslice.kubernetes.io/managed-by"].string == manager, let service = labels["kubernetes.io/service-name"].string else { return [] }
        return ["\(slice.namespace)/\(service)"]
    }

    package var triggers: [Trigger] {
        [
            .own(.endpoints),
            Trigger(.services) { change, _ in
                let had = change.old.map { $0["spec"]["selector"].isEmpty }
                let has = change.new.map { $0["spec"]["selector"].isEmpty }
                return had == has ? [] : [change.key]
            },
            Trigger(.endpointSlices, indexes: [EndpointSliceMirrors.mirrors]) { change, _ in
                [change.old, change.new].compactMap { $0 }.flatMap(EndpointSliceMirrors.mirrors.values).compactMap { text in
                    text.firstIndex(of: "/").map { ObjectKey(String(text[..<$0]), String(text[text.index(after: $0)...])) }
                }
            },
        ]
    }

    package func plan(_ key: ObjectKey, _ state: borrowing ClusterState, now: Timestamp) -> Plan {
        let slices = state[.endpointSlices].objects("mirrors", "\(key.namespace)/\(key.name)").filter { !$0.isBeingDeleted }
            .sorted(by: ClusterState.olderFirst)
        guard let endpoints = state.get(.endpoints, key), EndpointSliceMirrors.isMirrored(endpoints), let service = state.get(.services, key),
            service["spec"]["selector"].isEmpty
        else { return Plan(slices.map(EndpointSliceMirrors.deletion)) }
        var plan = Plan()
        var wanted = EndpointSliceMirrors.wanted(endpoints, &plan)
        var spare: [Node] = []
        for slice in slices {
            let id = EndpointSliceMirrors.identity(slice["addressType"].string ?? "", slice["ports"].list)
            guard let new = wanted.removeValue(forKey: id) else {
                spare.append(slice)
                continue
            }
            if !EndpointSliceMirrors.says(slice, new) { plan.actions.append(.update(.endpointSlices, EndpointSliceMirrors.replaced(slice, new))) }
        }
        for (_, new) in wanted.sorted(by: { $0.key < $1.key }) {
            // A slice that is not needed any more becomes the one that is.
            if let index = spare.firstIndex(where: { $0["addressType"] == new["addressType"] }) {
                plan.actions.append(.update(.endpointSlices, EndpointSliceMirrors.replaced(spare.remove(at: index), new)))
            } else if !endpoints.isBeingDeleted {
                plan.actions.append(.create(.endpointSlices, new))
            }
        }
        plan.actions += spare.map(EndpointSliceMirrors.deletion)
        return plan
    }

    private static func isMirrored(_ endpoints: Node) -> Bool {
        endpoints.labels["endpointslice.kubernetes.io/skip-mirror"] != "true" && endpoints.annotations["control-plane.alpha.kubernetes.io/leader"] == nil
    }

    private static func deletion(_ slice: Node) -> Action {
        .delete(.endpointSlices, ObjectKey(slice.namespace, slice.name), DeleteOptions(uid: slice.uid))
    }

    private static func replaced(_ slice: Node, _ new: Node) -> Node {
        var out = new
        out["metadata"]["name"] = .string(slice.name)
        out["metadata"].remove("generateName")
        for field in ["uid", "resourceVersion", "creationTimestamp"] { out["metadata"][field] = slice["metadata"][field] }
        return out
    }

    private static func says(_ slice: Node, _ new: Node) -> Bool {
        func endpoints(_ slice: Node) -> [String: Node] {
            Dictionary(slice["endpoints"].list.map { ($0["addresses"].stringList.joined(separator: ","), $0) }) { first, _ in first }
        }
        return slice.labels == new.labels && slice.annotations == new.annotations && slice.owners == new.owners && endpoints(slice) == endpoints(new)
    }

    private static func identity(_ family: String, _ ports: [Node]) -> String {
        family + ports.map { "\($0["name"].string ?? "")|\($0["port"].int ?? 0)|\($0["protocol"].string ?? "")|\($0["appProtocol"].string ?? "")" }.sorted()
            .joined(separator: ",")
    }

    // MARK: - Content

    private static func wanted(_ endpoints: Node, _ plan: inout Plan) -> [String: Node] {
        var out: [String: Node] = [:]
        var invalid = 0
        var skipped = 0
        for subset in endpoints["subsets"].list {
            let ports = subset["ports"].list.map { port -> Node in
                var out: Node = ["name": .string(port["name"].string ?? ""), "port": port["port"], "protocol": .string(port["protocol"].string ?? "TCP")]
                out["appProtocol"] = port["appProtocol"]
                return out
            }
            var added = 0
            for (field, isReady) in [("addresses", true), ("notReadyAddresses", false)] {
                for address in subset[field].list {
                    guard let ip = address["ip"].string, let family = family(ip) else {
                        invalid += 1
                        continue
                    }
                    if added == limit {
                        skipped += 1
                        continue
                    }
                    added += 1
                    let id = identity(family, ports)
                    out[id, default: slice(endpoints, family, ports)]["endpoints"].append(endpoint(address, ip, isReady))
                }
            }
        }
        if invalid > 0 {
            let message = "Skipped \(invalid) invalid IP addresses when mirroring to EndpointSlices"
            plan.actions.append(.event(Event(endpoints, .warning, reason: "InvalidIPAddress", message: message)))
        }
        if skipped > 0 {
            let message = "A max of \(limit) addresses can be mirrored to EndpointSlices per Endpoints subset. \(skipped) addresses were skipped"
            plan.actions.append(.event(Event(endpoints, .warning, reason: "TooManyAddressesToMirror", message: message)))
        }
        return out
    }

    private static func family(_ address: String) -> String? {
        if ServiceSelection.isIPv6(address) { return "IPv6" }
        let parts = address.split(separator: ".", omittingEmptySubsequences: false)
        return parts.count == 4 && parts.allSatisfy { UInt8($0) != nil } ? "IPv4" : nil
    }

    private static func endpoint(_ address: Node, _ ip: String, _ isReady: Bool) -> Node {
        var out: Node = ["addresses": [.string(ip)], "conditions": ["ready": .bool(isReady)]]
        for field in ["hostname", "targetRef", "nodeName"] where !address[field].isEmpty { out[field] = address[field] }
        return out
    }

    private static func slice(_ endpoints: Node, _ family: String, _ ports: [Node]) -> Node {
        var labels = endpoints.labels
        labels["kubernetes.io/service-name"] = endpoints.name
        labels["endpointslice.kubernetes.io/managed-by"] = manager
        let annotations = endpoints.annotations.filter { !ownAnnotations.contains($0.key) }
        var metadata: Node = [
            "generateName": .string("\(endpoints.name)-"), "namespace": .string(endpoints.namespace), "labels": Node(labels),
            "ownerReferences": [OwnerReference(controller: endpoints, apiVersion: "v1", kind: "Endpoints").node],
        ]
        if !annotations.isEmpty { metadata["annotations"] = Node(annotations) }
        return [
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "metadata": metadata, "addressType": .string(family), "endpoints": [],
            "ports": .list(ports),
        ]
    }
}
