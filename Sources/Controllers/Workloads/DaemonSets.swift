package import Client
package import Core
import Kinds
package import Machinery
import Schema
import Tree

/// Keeps one pod of a template on every node that may have it.
package struct DaemonSets: Controller {
    /// Of failed pods, so that a pod that fails at once is not made again at once for ever.
    private let backoff = FailureBackoff()

    package init() {}
    package var name: String { "daemonset-controller" }

    package var triggers: [Trigger] {
        [
            .own(.daemonSets, indexes: [.namespace]),
            .managed(.pods, by: .daemonSets, kind: "DaemonSet") { LabelSelector(object: $0["spec"]["selector"]) },
            .managed(.controllerRevisions, by: .daemonSets, kind: "DaemonSet") { LabelSelector(object: $0["spec"]["selector"]) },
            Trigger(.nodes) { change, view in
                func facet(_ node: Node?) -> [Node] { node.map { [$0["metadata"]["labels"], $0["spec"]["taints"], $0["spec"]["unschedulable"]] } ?? [] }
                return facet(change.old) == facet(change.new) ? [] : view.read { Array($0[.daemonSets].objects.keys) }
            },
        ]
    }

    /// What every pod of a DaemonSet bears, so that it runs on nodes in trouble too.
    private static let tolerations: [(key: String, effect: String)] = [
        ("node.kubernetes.io/not-ready", "NoExecute"), ("node.kubernetes.io/unreachable", "NoExecute"), ("node.kubernetes.io/disk-pressure", "NoSchedule"),
        ("node.kubernetes.io/memory-pressure", "NoSchedule"), ("node.kubernetes.io/pid-pressure", "NoSchedule"),
        ("node.kubernetes.io/unschedulable", "NoSchedule"),
    ]

    package func plan(_ key: ObjectKey, _ state: borrowing ClusterState, now: Timestamp) -> Plan {
        guard let set = state.get(.daemonSets, key), !set.isBeingDeleted, !set["spec"]["selector"].isEmpty else { return .nothing }
        let refs = ControllerRefs(set, apiVersion: "apps/v1", kind: "DaemonSet", selector: LabelSelector(object: set["spec"]["selector"]))
        let claim = refs.claim(ControllerRefs.candidates(.pods, for: set, state), .pods)
        let history = refs.claim(ControllerRefs.candidates(.controllerRevisions, for: set, state), .controllerRevisions)
        let revisions = Revisions(set, kind: "DaemonSet", owned: history.objects)
        var plan = Plan(claim.actions + history.actions)
        if let action = revisions.action { plan.actions.append(action) }
        var daemon = Daemon(set, revisions.hash, refs.reference, now, backoff)
        for pod in claim.objects { daemon.pods[Daemon.target(pod), default: []].append(pod) }
        let nodes = state[.nodes].objects.values.sorted { $0.name < $1.name }
        for node in nodes { daemon.manage(node) }
        daemon.removeStrays(nodes: Set(nodes.map(\.name)))
        let isManaged = daemon.actions.isEmpty
        if let delay = daemon.requeueAfter { plan.requeue(after: delay) }
        plan.actions += daemon.actions
        if isManaged { daemon.roll(nodes, into: &plan) }
        let status = daemon.status(nodes, into: &plan)
        if status != set["status"] { plan.actions.append(.updateStatus(.daemonSets, set.with(status: status))) }
        let live = Set(claim.objects.compactMap { $0.labels["controller-revision-hash"] })
        if isManaged { plan.actions += revisions.excess(keeping: Int(set["spec"]["revisionHistoryLimit"].int ?? 10), live: live) }
        return plan
    }

    package func plan(afterRefusal of: Action, _ error: APIError, _ key: ObjectKey, _ state: borrowing ClusterState, now: Timestamp) -> [Action] {
        Revisions.collision(of, error, state.get(.daemonSets, key)).map { [.updateStatus(.daemonSets, $0)] } ?? []
    }

    /// The pod of a node, or of what a node would be asked with.
    fileprivate static func template(_ set: Node, hash: String) -> Node {
        var template = set["spec"]["template"]
        template["metadata"]["labels"]["controller-revision-hash"] = .string(hash)
        if let generation = set.annotations["deprecated.daemonset.template.generation"] {
            template["metadata"]["labels"]["pod-template-generation"] = .string(generation)
        }
        var tolerations = template["spec"]["tolerations"].list
        var wanted = DaemonSets.tolerations
        if template["spec"]["hostNetwork"].bool == true { wanted.append(("node.kubernetes.io/network-unavailable", "NoSchedule")) }
        for (key, effect) in wanted {
            let toleration: Node = ["key": .string(key), "operator": "Exists", "effect": .string(effect)]
            if !tolerations.contains(toleration) { tolerations.append(toleration) }
        }
        template["spec"]["tolerations"] = .list(tolerations)
        return template
    }
}

