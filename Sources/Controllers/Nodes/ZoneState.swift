import Client
import Core
import Machinery
import Schema
import Tree

/// How a zone's nodes are doing together: where too many are silent at once, the fault is more likely with whom they talk to, and
/// evicting their pods would help nobody.
enum ZoneState: Equatable {
    case normal, partialDisruption, fullDisruption

    private static let threshold = 0.55
    private static let largeZone = 50
    /// Between the evictions of two nodes of a zone; in a large one where many are silent.
    private static let pause: Duration = .seconds(10)
    private static let longPause: Duration = .seconds(100)

    private static func isReady(_ node: Node) -> Bool { node["status"].condition("Ready")?["status"].string == "True" }

    static func key(_ node: Node) -> String {
        let labels = node.labels
        let region = labels["topology.kubernetes.io/region"] ?? labels["failure-domain.beta.kubernetes.io/region"] ?? ""
        let zone = labels["topology.kubernetes.io/zone"] ?? labels["failure-domain.beta.kubernetes.io/zone"] ?? ""
        return "\(region):\0:\(zone)"
    }

    static func of(_ nodes: [Node]) -> ZoneState {
        let ready = nodes.filter(isReady).count
        let silent = nodes.count - ready
        if ready == 0, silent > 0 { return .fullDisruption }
        return silent > 2 && Double(silent) / Double(nodes.count) >= threshold ? .partialDisruption : .normal
    }

    /// What becomes of the taints that evict the pods of a node that is not ready.
    enum Eviction: Equatable {
        case allowed
        /// Those that are there stay; none comes for so long, or, nil, until the zone recovers.
        case later(Duration?)
        /// Not even those that are there: no node anywhere is ready.
        case none
    }

    static func eviction(of node: Node, among nodes: [Node], _ now: Timestamp) -> Eviction {
        let zones = Dictionary(grouping: nodes, by: key)
        if zones.values.allSatisfy({ of($0) == .fullDisruption }) { return .none }
        let zone = zones[key(node)] ?? [node]
        var gap = pause
        if of(zone) == .partialDisruption {
            if zone.count <= largeZone { return .later(nil) }
            gap = longPause
        }
        // One node after the other.
        let last = zone.filter { $0.name != node.name }.flatMap { $0["spec"]["taints"].list }
            .filter { $0["effect"].string == "NoExecute" && [NodeTaints.notReady, NodeTaints.unreachable].contains($0["key"].string ?? "") }
            .compactMap { $0.time("timeAdded") }.max()
        guard let last else { return .allowed }
        let left = (last + gap) - now
        return left > .zero ? .later(left) : .allowed
    }
}
