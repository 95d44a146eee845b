package import Client
package import Core
import Kinds
import Machinery
import Schema
import Tree

/// Says how many pods of a PodDisruptionBudget may be evicted now.
package struct DisruptionBudgets: Controller {
    package init() {}
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

    package func plan(_ key: ObjectKey, _ state: borrowing ClusterState, now: Timestamp) -> Plan {
        guard let budget = state.get(.podDisruptionBudgets, key) else { return .nothing }
        let selector = LabelSelector(object: budget["spec"]["selector"])
        let pods = state.inNamespace(.pods, key.namespace).filter { selector.matches($0["metadata"]["labels"]) && !PodView($0).isTerminal }
        let (expected, desired) = counts(budget, pods, state)
        var plan = Plan()
        // Evictions that were granted count until the pod is seen to go, at most two minutes.
        var disrupted = Node.emptyMap
        for (name, value) in budget["status"]["disruptedPods"].fields {
            guard let pod = pods.first(where: { $0.name == name }), !pod.isBeingDeleted, let time = value.string.flatMap({ Timestamp(rfc3339: $0) }) else { continue }
            let left = (time + .seconds(120)) - now
            if left > .zero {
                disrupted[name] = value
                plan.requeue(after: left)
            }
        }
        let healthy = Int64(pods.filter { !$0.isBeingDeleted && PodView($0).isReady && disrupted[$0.name].isNull }.count)
        let allowed = expected > 0 ? max(0, healthy - desired) : 0
        var status = budget["status"]
        status["disruptedPods"] = disrupted.isEmpty ? .null : disrupted
        status["currentHealthy"] = .int(healthy)
        status["desiredHealthy"] = .int(desired)
        status["expectedPods"] = .int(expected)
        status["disruptionsAllowed"] = .int(allowed)
        status.setCount("observedGeneration", budget.generation)
        let isAllowed = allowed > 0
        status.setCondition(
            "DisruptionAllowed", isAllowed ? "True" : "False", reason: isAllowed ? "SufficientPods" : "InsufficientPods", message: "", now: now,
            observedGeneration: budget.generation)
        // Upstream's conditions carry an empty message, which the type requires.
        for index in status["conditions"].list.indices where status["conditions"][index]["message"].isNull { status["conditions"][index]["message"] = "" }
        if status != budget["status"] { plan.actions.append(.updateStatus(.podDisruptionBudgets, budget.with(status: status))) }
        return plan
    }

    private func counts(_ budget: Node, _ pods: [Node], _ state: borrowing ClusterState) -> (expected: Int64, desired: Int64) {
        let spec = budget["spec"]
        if spec["maxUnavailable"].isNull, let number = spec["minAvailable"].int { return (Int64(pods.count), number) }
        let expected = scale(pods, state)
        if !spec["maxUnavailable"].isNull {
            let most = IntOrPercent.resolve(spec["maxUnavailable"], of: expected, roundUp: true) ?? 0
            return (expected, max(0, expected - most))
        }
        return (expected, IntOrPercent.resolve(spec["minAvailable"], of: expected, roundUp: true) ?? 0)
    }

    /// How many pods the controllers of these pods want, each counted once.
    private func scale(_ pods: [Node], _ state: borrowing ClusterState) -> Int64 {
        var total: Int64 = 0
        var seen: Set<String> = []
        for pod in pods {
            guard var owner = pod.controllerOwner else { continue }
            if owner.kind == "ReplicaSet", let parent = state.get(.replicaSets, pod.namespace, owner.name)?.controllerOwner, parent.kind == "Deployment" { owner = parent }
            guard seen.insert(owner.uid).inserted, let resource = DisruptionBudgets.scalers[owner.kind],
                let scaler = state.get(resource, pod.namespace, owner.name)
            else { continue }
            total += scaler["spec"]["replicas"].int ?? 1
        }
        return total
    }
}
