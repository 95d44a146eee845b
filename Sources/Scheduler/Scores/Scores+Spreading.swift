import Client
import Core
import Machinery
import Tree

/// Scores that look at the pods there are.
extension Scores {
    private static let hostname = "kubernetes.io/hostname"

    /// The fewer pods alike in a node's domains, the better; small domains weigh less than many.
    func spread(_ nodes: [NodeInfo]) -> [Int64]? {
        let soft = SpreadState.constraints(pod, cluster, profile, hard: false)
        guard !soft.isEmpty else { return nil }
        // Of the built-in constraints a node may lack a label and still be judged by the others.
        let needsAll = !pod.spreads.isEmpty || !profile.spreadsByDefault
        let isIgnored = nodes.map { node in needsAll && !soft.allSatisfy { node.labels[$0.topologyKey] != nil } }
        let judged = isIgnored.count { !$0 }
        var raw = [Double](repeating: 0, count: nodes.count)
        for constraint in soft {
            let counts = cluster.counts(of: constraint.selector, in: [pod.key.namespace])
            let base = Double(constraint.maxSkew - 1)
            if constraint.topologyKey == Scores.hostname {
                let weight = Mathematics.log(Double(judged + 2))
                for (index, node) in nodes.enumerated() where !isIgnored[index] && node.labels[Scores.hostname] != nil {
                    raw[index] += Double(counts[node]) * weight + base
                }
                continue
            }
            var domains: [String: Int64] = [:]
            for (index, node) in nodes.enumerated() where !isIgnored[index] { domains[domain(node, constraint) ?? ""] = 0 }
            if domains.count == 1, domains[""] != nil { continue }
            for node in cluster.nodes {
                let domain = domain(node, constraint) ?? ""
                guard domains[domain] != nil, SpreadState.isEligible(node, for: pod, constraint) else { continue }
                if needsAll, !soft.allSatisfy({ node.labels[$0.topologyKey] != nil }) { continue }
                domains[domain, default: 0] += counts[node]
            }
            let weight = Mathematics.log(Double(domains.count + 2))
            for (index, node) in nodes.enumerated() where !isIgnored[index] {
                if let domain = domain(node, constraint) { raw[index] += Double(domains[domain] ?? 0) * weight + base }
            }
        }
        let rounded = raw.map { Int64($0.rounded()) }
        let scores = rounded.indices.lazy.filter { !isIgnored[$0] }.map { rounded[$0] }
        guard let top = scores.max(), let least = scores.min() else { return nil }
        return rounded.indices.map { isIgnored[$0] ? 0 : top == 0 ? 100 : 100 * (top + least - rounded[$0]) / top }
    }

    private func domain(_ node: NodeInfo, _ constraint: SpreadConstraint) -> String? {
        constraint.topologyKey == "topology.kubernetes.io/zone" ? node.zone : node.labels[constraint.topologyKey]
    }

    /// The nearer to pods it wishes to be near, and that wish to be near it, the better.
    func nearness(_ nodes: [NodeInfo]) -> [Int64]? {
        let hasOwn = !pod.preferredAffinity.isEmpty || !pod.preferredAntiAffinity.isEmpty
        let asksOthers = cluster.preferencePods > 0 && !(profile.ignoresOthersPreferences && !hasOwn)
        guard asksOthers || hasOwn else { return nil }
        var byDomain: [String: [String: Int64]] = [:]
        func add(_ term: AffinityTerm, _ weight: Int64, _ node: NodeInfo) {
            if weight != 0, let value = node.labels[term.topologyKey] { byDomain[term.topologyKey, default: [:]][value, default: 0] += weight }
        }
        for (sign, terms) in [(Int64(1), pod.preferredAffinity), (-1, pod.preferredAntiAffinity)] {
            for (weight, term) in terms {
                let count = PodAffinityState.counting([term], cluster)
                for node in cluster.nodes { add(term, sign * weight * count(node), node) }
            }
        }
        if asksOthers { addOthersWishes(add) }
        guard !byDomain.isEmpty else { return nil }
        let raw = nodes.map { node in byDomain.reduce(Int64(0)) { total, entry in total + (node.labels[entry.key].flatMap { entry.value[$0] } ?? 0) } }
        guard let top = raw.max(), let least = raw.min(), top > least else { return nil }
        return raw.map { ($0 - least) * 100 / (top - least) }
    }

    private func addOthersWishes(_ add: (AffinityTerm, Int64, NodeInfo) -> Void) {
        for node in cluster.nodes where !node.withPreferences.isEmpty {
            for uid in node.withPreferences {
                guard let other = node.pods[uid] else { continue }
                if profile.hardPodAffinityWeight > 0 {
                    for term in other.affinity where term.matches(pod, cluster.namespaceLabels) { add(term, profile.hardPodAffinityWeight, node) }
                }
                if profile.ignoresOthersPreferences { continue }
                for (weight, term) in other.preferredAffinity where term.matches(pod, cluster.namespaceLabels) { add(term, weight, node) }
                for (weight, term) in other.preferredAntiAffinity where term.matches(pod, cluster.namespaceLabels) { add(term, -weight, node) }
            }
        }
    }
}
