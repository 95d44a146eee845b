package import Client
package import Core
import Machinery
import Schema
import Tree

/// Keeps an IPAddress for each address that a Service has, and none for those that none has. The Services are the truth: what was
/// deleted or written over is made again, and what is left of a Service that went is removed.
package struct ServiceAddresses: Controller {
    package init() {}
    package var name: String { "service-ip-address-controller" }
    private static let manager = "ipallocator.k8s.io"
    private static let managedBy = "ipaddress.kubernetes.io/managed-by"
    private static let family = "ipaddress.kubernetes.io/ip-family"

    /// Services by the addresses that they have.
    private static let byAddress = ObjectTable.Index("clusterIPs") { ServiceAddresses.addresses($0) }

    /// Keys are those of IPAddresses: the addresses.
    package var triggers: [Trigger] {
        [
            Trigger(.services, indexes: [ServiceAddresses.byAddress]) { change, _ in
                let both = ServiceAddresses.addresses(change.old) + ServiceAddresses.addresses(change.new)
                let isSame = ServiceAddresses.addresses(change.old) == ServiceAddresses.addresses(change.new)
                return isSame ? [] : Set(both).map { ObjectKey("", $0) }
            },
            Trigger(.ipAddresses) { change, _ in
                if change.old != nil, let new = change.new, change.old?["spec"] == new["spec"] { return [] }
                return [change.key]
            },
        ]
    }

    private static func addresses(_ service: Node?) -> [String] {
        guard let spec = service?["spec"] else { return [] }
        let all = spec["clusterIPs"].stringList
        return (all.isEmpty ? [spec["clusterIP"].string].compactMap(\.self) : all).filter { !$0.isEmpty && $0 != "None" }
    }

    package func plan(_ key: ObjectKey, _ state: borrowing ClusterState, now: Timestamp) -> Plan {
        let made = state.get(.ipAddresses, key)
        guard let service = state[.services].objects("clusterIPs", key.name).sorted(by: ClusterState.olderFirst).first else {
            // An address that somebody else keeps for himself is his.
            guard let made, made.labels[ServiceAddresses.managedBy] == ServiceAddresses.manager, !made.isBeingDeleted else { return .nothing }
            return Plan([.delete(.ipAddresses, key, DeleteOptions(uid: made.uid))])
        }
        let parent: Node = ["resource": "services", "namespace": .string(service.namespace), "name": .string(service.name)]
        guard let made else { return Plan([.create(.ipAddresses, address(key.name, parent))]) }
        let spec = made["spec"]["parentRef"]
        let isRight = spec["group"].string ?? "" == "" && ["resource", "namespace", "name"].allSatisfy { spec[$0] == parent[$0] }
        // The spec never changes: what is wrong is made anew.
        return isRight || made.isBeingDeleted ? .nothing : Plan([.delete(.ipAddresses, key, DeleteOptions(uid: made.uid))])
    }

    private func address(_ address: String, _ parent: Node) -> Node {
        [
            "kind": "IPAddress", "apiVersion": "networking.k8s.io/v1",
            "metadata": [
                "name": .string(address),
                "labels": [ServiceAddresses.family: address.contains(":") ? "IPv6" : "IPv4", ServiceAddresses.managedBy: .string(ServiceAddresses.manager)],
            ],
            "spec": ["parentRef": parent],
        ]
    }
}
