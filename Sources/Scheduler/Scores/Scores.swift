import Kinds
import Machinery
import Tree

/// How well each node that may have a pod suits it: upstream's scores with the profile's weights.
struct Scores {
    /// What one plugin gives each node, 0…100.
    struct Column {
        let score: Score
        let weight: Int64
        let values: [Int64]
    }

    let pod: PodInfo
    let cluster: SchedulingCluster
    let profile: Profile
    private let devices: DeviceState?
    private let preferredNodes: [(weight: Int64, term: NodeSelector.Term)]

    init(_ pod: PodInfo, _ cluster: SchedulingCluster, _ profile: Profile = .standard, devices: DeviceState? = nil) {
        self.pod = pod
        self.devices = devices
        self.profile = profile
        self.cluster = cluster
        let own = pod.node["spec"]["affinity"]["nodeAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"].list
        preferredNodes = own.map { ($0["weight"].int ?? 0, NodeSelector.Term($0["preference"])) } + profile.addedPreferences
    }

    /// One column a plugin that has something to say.
    func columns(_ nodes: [NodeInfo]) -> [Column] {
        Score.allCases.compactMap { score in
            guard let weight = profile.weights[score], weight > 0, let values = values(score, nodes) else { return nil }
            return Column(score: score, weight: weight, values: values)
        }
    }

    /// One total a node, larger is better.
    func totals(_ nodes: [NodeInfo]) -> [Int64] { Scores.totals(columns(nodes), count: nodes.count) }

    static func totals(_ columns: [Column], count: Int) -> [Int64] {
        var totals = [Int64](repeating: 0, count: count)
        for column in columns { for index in totals.indices { totals[index] += column.weight * column.values[index] } }
        return totals
    }

    /// Nil where it would be the same for all.
    private func values(_ score: Score, _ nodes: [NodeInfo]) -> [Int64]? {
        switch score {
        case .fit: return nodes.map(fit)
        case .balanced: return pod.requests.milliCPU == 0 && pod.requests.memory == 0 ? nil : nodes.map(balanced)
        case .images: return pod.images.contains { cluster.imageNodes[$0] != nil } ? nodes.map(images) : nil
        case .taints: return nodes.contains(where: \.isDissuading) ? scaled(nodes.map(intolerable), reversed: true) : nil
        case .affinity: return preferredNodes.isEmpty ? nil : scaled(nodes.map(preference), reversed: false)
        case .spread: return spread(nodes)
        case .podAffinity: return nearness(nodes)
        case .devices: return devices.flatMap { $0.hasAlternatives ? scaled(nodes.map($0.score), reversed: false) : nil }
        }
    }

    /// Raw scores as 0…100 of the largest.
    private func scaled(_ raw: [Int64], reversed: Bool) -> [Int64] {
        let top = raw.max() ?? 0
        return raw.map { value in
            let score = top == 0 ? 0 : value * 100 / top
            return reversed ? 100 - score : score
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
            default: (used, capacity) = Scores.use(of: resource, on: node, with: pod)
            }
            guard capacity > 0 else { continue }
            total += weight * score(used, capacity)
            weights += weight
        }
        return weights == 0 ? 0 : total / weights
    }

    /// What would be used of a resource, and of how much; of what the pod does not ask for, nothing of nothing.
    private static func use(of resource: String, on node: NodeInfo, with pod: PodInfo) -> (Int64, Int64) {
        switch resource {
        case "cpu": return (node.requested.milliCPU + pod.requests.milliCPU, node.allocatable.milliCPU)
        case "memory": return (node.requested.memory + pod.requests.memory, node.allocatable.memory)
        case "ephemeral-storage": return (node.requested.ephemeralStorage + pod.requests.ephemeralStorage, node.allocatable.ephemeralStorage)
        default:
            guard let wanted = pod.requests.others[resource], wanted > 0 else { return (0, 0) }
            return ((node.requested.others[resource] ?? 0) + wanted, node.allocatable.others[resource] ?? 0)
        }
    }

    private func score(_ used: Int64, _ capacity: Int64) -> Int64 {
        switch profile.fitting.strategy {
        case .least: used > capacity ? 0 : (capacity - used) * 100 / capacity
        case .most: used > capacity ? 0 : used * 100 / capacity
        case .ratio: shaped(used > capacity ? 100 : used * 100 / capacity)
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

    /// Prefers nodes whose resources the pod makes fill at the same pace.
    private func balanced(_ node: NodeInfo) -> Int64 {
        var before: [Double] = []
        var after: [Double] = []
        for resource in profile.balancedResources {
            let (used, capacity) = Scores.use(of: resource, on: node, with: pod)
            guard capacity > 0 else { continue }
            let own = resource == "cpu" ? pod.requests.milliCPU : resource == "memory" ? pod.requests.memory
                : resource == "ephemeral-storage" ? pod.requests.ephemeralStorage : pod.requests.others[resource] ?? 0
            after.append(min(Double(used) / Double(capacity), 1))
            before.append(min(Double(used - own) / Double(capacity), 1))
        }
        return 50 + (50 + Scores.evenness(after) - Scores.evenness(before)) / 2
    }

    private static func evenness(_ shares: [Double]) -> Int64 {
        if shares.count == 2 { return Int64((1 - abs((shares[0] - shares[1]) / 2)) * 100) }
        guard shares.count > 2 else { return 100 }
        let mean = shares.reduce(0, +) / Double(shares.count)
        let variance = shares.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(shares.count)
        return Int64((1 - variance.squareRoot()) * 100)
    }

    /// An image counts by its size and by the share of nodes that have it, lest all pods gather where it was first.
    private func images(_ node: NodeInfo) -> Int64 {
        guard !node.imageSizes.isEmpty else { return 0 }
        let size = pod.images.reduce(Int64(0)) { total, image in
            guard let size = node.imageSizes[image], let having = cluster.imageNodes[image] else { return total }
            return total + Int64(Double(size) * Double(having) / Double(max(1, cluster.nodes.count)))
        }
        let least: Int64 = 23 << 20
        let most: Int64 = (1000 << 20) * Int64(max(1, pod.containerCount))
        return 100 * (min(max(size, least), most) - least) / (most - least)
    }

    // MARK: - Wishes

    private func intolerable(_ node: NodeInfo) -> Int64 {
        guard node.isDissuading else { return 0 }
        return node.taints.reduce(0) { total, taint in
            taint["effect"].string == "PreferNoSchedule" && !pod.tolerations.contains { Tolerations.tolerates($0, taint) } ? total + 1 : total
        }
    }

    private func preference(_ node: NodeInfo) -> Int64 {
        preferredNodes.reduce(0) { $1.term.matches(labels: node.labels, name: node.name) ? $0 + $1.weight : $0 }
    }
}
