import Kinds
import Machinery
import Tree

/// How well each node that may have a pod suits it: upstream's default scores with their weights.
struct Scores {
    private let pod: PodInfo
    private let cluster: SchedulingCluster
    private let profile: Profile
    private let preferredNodes: [(weight: Int64, term: NodeSelector.Term)]

    init(_ pod: PodInfo, _ cluster: SchedulingCluster, _ profile: Profile = .standard) {
        self.pod = pod
        self.profile = profile
        self.cluster = cluster
        preferredNodes = pod.node["spec"]["affinity"]["nodeAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"].list.map {
            ($0["weight"].int ?? 0, NodeSelector.Term($0["preference"]))
        }
    }

    /// One total a node, larger is better.
    func totals(_ nodes: [NodeInfo]) -> [Int64] {
        var totals = [Int64](repeating: 0, count: nodes.count)
        for (score, weight) in profile.weights where weight > 0 {
            switch score {
            case .fit: for index in nodes.indices { totals[index] += weight * fit(nodes[index]) }
            case .balanced: for index in nodes.indices { totals[index] += weight * balanced(nodes[index]) }
            case .images: for index in nodes.indices { totals[index] += weight * images(nodes[index]) }
            case .taints: add(weight, nodes.map(intolerable), reversed: true, to: &totals)
            case .affinity: if !preferredNodes.isEmpty { add(weight, nodes.map(preference), reversed: false, to: &totals) }
            case .spread: if let spread = spread(nodes) { for index in totals.indices { totals[index] += weight * spread[index] } }
            case .podAffinity: if let near = nearness(nodes) { for index in totals.indices { totals[index] += weight * near[index] } }
            }
        }
        return totals
    }

    /// Scales raw scores to 0…100 of the largest.
    private func add(_ weight: Int64, _ raw: [Int64], reversed: Bool, to totals: inout [Int64]) {
        let top = raw.max() ?? 0
        for index in totals.indices {
            let score = top == 0 ? 0 : raw[index] * 100 / top
            totals[index] += weight * (reversed ? 100 - score : score)
        }
    }

    // MARK: - Resources

    private func fit(_ node: NodeInfo) -> Int64 {
        var (total, weights) = (Int64(0), Int64(0))
        for (resource, weight) in profile.fitting.weights {
            let (used, capacity): (Int64, Int64)
            switch resource {
            case "cpu": (used, capacity) = (node.scoredRequested.milliCPU + pod.scoredRequests.milliCPU, node.allocatable.milliCPU)
            case "memory": (used, capacity) = (node.scoredRequested.memory + pod.scoredRequests.memory, node.allocatable.memory)
            case "ephemeral-storage":
                (used, capacity) = (node.requested.ephemeralStorage + pod.requests.ephemeralStorage, node.allocatable.ephemeralStorage)
            default:
                // What the pod does not ask for does not speak for or against a node.
                guard let wanted = pod.requests.others[resource], wanted > 0 else { continue }
                (used, capacity) = ((node.requested.others[resource] ?? 0) + wanted, node.allocatable.others[resource] ?? 0)
            }
            total += weight * score(used, capacity)
            weights += weight
        }
        return weights == 0 ? 0 : total / weights
    }

    private func score(_ used: Int64, _ capacity: Int64) -> Int64 {
        switch profile.fitting.strategy {
        case .least: capacity <= 0 || used > capacity ? 0 : (capacity - used) * 100 / capacity
        case .most: capacity <= 0 || used > capacity ? 0 : used * 100 / capacity
        case .ratio: shaped(capacity <= 0 || used > capacity ? 100 : used * 100 / capacity)
        }
    }

    /// Between the points of the shape along straight lines.
    private func shaped(_ use: Int64) -> Int64 {
        let shape = profile.fitting.shape
        guard let first = shape.first, let last = shape.last else { return 0 }
        if use <= first.use { return first.score * 10 }
        for (a, b) in zip(shape, shape.dropFirst()) where use <= b.use { return (a.score * 10) + (b.score - a.score) * 10 * (use - a.use) / max(1, b.use - a.use) }
        return last.score * 10
    }

    /// Prefers nodes whose CPU and memory fill at the same pace.
    private func balanced(_ node: NodeInfo) -> Int64 {
        func share(_ used: Int64, _ capacity: Int64) -> Double? { capacity > 0 ? min(Double(used) / Double(capacity), 1) : nil }
        let shares = [
            share(node.requested.milliCPU + pod.requests.milliCPU, node.allocatable.milliCPU),
            share(node.requested.memory + pod.requests.memory, node.allocatable.memory),
        ].compactMap { $0 }
        guard shares.count == 2 else { return 100 }
        return Int64((1 - abs(shares[0] - shares[1]) / 2) * 100)
    }

