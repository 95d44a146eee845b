import Client
import Core
import Kinds
import Machinery
import Tree

/// Pods of lower priority that are to leave a node so that a pod fits there.
package struct Preemption: Sendable {
    package let node: String
    package let victims: [PodInfo]
    /// How many of them a budget would not let go.
    package let violations: Int
}

/// Finds the node where the least is lost by making room: fewest broken budgets, then the lowest priorities, then the fewest pods.
struct PreemptionSearch {
    /// Why it would not help, in upstream's words.
    struct Fruitless: Error { let message: String }

    private let pod: PodInfo
    private let cluster: SchedulingCluster
    private let volumes: VolumeState
    private let profile: Profile
    private let refusals: [(node: String, refusal: Refusal)]
    private let start: Int
    private let devices: DeviceState?

    /// `start`: at which of the nodes to begin, so that it is not always the same.
    init(
        _ pod: PodInfo, _ cluster: SchedulingCluster, _ volumes: VolumeState, _ profile: Profile, _ refusals: [(node: String, refusal: Refusal)],
        devices: DeviceState? = nil, from start: Int = 0
    ) {
        self.devices = devices
        self.pod = pod
        self.cluster = cluster
        self.volumes = volumes
        self.profile = profile
        self.refusals = refusals
        self.start = start
    }

    /// Whether pods of lower priority are on their way out of the node that the pod was promised.
    static func victimsLeaving(_ pod: PodInfo, _ cluster: SchedulingCluster) -> Bool {
        guard let node = cluster[pod.nominatedNode] else { return false }
        return node.pods.values.contains { $0.isTerminating && $0.priority < pod.priority }
    }

    func candidates() -> Result<[Preemption], Fruitless> {
        if !pod.mayPreempt { return .failure(Fruitless(message: "not eligible due to preemptionPolicy=Never.")) }
        let isLost = refusals.contains { $0.node == pod.nominatedNode && !$0.refusal.isResolvable }
        if !pod.nominatedNode.isEmpty, !isLost, PreemptionSearch.victimsLeaving(pod, cluster) {
            return .failure(Fruitless(message: "not eligible due to a terminating pod on the nominated node."))
        }
        let helpable = refusals.filter(\.refusal.isResolvable)
        var reasons = [[String]](repeating: ["Preemption is not helpful for scheduling"], count: refusals.count - helpable.count)
        var candidates: [Preemption] = []
        let enough = profile.preemptionReach.nodes(of: helpable.count)
        for step in helpable.indices {
            guard let node = cluster[helpable[(start + step) % helpable.count].node] else { continue }
            switch victims(node) {
            case .success(let candidate): candidates.append(candidate)
            case .failure(let why): reasons.append(why.reasons)
            }
            if candidates.count >= enough, candidates.contains(where: { $0.violations == 0 }) { break }
        }
        if !candidates.isEmpty { return .success(candidates) }
        return .failure(Fruitless(message: "0/\(refusals.count) nodes are available: \(SchedulerCore.histogram(reasons))."))
    }

    private struct Vain: Error { let reasons: [String] }

    /// All lower ones away first; then, the dearest first, those come back that leave room.
    private func victims(_ node: NodeInfo) -> Result<Preemption, Vain> {
        let lower = node.pods.values.filter { $0.priority < pod.priority }
        guard !lower.isEmpty else { return .failure(Vain(reasons: ["No preemption victims found for incoming pod"])) }
        let emptied = node.supposed()
        for other in lower { emptied.remove(uid: other.uid) }
        if let refusal = refusal(emptied) { return .failure(Vain(reasons: refusal.reasons)) }
        let (violating, harmless) = split(lower.sorted(by: PreemptionSearch.isDearer))
        var victims: [PodInfo] = []
        var violations = 0
        for (group, counts) in [(violating, true), (harmless, false)] {
            for other in group {
                emptied.add(other)
                if refusal(emptied) == nil { continue }
                emptied.remove(uid: other.uid)
                victims.append(other)
                if counts { violations += 1 }
            }
        }
        guard !victims.isEmpty else { return .failure(Vain(reasons: ["No preemption victims found for incoming pod"])) }
        return .success(Preemption(node: node.name, victims: victims.sorted(by: PreemptionSearch.isDearer), violations: violations))
    }

    /// Room that others were promised is none.
    private func refusal(_ node: NodeInfo) -> Refusal? {
        for state in [cluster.node(node, withNominatedFor: pod), node].compactMap(\.self) {
            if let refusal = Filters(pod, cluster.replacing(state), volumes: volumes, profile, devices: devices).refusal(state) { return refusal }
        }
        return nil
    }

    private static func isDearer(_ a: PodInfo, _ b: PodInfo) -> Bool {
        a.priority != b.priority ? a.priority > b.priority : start(a) < start(b)
    }

    private static func start(_ pod: PodInfo) -> Timestamp {
        pod.node["status"]["startTime"].string.flatMap { Timestamp(rfc3339: $0) } ?? pod.creation
    }

    /// Those whose eviction a budget does not allow any more, and the others.
    private func split(_ pods: [PodInfo]) -> (violating: [PodInfo], harmless: [PodInfo]) {
        if cluster.budgets.isEmpty { return ([], pods) }
        var left = cluster.budgets.mapValues { $0["status"]["disruptionsAllowed"].int ?? 0 }
        var violating: [PodInfo] = []
        var harmless: [PodInfo] = []
        for pod in pods {
            var violates = false
            for (key, budget) in cluster.budgets where key.namespace == pod.key.namespace && !pod.labels.isEmpty {
                let selector = LabelSelector(object: budget["spec"]["selector"])
                guard selector.matches(pod.labels), budget["status"]["disruptedPods"][pod.key.name].isNull else { continue }
                left[key, default: 0] -= 1
                if left[key, default: 0] < 0 { violates = true }
            }
            if violates { violating.append(pod) } else { harmless.append(pod) }
        }
        return (violating, harmless)
    }

    static func best(_ candidates: [Preemption]) -> Preemption? { candidates.min(by: isBetter) }

    private static func isBetter(_ a: Preemption, _ b: Preemption) -> Bool {
        if a.violations != b.violations { return a.violations < b.violations }
        guard let x = a.victims.first?.priority, let y = b.victims.first?.priority else { return a.victims.count < b.victims.count }
        if x != y { return x < y }
        func sum(_ candidate: Preemption) -> Int64 { candidate.victims.reduce(0) { $0 + $1.priority + Int64(Int32.max) + 1 } }
        if sum(a) != sum(b) { return sum(a) < sum(b) }
        if a.victims.count != b.victims.count { return a.victims.count < b.victims.count }
        func earliest(_ candidate: Preemption) -> Timestamp? {
            candidate.victims.filter { $0.priority == candidate.victims[0].priority }.map(start).min()
        }
        if let i = earliest(a), let j = earliest(b), i != j { return i > j }
        return a.node < b.node
    }
}
