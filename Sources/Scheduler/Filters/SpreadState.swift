import Client
import Kinds
import Machinery
import Tree

/// How many pods like this one each topology domain has, for the constraints that must hold.
struct SpreadState {
    private struct Counted {
        let constraint: SpreadConstraint
        let matchesSelf: Int64
        var perDomain: [String: Int64] = [:]
        /// The emptiest domain; 0 while there are fewer domains than wanted.
        var least: Int64 = 0
    }

    private var counted: [Counted] = []
    var isAsked: Bool { !counted.isEmpty }

    init(_ pod: PodInfo, _ cluster: SchedulingCluster, _ profile: Profile = .standard) {
        let hard = SpreadState.constraints(pod, cluster, profile, hard: true)
        guard !hard.isEmpty else { return }
        counted = hard.map { Counted(constraint: $0, matchesSelf: $0.selector.matches(pod.labels) ? 1 : 0) }
        let counts = hard.map { cluster.counts(of: $0.selector, in: [pod.key.namespace]) }
        for node in cluster.nodes {
            guard hard.allSatisfy({ node.labels[$0.topologyKey] != nil }) else { continue }
            for index in counted.indices where SpreadState.isEligible(node, for: pod, hard[index]) {
                guard let domain = node.labels[hard[index].topologyKey] else { continue }
                counted[index].perDomain[domain, default: 0] += counts[index][node]
            }
        }
        for index in counted.indices where Int64(counted[index].perDomain.count) >= counted[index].constraint.minDomains {
            counted[index].least = counted[index].perDomain.values.min() ?? 0
        }
    }

    /// The pod's own, or where it has none the profile's, which count what its Services and its set select.
    static func constraints(_ pod: PodInfo, _ cluster: SchedulingCluster, _ profile: Profile, hard: Bool) -> [SpreadConstraint] {
        if !pod.spreads.isEmpty { return pod.spreads.filter { $0.isHard == hard } }
        let defaults = profile.defaultSpreads.filter { $0.isHard == hard }
        guard !defaults.isEmpty else { return [] }
        let selector = defaultSelector(pod, cluster)
        return selector.isEverything || selector.matchesNothing ? [] : defaults.map { $0.selecting(selector) }
    }

    private static func defaultSelector(_ pod: PodInfo, _ cluster: SchedulingCluster) -> LabelSelector {
        var labels: [String: String] = [:]
        for selector in cluster.serviceSelectors[pod.key.namespace, default: [:]].values where selector.allSatisfy({ pod.labels[$0.key] == $0.value }) {
            labels.merge(selector) { $1 }
        }
        let services = LabelSelector(equals: labels)
        guard !pod.owner.isEmpty, let owner = cluster.ownerSelectors[pod.owner] else { return services }
        return LabelSelector(services.requirements + owner.requirements)
    }

    static func isEligible(_ node: NodeInfo, for pod: PodInfo, _ constraint: SpreadConstraint) -> Bool {
        if constraint.honorsAffinity, !pod.required.matchesAll, !pod.required.matches(labels: node.labels, name: node.name) { return false }
        if constraint.honorsTaints, node.isForbidding, Tolerations.untolerated(node.taints, by: pod.tolerations, effects: Filters.forbidding) != nil { return false }
        return true
    }

    func refusal(_ node: NodeInfo) -> Refusal? {
        let reason = "node(s) didn't match pod topology spread constraints"
        for entry in counted {
            guard let domain = node.labels[entry.constraint.topologyKey] else { return Refusal(.spread, reason + " (missing required label)") }
            let skew = (entry.perDomain[domain] ?? 0) + entry.matchesSelf - entry.least
            if skew > entry.constraint.maxSkew { return Refusal(.spread, reason, isResolvable: true) }
        }
        return nil
    }
}
