import Core
import Kinds
import Machinery
import Tree

/// Which pods go first when there are too many (upstream's `ActivePodsWithRanks`): those that would be missed least.
struct VictimRanking {
    private struct Candidate {
        let pod: Node
        let isAssigned: Bool
        let phase: Int
        let isReady: Bool
        let cost: Int64
        let neighbours: Int
        let readySince: Timestamp?
        let restarts: Int64
        let creation: Timestamp?
    }

    private let now: Timestamp
    private let perNode: [String: Int]

    /// `related` are the pods beside which a pod on the same node counts as doubled up.
    init(related: [Node], now: Timestamp) {
        var perNode: [String: Int] = [:]
        for pod in related where PodView(pod).isActive { perNode[PodView(pod).nodeName, default: 0] += 1 }
        self.perNode = perNode
        self.now = now
    }

    func first(_ count: Int, of pods: [Node]) -> [Node] {
        guard count < pods.count else { return pods }
        return Array(pods.map(candidate).sorted(by: goesFirst).prefix(count).map(\.pod))
    }

    private func candidate(_ pod: Node) -> Candidate {
        let view = PodView(pod)
        return Candidate(
            pod: pod, isAssigned: !view.nodeName.isEmpty, phase: ["Pending": 0, "Unknown": 1, "Running": 2][view.phase] ?? 0, isReady: view.isReady,
            cost: view.deletionCost, neighbours: perNode[view.nodeName] ?? 0, readySince: view.readySince, restarts: view.restarts, creation: pod.creation)
    }

    private func goesFirst(_ a: Candidate, _ b: Candidate) -> Bool {
        if a.isAssigned != b.isAssigned { return !a.isAssigned }
        if a.phase != b.phase { return a.phase < b.phase }
        if a.isReady != b.isReady { return !a.isReady }
        if a.cost != b.cost { return a.cost < b.cost }
        if a.neighbours != b.neighbours { return a.neighbours > b.neighbours }
        if a.isReady, let order = younger(a.readySince, b.readySince, a, b) { return order }
        if a.restarts != b.restarts { return a.restarts > b.restarts }
        return younger(a.creation, b.creation, a, b) ?? (a.pod.uid < b.pod.uid)
    }

    /// By the order of magnitude of the age, ties by uid, so that a scale-down spreads over pods of like age. Nil when equal.
    private func younger(_ x: Timestamp?, _ y: Timestamp?, _ a: Candidate, _ b: Candidate) -> Bool? {
        guard x != y else { return nil }
        guard let x, let y else { return x == nil }
        let (i, j) = (magnitude(x), magnitude(y))
        return i == j ? a.pod.uid < b.pod.uid : i < j
    }

    private func magnitude(_ time: Timestamp) -> Int {
        let (seconds, attoseconds) = (now - time).components
        let nanoseconds = seconds * 1_000_000_000 + attoseconds / 1_000_000_000
        return nanoseconds <= 0 ? -1 : 63 - nanoseconds.leadingZeroBitCount
    }
}
