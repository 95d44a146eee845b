package import Client
package import Core
import Kinds
import Machinery
import Schema
import Tree

/// Says how many pods of a PodDisruptionBudget may be evicted now.
package struct DisruptionBudgets: Controller {
    /// What is known of the scale of an owner that no table holds.
    enum ForeignScale: Sendable {
        case replicas(Int64)
        case missing
        case refused(String)
    }

    /// By uid.
    private let foreign: [String: ForeignScale]

    package init() { foreign = [:] }
    init(foreign: [String: ForeignScale]) { self.foreign = foreign }

    package var name: String { "disruption-controller" }

    /// What scales pods, by the kind of their controller.
    private static let scalers: [String: GroupVersionResource] = [
        "ReplicaSet": .replicaSets, "Deployment": .deployments, "StatefulSet": .statefulSets, "ReplicationController": .replicationControllers,
    ]

    package var triggers: [Trigger] {
        [
            .own(.podDisruptionBudgets, indexes: [.namespace]),
            Trigger(.pods, indexes: [.namespace]) { change, view in
                let labels = [change.old, change.new].compactMap { $0?["metadata"]["labels"] }
                return view.read { state in
                    state[.podDisruptionBudgets].objects("namespace", change.key.namespace)
                        .filter { budget in labels.contains { LabelSelector(object: budget["spec"]["selector"]).matches($0) } }
                        .map { ObjectKey($0.namespace, $0.name) }
                }
            },
        ]
            + DisruptionBudgets.scalers.values.sorted { $0.resource < $1.resource }.map { resource in
                Trigger(resource) { change, view in
                    if change.old?["spec"]["replicas"] == change.new?["spec"]["replicas"] { return [] }
                    return view.read { Array($0[.podDisruptionBudgets].keys("namespace", change.key.namespace)) }
                }
            }
    }

    /// The controllers of a budget's pods whose scale must be asked for.
    static func foreignOwners(_ key: ObjectKey, _ state: borrowing ClusterState) -> [OwnerReference] {
        guard let budget = state.get(.podDisruptionBudgets, key) else { return [] }
        let selector = LabelSelector(object: budget["spec"]["selector"])
        var out: [OwnerReference] = []
        for pod in state.inNamespace(.pods, key.namespace) where selector.matches(pod["metadata"]["labels"]) {
            guard let owner = pod.controllerOwner, !isBuiltIn(owner), !out.contains(where: { $0.uid == owner.uid }) else { continue }
            out.append(owner)
        }
        return out
    }

    private static func isBuiltIn(_ owner: OwnerReference) -> Bool {
        scalers[owner.kind] != nil && (owner.apiVersion.hasPrefix("apps/") || owner.apiVersion == "v1")
    }

    /// How many pods there should be, or why nobody can say.
    private enum Scale {
        case known(Int64, unmanaged: [String])
        case failed(String)
    }

    package func plan(_ key: ObjectKey, _ state: borrowing ClusterState, now: Timestamp) -> Plan {
        guard let budget = state.get(.podDisruptionBudgets, key) else { return .nothing }
        let selector = LabelSelector(object: budget["spec"]["selector"])
        let pods = state.inNamespace(.pods, key.namespace).filter { selector.matches($0["metadata"]["labels"]) }
        var plan = Plan()
        if pods.isEmpty { plan.actions.append(.event(Event(budget, reason: "NoPods", message: "No matching pods found"))) }
        let counts: (expected: Int64, desired: Int64)
        switch self.counts(budget, pods, state, &plan) {
        case .success(let known): counts = known
        case .failure(let failure):
            let message = "Failed to calculate the number of expected pods: \(failure.message)"
            plan.actions.append(.event(Event(budget, .warning, reason: "CalculateExpectedPodCountFailed", message: message)))
            failSafe(budget, failure.message, &plan, now)
            return plan
        }
        // Evictions that were granted count until the pod is seen to go, at most two minutes.
        var disrupted = Node.emptyMap
        for (name, value) in budget["status"]["disruptedPods"].fields {
            guard let pod = pods.first(where: { $0.name == name }), !pod.isBeingDeleted, let time = value.string.flatMap({ Timestamp(rfc3339: $0) }) else { continue }
            let left = (time + .seconds(120)) - now
            if left > .zero {
                disrupted[name] = value
                plan.requeue(after: left)
            } else {
                let message = "Pod was expected by PDB \(budget.namespace)/\(budget.name) to be deleted but it wasn't"
                plan.actions.append(.event(Event(pod, .warning, reason: "NotDeleted", message: message)))
            }
        }
        let healthy = Int64(pods.filter { !$0.isBeingDeleted && PodView($0).isReady && disrupted[$0.name].isNull }.count)
        let allowed = counts.expected > 0 ? max(0, healthy - counts.desired) : 0
        var status = budget["status"]
        status["disruptedPods"] = disrupted.isEmpty ? .null : disrupted
        status["currentHealthy"] = .int(healthy)
        status["desiredHealthy"] = .int(counts.desired)
        status["expectedPods"] = .int(counts.expected)
        status["disruptionsAllowed"] = .int(allowed)
        status.setCount("observedGeneration", budget.generation)
        let isAllowed = allowed > 0
        set(&status, isAllowed, isAllowed ? "SufficientPods" : "InsufficientPods", "", now, generation: budget.generation)
        if status != budget["status"] { plan.actions.append(.updateStatus(.podDisruptionBudgets, budget.with(status: status))) }
        return plan
    }

    /// Nothing may be evicted under a budget that cannot be worked out.
    private func failSafe(_ budget: Node, _ why: String, _ plan: inout Plan, _ now: Timestamp) {
        var status = budget["status"]
        status["disruptionsAllowed"] = 0
        for field in ["currentHealthy", "desiredHealthy", "expectedPods"] where status[field].isNull { status[field] = 0 }
        set(&status, false, "SyncFailed", why, now, generation: status["observedGeneration"].int ?? 0)
        if status != budget["status"] { plan.actions.append(.updateStatus(.podDisruptionBudgets, budget.with(status: status))) }
    }

    private func set(_ status: inout Node, _ isAllowed: Bool, _ reason: String, _ message: String, _ now: Timestamp, generation: Int64) {
        status.setCondition(
            "DisruptionAllowed", isAllowed ? "True" : "False", reason: reason, message: message, now: now, observedGeneration: generation)
        // Upstream's conditions carry an empty message, which the type requires.
        for index in status["conditions"].list.indices where status["conditions"][index]["message"].isNull { status["conditions"][index]["message"] = "" }
    }

    private struct Failure: Error { let message: String }

    private func counts(
        _ budget: Node, _ pods: [Node], _ state: borrowing ClusterState, _ plan: inout Plan
    ) -> Result<(expected: Int64, desired: Int64), Failure> {
        let spec = budget["spec"]
        if spec["maxUnavailable"].isNull, let number = spec["minAvailable"].int { return .success((Int64(pods.count), number)) }
        if spec["maxUnavailable"].isNull, spec["minAvailable"].isNull { return .success((0, 0)) }
        switch scale(pods, state) {
        case .failed(let why): return .failure(Failure(message: why))
        case .known(let expected, let unmanaged):
            if !unmanaged.isEmpty {
                let message = """
                    Pods selected by this PodDisruptionBudget (selector: \(LabelSelector(object: spec["selector"]))) were found to be unmanaged. As a result, \
                    the status of the PDB cannot be calculated correctly, which may result in undefined behavior. To account for these pods please set \
                    ".spec.minAvailable" field of the PDB to an integer value.
                    """
                plan.actions.append(.event(Event(budget, .warning, reason: "UnmanagedPods", message: message)))
            }
            if !spec["maxUnavailable"].isNull {
                guard let most = IntOrPercent.resolve(spec["maxUnavailable"], of: expected, roundUp: true) else {
                    return .failure(Failure(message: "invalid value for IntOrString: maxUnavailable"))
                }
                return .success((expected, max(0, expected - most)))
            }
            guard let least = IntOrPercent.resolve(spec["minAvailable"], of: expected, roundUp: true) else {
                return .failure(Failure(message: "invalid value for IntOrString: minAvailable"))
            }
            return .success((expected, least))
        }
    }

    /// How many pods the controllers of these pods want, each counted once.
    private func scale(_ pods: [Node], _ state: borrowing ClusterState) -> Scale {
        var total: Int64 = 0
        var unmanaged: [String] = []
        var seen: Set<String> = []
        for pod in pods {
            guard var owner = pod.controllerOwner else {
                unmanaged.append(pod.name)
                continue
            }
            if owner.kind == "ReplicaSet", let parent = state.get(.replicaSets, pod.namespace, owner.name)?.controllerOwner, parent.kind == "Deployment" { owner = parent }
            guard seen.insert(owner.uid).inserted else { continue }
            if !DisruptionBudgets.isBuiltIn(owner), let scale = foreign[owner.uid] {
                switch scale {
                case .replicas(let count):
                    total += count
                    continue
                case .refused(let why): return .failed(why)
                case .missing: break
                }
            }
            guard DisruptionBudgets.isBuiltIn(owner), let resource = DisruptionBudgets.scalers[owner.kind], let scaler = state.get(resource, pod.namespace, owner.name), scaler.uid == owner.uid else {
                return .failed("found no controllers for pod \"\(pod.name)\"")
            }
            total += scaler["spec"]["replicas"].int ?? 1
        }
        return .known(total, unmanaged: unmanaged)
    }
}

