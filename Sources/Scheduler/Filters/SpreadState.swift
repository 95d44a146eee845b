import Client
import Kinds
import Machinery
import Tree

/// How many pods like this one each topology domain has, for the constraints that must hold.
struct SpreadState: Sendable {
    private struct Counted: Sendable {
        let constraint: SpreadConstraint
        let matchesSelf: Int64
        var perDomain: [String: Int64] = [:]

        /// The emptiest domain; 0 while there are fewer domains than wanted.
        var least: Int64 {
            Int64(perDomain.count) < constraint.minDomains ? 0 : perDomain.values.min() ?? 0
        }
    }

    private var counted: [Counted] = []

    init(_ pod: PodInfo, _ cluster: SchedulingCluster) {
        let hard = pod.spreads.filter(\.isHard)
        guard !hard.isEmpty else { return }
        counted = hard.map { Counted(constraint: $0, matchesSelf: $0.selector.matches(pod.labels) ? 1 : 0) }
        for name in cluster.names {
            guard let node = cluster[name], hard.allSatisfy({ node.labels[$0.topologyKey] != nil }) else { continue }
            for index in counted.indices where SpreadState.isEligible(node, for: pod, hard[index]) {
                guard let domain = node.labels[hard[index].topologyKey] else { continue }
                counted[index].perDomain[domain, default: 0] += SpreadState.count(node, pod, hard[index])
            }
        }
    }

    static func isEligible(_ node: NodeInfo, for pod: PodInfo, _ constraint: SpreadConstraint) -> Bool {
        if constraint.honorsAffinity, !pod.required.matches(labels: node.labels, name: node.name) { return false }
        if constraint.honorsTaints, Tolerations.untolerated(node.taints, by: pod.tolerations, effects: ["NoSchedule", "NoExecute"]) != nil { return false }
        return true
    }

    static func count(_ node: NodeInfo, _ pod: PodInfo, _ constraint: SpreadConstraint) -> Int64 {
        node.pods.values.reduce(0) { total, other in
            !other.isTerminating && other.key.namespace == pod.key.namespace && constraint.selector.matches(other.labels) ? total + 1 : total
        }
    }

    func refusal(_ pod: PodInfo, _ node: NodeInfo) -> Refusal? {
        let reason = "node(s) didn't match pod topology spread constraints"
        for entry in counted {
            guard let domain = node.labels[entry.constraint.topologyKey] else { return Refusal(.spread, reason + " (missing required label)") }
            let skew = (entry.perDomain[domain] ?? 0) + entry.matchesSelf - entry.least
            if skew > entry.constraint.maxSkew { return Refusal(.spread, reason, isResolvable: true) }
        }
        return nil
    }
}
