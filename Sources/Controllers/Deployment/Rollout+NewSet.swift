import Client
import Core
import Kinds
import Machinery
import Tree

extension Rollout {
    /// Annotations that belong to the object they are on.
    private static let uncopied: Set<String> = [
        "kubectl.kubernetes.io/last-applied-configuration", revision, history, desired, maximum, "deprecated.deployment.rollback.to",
    ]

    /// Brings the annotations of the set of the present template up to date; makes that set where there is none and `create`.
    mutating func findNewSet(create: Bool) {
        let revision = (old.map(Rollout.revision).max() ?? 0) + 1
        if var set = new {
            annotate(&set, revision: revision)
            set["spec"].setCount("minReadySeconds", deployment["spec"]["minReadySeconds"].int ?? 0)
            sets[set.name] = set
            if let text = set.annotations[Rollout.revision] { setRevision(text) }
            if Rollout.progressDeadline(deployment) != nil, deployment["status"].condition("Progressing") == nil {
                progress("True", "FoundNewReplicaSet", "Found new replica set \"\(set.name)\"")
            }
            return
        }
        guard create else { return }
        let set = newSet(revision: revision)
        created = set
        newName = set.name
        sets[set.name] = set
        let size = Rollout.replicas(set)
        if size > 0 { say("Scaled up replica set \(set.name) from 0 to \(size)") }
        setRevision("\(revision)")
        if Rollout.progressDeadline(deployment) != nil {
            progress("True", "NewReplicaSetCreated", "Created new replica set \"\(set.name)\"")
        }
    }

    private func newSet(revision: Int64) -> Node {
        let hash = PodTemplates.hash(deployment["spec"]["template"], collisions: deployment["status"]["collisionCount"].int)
        var template = deployment["spec"]["template"]
        template["metadata"]["labels"][Rollout.hashLabel] = .string(hash)
        var selector = deployment["spec"]["selector"]
        selector["matchLabels"][Rollout.hashLabel] = .string(hash)
        let room = 253 - 1 - hash.utf8.count
        var set: Node = ["apiVersion": "apps/v1", "kind": "ReplicaSet"]
        set["metadata"] = [
            "name": .string("\(deployment.name.prefix(room))-\(hash)"), "namespace": .string(deployment.namespace),
            "labels": template["metadata"]["labels"], "ownerReferences": [Deployments.refs(original).reference.node],
        ]
        set["spec"] = ["replicas": 0, "selector": selector, "template": template]
        set["spec"].setCount("minReadySeconds", deployment["spec"]["minReadySeconds"].int ?? 0)
        set["spec"]["replicas"] = .int(newSize(of: set, among: old))
        annotate(&set, revision: revision)
        annotateSizes(&set)
        return set
    }

    /// How large the new set may be now (upstream's `NewRSNewReplicas`).
    func newSize(of set: Node, among others: [Node]) -> Int64 {
        guard isRolling else { return wanted }
        let surge = IntOrPercent.resolve(deployment["spec"]["strategy"]["rollingUpdate"]["maxSurge"], of: wanted, roundUp: true) ?? 0
        let size = Rollout.replicas(set)
        let room = wanted + surge - Rollout.total(others) - size
        return room <= 0 ? size : size + min(room, wanted - size)
    }

    private func annotate(_ set: inout Node, revision: Int64) {
        for (key, value) in deployment.annotations.sorted(by: { $0.key < $1.key }) where !Rollout.uncopied.contains(key) {
            set["metadata"]["annotations"][key] = .string(value)
        }
        let previous = set.annotations[Rollout.revision]
        if let previous, !previous.isEmpty, Int64(previous) == nil { return }
        let number = previous.flatMap { Int64($0) } ?? 0
        guard number < revision else { return }
        set["metadata"]["annotations"][Rollout.revision] = .string("\(revision)")
        guard let previous else { return }
        var past = (set.annotations[Rollout.history] ?? "").split(separator: ",").map(String.init) + [previous]
        // Bounded, the oldest first to go.
        while past.count > 1, past.reduce(-1, { $0 + $1.utf8.count + 1 }) > 2000 { past.removeFirst() }
        set["metadata"]["annotations"][Rollout.history] = .string(past.joined(separator: ","))
    }

    private mutating func setRevision(_ text: String) {
        if deployment.annotations[Rollout.revision] != text { deployment["metadata"]["annotations"][Rollout.revision] = .string(text) }
    }
}