/// Takes back from pods the word that they are about to be disrupted, when two minutes later they still run.
package struct StaleDisruptions: Controller {
    package init() {}
    package var name: String { "stale-pod-disruption" }

    package var triggers: [Trigger] {
        [Trigger(.pods) { change, _ in change.new.map { StaleDisruptions.condition($0) != nil } == true ? [change.key] : [] }]
    }

    private static func condition(_ pod: Node) -> Node? {
        guard !pod.isBeingDeleted, !PodView(pod).isTerminal, let condition = PodConditions.get(pod, "DisruptionTarget"), condition["status"].string == "True",
            condition["reason"].string != "TerminationByKubelet"
        else { return nil }
        return condition
    }

    package func plan(_ key: ObjectKey, _ state: borrowing ClusterState, now: Timestamp) -> Plan {
        guard let pod = state.get(.pods, key), let condition = StaleDisruptions.condition(pod), let since = condition.time("lastTransitionTime") else { return .nothing }
        let left = (since + .seconds(120)) - now
        if left > .zero { return Plan(requeueAfter: left) }
        let patch: Node = ["type": "DisruptionTarget", "status": "False", "lastTransitionTime": .string(now.rfc3339)]
        return Plan([.patch(.pods, key, .strategic, ["metadata": ["uid": .string(pod.uid)], "status": ["conditions": [patch]]], subresource: "status")])
    }
}