/// One look at a DaemonSet: which pod is where, and what is to change.
private struct Daemon {
    let set: Node
    let hash: String
    let reference: OwnerReference
    let now: Timestamp
    let template: Node
    /// By node.
    var pods: [String: [Node]] = [:]
    var actions: [Action] = []
    /// When a failed pod may go.
    private(set) var requeueAfter: Duration?
    private let backoff: FailureBackoff
    private let required: RequiredNodes
    private var creations: [Action] = []

    init(_ set: Node, _ hash: String, _ reference: OwnerReference, _ now: Timestamp, _ backoff: FailureBackoff) {
        self.backoff = backoff
        self.set = set
        self.hash = hash
        self.reference = reference
        self.now = now
        template = DaemonSets.template(set, hash: hash)
        required = RequiredNodes(pod: template)
    }

    /// Where a pod is, or is bound to go.
    static func target(_ pod: Node) -> String {
        let bound = PodView(pod).nodeName
        if !bound.isEmpty { return bound }
        let terms = pod["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"].list
        for term in terms {
            for field in term["matchFields"].list where field["key"].string == "metadata.name" { return field["values"].stringList.first ?? "" }
        }
        return ""
    }

    private var minReady: Int64 { self.set["spec"]["minReadySeconds"].int ?? 0 }

    private var surge: Int {
        guard set["spec"]["updateStrategy"]["type"].string != "OnDelete" else { return 0 }
        return Int(IntOrPercent.resolve(set["spec"]["updateStrategy"]["rollingUpdate"]["maxSurge"], of: 1, roundUp: true) ?? 0)
    }

    func shouldRun(_ node: Node) -> (run: Bool, stay: Bool) {
        let name = template["spec"]["nodeName"].string ?? ""
        guard name.isEmpty || name == node.name, required.matches(labels: node.labels, name: node.name) else { return (false, false) }
        let taints = node["spec"]["taints"].list
        let tolerations = template["spec"]["tolerations"].list
        if Tolerations.untolerated(taints, by: tolerations, effects: ["NoExecute"]) != nil { return (false, false) }
        return (Tolerations.untolerated(taints, by: tolerations, effects: ["NoSchedule"]) == nil, true)
    }

    mutating func manage(_ node: Node) {
        let (run, stay) = shouldRun(node)
        let here = pods[node.name] ?? []
        let failed = here.filter { !$0.isBeingDeleted && PodView($0).phase == "Failed" }
        for pod in failed {
            if let left = backoff.next("\(set.uid)/\(set["status"]["observedGeneration"].int ?? 0)/\(node.name)", now) {
                requeueAfter = min(requeueAfter ?? left, left)
                continue
            }
            actions.append(
                .event(
                    Event(set, .warning, reason: "FailedDaemonPod", message: "Found failed daemon pod \(pod.namespace)/\(pod.name) on node \(node.name), will try to kill it")))
            delete(pod)
        }
        let living = here.filter { !$0.isBeingDeleted && PodView($0).phase != "Failed" }
        if run {
            // A pod that is leaving holds the place, unless the update may overlap.
            if here.isEmpty || (surge > 0 && living.isEmpty) { actions.append(.create(.pods, pod(on: node.name), announce: .podCreation(set))) }
            let ordered = living.sorted(by: ClusterState.olderFirst)
            let current = ordered.filter { $0.labels["controller-revision-hash"] == hash }
            if surge > 0, ordered.count > 1 {
                let old = ordered.first { $0.labels["controller-revision-hash"] != hash }
                for pod in ordered where pod.uid != current.first?.uid && pod.uid != old?.uid { delete(pod) }
                // The old one may go when the new one beside it serves, or when it serves nobody itself.
                if let new = current.first, let old, !PodView(old).isReady || PodView(new).isAvailable(minReadySeconds: minReady, now: now) { delete(old) }
            } else {
                for pod in ordered.dropFirst() { delete(pod) }
            }
        } else if !stay {
            for pod in living { delete(pod) }
        }
    }