    private func images(_ node: NodeInfo) -> Int64 {
        guard !node.imageSizes.isEmpty, !pod.images.isEmpty else { return 0 }
        let size = pod.images.reduce(Int64(0)) { $0 + (node.imageSizes[$1] ?? node.imageSizes[$1 + ":latest"] ?? 0) }
        let least: Int64 = 23 << 20
        let most: Int64 = (1000 << 20) * Int64(pod.images.count)
        return 100 * (min(max(size, least), most) - least) / (most - least)
    }

    // MARK: - Wishes

    private func intolerable(_ node: NodeInfo) -> Int64 {
        guard !node.taints.isEmpty else { return 0 }
        return node.taints.reduce(0) { total, taint in
            taint["effect"].string == "PreferNoSchedule" && !pod.tolerations.contains { Tolerations.tolerates($0, taint) } ? total + 1 : total
        }
    }

    private func preference(_ node: NodeInfo) -> Int64 {
        preferredNodes.reduce(0) { $1.term.matches(labels: node.labels, name: node.name) ? $0 + $1.weight : $0 }
    }

    // MARK: - Spreading

    private func spread(_ nodes: [NodeInfo]) -> [Int64]? {
        let soft = pod.spreads.filter { !$0.isHard }
        var raw = [Double](repeating: 0, count: nodes.count)
        if !soft.isEmpty {
            for constraint in soft {
                var perDomain: [String: Int64] = [:]
                for name in cluster.names {
                    guard let node = cluster[name], let domain = node.labels[constraint.topologyKey], SpreadState.isEligible(node, for: pod, constraint)
                    else { continue }
                    perDomain[domain, default: 0] += SpreadState.count(node, pod, constraint)
                }
                for (index, node) in nodes.enumerated() { raw[index] += Double(node.labels[constraint.topologyKey].map { perDomain[$0] ?? 0 } ?? 0) }
            }
        } else if pod.spreads.isEmpty, !pod.owner.isEmpty {
            // Where a pod does not say, those of one controller spread over nodes, and more weakly over zones.
            let zone = "topology.kubernetes.io/zone"
            var perZone: [String: Int64] = [:]
            for name in cluster.names { if let node = cluster[name], let value = node.labels[zone] { perZone[value, default: 0] += node.byOwner[pod.owner] ?? 0 } }
            for (index, node) in nodes.enumerated() {
                raw[index] = Double(node.byOwner[pod.owner] ?? 0) + (node.labels[zone].map { Double(perZone[$0] ?? 0) } ?? 0) / Double(max(1, cluster.names.count))
            }
        } else {
            return nil
        }
        guard let top = raw.max(), let least = raw.min(), top > 0 else { return raw.map { _ in 100 } }
        return raw.map { Int64((top + least - $0) * 100 / top) }
    }

    private func nearness(_ nodes: [NodeInfo]) -> [Int64]? {
        guard cluster.preferencePods > 0 || !pod.preferredAffinity.isEmpty || !pod.preferredAntiAffinity.isEmpty else { return nil }
        var byDomain: [String: [String: Int64]] = [:]
        func add(_ term: AffinityTerm, _ weight: Int64, _ node: NodeInfo) {
            if let value = node.labels[term.topologyKey] { byDomain[term.topologyKey, default: [:]][value, default: 0] += weight }
        }
        let hasOwn = !pod.preferredAffinity.isEmpty || !pod.preferredAntiAffinity.isEmpty
        for name in cluster.names {
            guard let node = cluster[name] else { continue }
            if hasOwn {
                for other in node.pods.values {
                    for (weight, term) in pod.preferredAffinity where term.matches(other, cluster.namespaceLabels) { add(term, weight, node) }
                    for (weight, term) in pod.preferredAntiAffinity where term.matches(other, cluster.namespaceLabels) { add(term, -weight, node) }
                }
            }
            for uid in node.withPreferences {
                guard let other = node.pods[uid] else { continue }
                for term in other.affinity where term.matches(pod, cluster.namespaceLabels) { add(term, profile.hardPodAffinityWeight, node) }
                for (weight, term) in other.preferredAffinity where term.matches(pod, cluster.namespaceLabels) { add(term, weight, node) }
                for (weight, term) in other.preferredAntiAffinity where term.matches(pod, cluster.namespaceLabels) { add(term, -weight, node) }
            }
        }
        guard !byDomain.isEmpty else { return nil }
        let raw = nodes.map { node in byDomain.reduce(Int64(0)) { total, entry in total + (node.labels[entry.key].flatMap { entry.value[$0] } ?? 0) } }
        guard let top = raw.max(), let least = raw.min(), top > least else { return nil }
        return raw.map { ($0 - least) * 100 / (top - least) }
    }
}
