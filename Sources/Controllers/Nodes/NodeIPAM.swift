package import Client
package import Core
import Machinery
import Schema
import Tree

/// Gives each node a range of pod addresses out of the cluster's. Run it with a parallelism of 1: a range is free when no node
/// that is seen has it.
package struct NodeIPAM: Controller {
    private let base: UInt32
    private let clusterBits: Int
    private let nodeBits: Int

    /// Nil where the text is no IPv4 range that holds ranges of `nodeMaskBits`.
    package init?(clusterCIDR: String, nodeMaskBits: Int = 24) {
        guard let (base, bits) = NodeIPAM.parse(clusterCIDR), bits <= nodeMaskBits, nodeMaskBits <= 30 else { return nil }
        self.base = base
        clusterBits = bits
        nodeBits = nodeMaskBits
    }

    package var name: String { "node-ipam-controller" }
    package var triggers: [Trigger] { [Trigger(.nodes) { change, _ in change.new?["spec"]["podCIDR"].isEmpty == true ? [change.key] : [] }] }

    package func plan(_ key: ObjectKey, _ state: borrowing ClusterState, now: Timestamp) -> Plan {
        guard let node = state.get(.nodes, key), node["spec"]["podCIDR"].isEmpty, !node.isBeingDeleted else { return .nothing }
        var used: Set<UInt32> = []
        for (_, other) in state[.nodes].objects {
            if let text = other["spec"]["podCIDR"].string, let (address, _) = NodeIPAM.parse(text) { used.insert(address >> UInt32(32 - nodeBits)) }
        }
        let first = base >> UInt32(32 - nodeBits)
        guard let free = (first..<(first + (1 << UInt32(nodeBits - clusterBits)))).first(where: { !used.contains($0) }) else {
            return Plan([
                .event(Event(node, reason: "CIDRNotAvailable", message: "Node \(node.name) status is now: CIDRNotAvailable"))
            ], requeueAfter: .seconds(30))
        }
        let cidr = Node.string(NodeIPAM.text(free << UInt32(32 - nodeBits)) + "/\(nodeBits)")
        return Plan([
            .patch(
                .nodes, key, .merge,
                ["metadata": ["resourceVersion": node["metadata"]["resourceVersion"]], "spec": ["podCIDR": cidr, "podCIDRs": [cidr]]])
        ])
    }

    private static func parse(_ text: String) -> (UInt32, Int)? {
        let parts = text.split(separator: "/", omittingEmptySubsequences: false)
        guard parts.count == 2, let bits = Int(parts[1]), (1...32).contains(bits) else { return nil }
        let bytes = parts[0].split(separator: ".", omittingEmptySubsequences: false).compactMap { UInt8($0) }
        guard bytes.count == 4 else { return nil }
        let address = bytes.reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
        return ((address >> UInt32(32 - bits)) << UInt32(32 - bits), bits)
    }

    private static func text(_ address: UInt32) -> String { [24, 16, 8, 0].map { String((address >> $0) & 255) }.joined(separator: ".") }
}
