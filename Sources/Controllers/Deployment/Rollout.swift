import Client
import Core
import Kinds
import Machinery
import Schema
import Tree

/// One look at a Deployment and its sets: collects the changes to make, each object written once at the end.
struct Rollout {
    static let revision = "deployment.kubernetes.io/revision"
    static let history = "deployment.kubernetes.io/revision-history"
    static let desired = "deployment.kubernetes.io/desired-replicas"
    static let maximum = "deployment.kubernetes.io/max-replicas"
    static let hashLabel = "pod-template-hash"

    let original: Node
    let now: Timestamp
    /// With the annotations and status that will be written.
    var deployment: Node
    /// By name, as they will be written.
    var sets: [String: Node]
    private let before: [String: Node]
    var newName: String?
    /// Oldest first.
    var oldNames: [String] = []
    var created: Node?
    var events: [Event] = []
    var deleted: [Node] = []
    var requeueAfter: Duration?

    init(_ deployment: Node, _ sets: [Node], now: Timestamp) {
        original = deployment
        self.deployment = deployment
        self.now = now
        self.sets = Dictionary(sets.map { ($0.name, $0) }) { first, _ in first }
        before = self.sets
        let ordered = sets.sorted(by: ClusterState.olderFirst)
        newName = ordered.first { Rollout.sameTemplate($0["spec"]["template"], deployment["spec"]["template"]) }?.name
        oldNames = ordered.map(\.name).filter { $0 != newName }
    }

    // MARK: - Reading

    var new: Node? { newName.flatMap { sets[$0] } }
    var old: [Node] { oldNames.compactMap { sets[$0] } }
    var all: [Node] { old + (new.map { [$0] } ?? []) }
    var activeOld: [Node] { old.filter { Rollout.replicas($0) > 0 } }
    var wanted: Int64 { deployment["spec"]["replicas"].int ?? 1 }
    var isRolling: Bool { deployment["spec"]["strategy"]["type"].string != "Recreate" }

    static func replicas(_ set: Node) -> Int64 { set["spec"]["replicas"].int ?? 1 }
    static func available(_ set: Node) -> Int64 { set["status"]["availableReplicas"].int ?? 0 }
    static func total(_ sets: [Node]) -> Int64 { sets.reduce(0) { $0 + replicas($1) } }

    static func sameTemplate(_ a: Node, _ b: Node) -> Bool { bare(a) == bare(b) }

    private static func bare(_ template: Node) -> Node {
        guard template["metadata"]["labels"].has(hashLabel) else { return template }
        var copy = template
        copy["metadata"]["labels"].remove(hashLabel)
        if copy["metadata"]["labels"].isEmpty { copy["metadata"].remove("labels") }
        return copy
    }

    static func progressDeadline(_ deployment: Node) -> Int64? {
        deployment["spec"]["progressDeadlineSeconds"].int.flatMap { $0 == Int64(Int32.max) ? nil : $0 }
    }

    private var fenceposts: (surge: Int64, unavailable: Int64) {
        let rolling = deployment["spec"]["strategy"]["rollingUpdate"]
        let surge = IntOrPercent.resolve(rolling["maxSurge"], of: wanted, roundUp: true) ?? 0
        let unavailable = IntOrPercent.resolve(rolling["maxUnavailable"], of: wanted, roundUp: false) ?? 0
        return surge == 0 && unavailable == 0 ? (0, 1) : (surge, unavailable)
    }
    var maxSurge: Int64 { isRolling ? fenceposts.surge : 0 }
    var maxUnavailable: Int64 { !isRolling || wanted == 0 ? 0 : min(fenceposts.unavailable, wanted) }

    static func annotatedCount(_ set: Node, _ key: String) -> Int64? {
        guard let text = set.annotations[key], let value = Int64(text), value >= 0, value <= Int64(Int32.max) else { return nil }
        return value
    }

    static func revision(of object: Node) -> Int64 { object.annotations[revision].flatMap { Int64($0) } ?? 0 }

    // MARK: - Scaling

    /// Returns whether the size changed.
    @discardableResult
    mutating func scale(_ set: Node, to size: Int64, always: Bool = false) -> Bool {
        let old = Rollout.replicas(set)
        guard always || old != size, var copy = sets[set.name] else { return false }
        copy["spec"]["replicas"] = .int(size)
        annotateSizes(&copy)
        sets[set.name] = copy
        guard old != size else { return false }
        say("Scaled \(old < size ? "up" : "down") replica set \(set.name) from \(old) to \(size)")
        return true
    }

    func annotateSizes(_ set: inout Node) {
        set["metadata"]["annotations"][Rollout.desired] = .string("\(wanted)")
        set["metadata"]["annotations"][Rollout.maximum] = .string("\(wanted + maxSurge)")
    }

    mutating func say(_ message: String) { events.append(Event(original, reason: "ScalingReplicaSet", message: message)) }

    // MARK: - Outcome

    /// The writes: sets first, then the Deployment's status with what it says of them.
    func actions() -> [Action] {
        var actions: [Action] = []
        if let created { actions.append(.create(.replicaSets, created)) }
        for (name, set) in sets.sorted(by: { $0.key < $1.key }) where name != created?.name && set != before[name] {
            actions.append(.update(.replicaSets, set))
        }
        actions += events.map(Action.event)
        actions += deleted.map { .delete(.replicaSets, ObjectKey($0.namespace, $0.name), DeleteOptions(uid: $0.uid)) }
        if deployment != original { actions.append(.updateStatus(.deployments, deployment)) }
        return actions
    }
}