    /// Pods that wait for nodes which are gone.
    mutating func removeStrays(nodes: Set<String>) {
        for (name, list) in pods.sorted(by: { $0.key < $1.key }) where !nodes.contains(name) {
            for pod in list where PodView(pod).nodeName.isEmpty && !pod.isBeingDeleted { delete(pod) }
        }
    }

    private mutating func delete(_ pod: Node) {
        actions.append(.delete(.pods, ObjectKey(pod.namespace, pod.name), DeleteOptions(uid: pod.uid), announce: .podDeletion(set)))
    }

    /// The scheduler binds it; its affinity leaves one node to choose.
    private func pod(on node: String) -> Node {
        var pod = PodTemplates.pod(template, owner: set, reference)
        let field: Node = ["key": "metadata.name", "operator": "In", "values": [.string(node)]]
        let path = "requiredDuringSchedulingIgnoredDuringExecution"
        var terms = pod["spec"]["affinity"]["nodeAffinity"][path]["nodeSelectorTerms"].list
        if terms.isEmpty { terms = [[:]] }
        for index in terms.indices { terms[index]["matchFields"] = [field] }
        pod["spec"]["affinity"]["nodeAffinity"][path] = ["nodeSelectorTerms": .list(terms)]
        return pod
    }

    // MARK: - Update

    /// Deletes old pods as far as `maxUnavailable` allows, or makes new ones beside them as far as `maxSurge` does.
    func roll(_ nodes: [Node], into plan: inout Plan) {
        guard set["spec"]["updateStrategy"]["type"].string != "OnDelete" else { return }
        let rolling = set["spec"]["updateStrategy"]["rollingUpdate"]
        let desired = nodes.filter { shouldRun($0).run }
        let overlap = IntOrPercent.resolve(rolling["maxSurge"], of: Int64(desired.count), roundUp: true) ?? 0
        var room = overlap > 0 ? overlap : IntOrPercent.resolve(rolling["maxUnavailable"], of: Int64(desired.count), roundUp: true) ?? 1
        var replaced: [Node] = []
        var candidates: [Node] = []
        for node in desired {
            let living = (pods[node.name] ?? []).filter { !$0.isBeingDeleted }
            let old = living.first { $0.labels["controller-revision-hash"] != hash }
            let isAvailable = living.contains { PodView($0).isAvailable(minReadySeconds: minReady, now: now) }
            if overlap > 0 {
                if living.count > 1 { room -= 1 }
            } else if !isAvailable {
                room -= 1
            }
            guard let old, living.count == 1 else { continue }
            // One that serves nobody is replaced whatever the limits.
            if isAvailable { candidates.append(old) } else { replaced.append(old) }
        }
        for old in replaced + candidates.prefix(Int(max(0, room))) {
            if overlap > 0 {
                plan.actions.append(.create(.pods, pod(on: Daemon.target(old)), announce: .podCreation(set)))
            } else {
                plan.actions.append(.delete(.pods, ObjectKey(old.namespace, old.name), DeleteOptions(uid: old.uid), announce: .podDeletion(set)))
            }
        }
    }

    // MARK: - Status

    func status(_ nodes: [Node], into plan: inout Plan) -> Node {
        var (desired, current, misscheduled, ready, updated, available) = (Int64(0), Int64(0), Int64(0), Int64(0), Int64(0), Int64(0))
        for node in nodes {
            let here = (pods[node.name] ?? []).sorted(by: ClusterState.olderFirst)
            guard shouldRun(node).run else {
                if !here.isEmpty { misscheduled += 1 }
                continue
            }
            desired += 1
            guard let pod = here.first else { continue }
            current += 1
            let view = PodView(pod)
            if view.isReady {
                ready += 1
                if view.isAvailable(minReadySeconds: minReady, now: now) { available += 1 }
                if let left = view.untilAvailable(minReadySeconds: minReady, now: now) { plan.requeue(after: left) }
            }
            if pod.labels["controller-revision-hash"] == hash { updated += 1 }
        }
        var status = set["status"]
        status["currentNumberScheduled"] = .int(current)
        status["numberMisscheduled"] = .int(misscheduled)
        status["desiredNumberScheduled"] = .int(desired)
        status["numberReady"] = .int(ready)
        status.setCount("observedGeneration", set.generation)
        status.setCount("updatedNumberScheduled", updated)
        status.setCount("numberAvailable", available)
        status.setCount("numberUnavailable", desired - available)
        return status
    }
}
