import Core
import Kinds
import Machinery
import Tree

extension PodMachine {
    static let ownConditions =
        ["PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled"] + PodResize.conditionTypes

    private struct Verdict {
        var isTrue: Bool
        var reason = ""
        var message = ""
    }

    /// Ours computed anew, everybody else's as the API has them. A transition time moves only with its status.
    func conditions(_ initial: [Node], _ regular: [Node], _ phase: String, _ now: Timestamp) -> [Node] {
        var known: Node = ["status": ["conditions": .list(merged())]]
        let containers = containersReady(initial, regular, phase)
        let hasSandbox = if case .ready = sandbox { !isSandboxLost } else { false }
        set(&known, "PodReadyToStartContainers", Verdict(isTrue: hasSandbox), now)
        set(&known, "Initialized", initialized(initial, regular, phase), now)
        set(&known, "Ready", ready(containers, known), now)
        set(&known, "ContainersReady", containers, now)
        for condition in resizeConditions { set(&known, condition.type, Verdict(isTrue: true, reason: condition.reason, message: condition.message), now) }
        if PodConditions.get(known, "PodScheduled") == nil { set(&known, "PodScheduled", Verdict(isTrue: true), now) }
        return known["status"]["conditions"].list
    }

    private func merged() -> [Node] {
        // What of a resize is not going on any more is not said any more.
        let gone = PodResize.conditionTypes.subtracting(resizeConditions.map(\.type))
        return known().filter { !gone.contains($0["type"].string ?? "") }
    }

    private func known() -> [Node] {
        let ours = lastStatus["conditions"].list
        return pod.status["conditions"].list.map { condition in
            guard PodMachine.ownConditions.contains(condition["type"].string ?? "") else { return condition }
            return ours.first { $0["type"] == condition["type"] } ?? condition
        } + ours.filter { own in
            PodMachine.ownConditions.contains(own["type"].string ?? "") && !pod.status["conditions"].list.contains { $0["type"] == own["type"] }
        }
    }

    private func set(_ known: inout Node, _ type: String, _ verdict: Verdict, _ now: Timestamp) {
        PodConditions.set(
            &known, type: type, status: verdict.isTrue ? "True" : "False", reason: verdict.reason, message: verdict.message, now: now)
        guard pod.node.generation > 0 else { return }
        let conditions = known["status"]["conditions"].list
        guard let index = conditions.firstIndex(where: { $0["type"].string == type }) else { return }
        known["status"]["conditions"][index]["observedGeneration"] = .int(pod.node.generation)
    }

    private func containersReady(_ initial: [Node], _ regular: [Node], _ phase: String) -> Verdict {
        if phase == "Succeeded" { return Verdict(isTrue: false, reason: "PodCompleted") }
        if phase == "Failed" { return Verdict(isTrue: false, reason: "PodFailed") }
        let sidecars = Set(pod.sidecars.compactMap { $0["name"].string })
        let unready = (initial.filter { sidecars.contains($0["name"].string ?? "") } + regular).filter { $0["ready"].bool != true }
            .compactMap { $0["name"].string }
        if unready.isEmpty { return Verdict(isTrue: true) }
        return Verdict(isTrue: false, reason: "ContainersNotReady", message: "containers with unready status: [\(unready.joined(separator: " "))]")
    }

    private func ready(_ containers: Verdict, _ known: Node) -> Verdict {
        guard containers.isTrue else { return containers }
        var messages: [String] = []
        for gate in pod.spec["readinessGates"].list.compactMap({ $0["conditionType"].string }) {
            if let condition = PodConditions.get(known, gate) {
                let status = condition["status"].string ?? ""
                if status != "True" { messages.append("the status of pod readiness gate \(NodePath.quoted(gate)) is not \"True\", but \(status)") }
            } else {
                messages.append("corresponding condition of pod readiness gate \(NodePath.quoted(gate)) does not exist.")
            }
        }
        if messages.isEmpty { return Verdict(isTrue: true) }
        return Verdict(isTrue: false, reason: "ReadinessGatesNotReady", message: messages.joined(separator: ", "))
    }

    private func initialized(_ initial: [Node], _ regular: [Node], _ phase: String) -> Verdict {
        if phase == "Succeeded" { return Verdict(isTrue: true, reason: "PodCompleted") }
        if hasBegun || regular.contains(where: { !$0["state"]["running"].isNull || !$0["lastState"]["terminated"].isNull }) { return Verdict(isTrue: true) }
        let incomplete = initial.filter { status in
            let isSidecar = tracks[status["name"].string ?? ""]?.role == .sidecar
            return isSidecar ? status["started"].bool != true : status["ready"].bool != true
        }.compactMap { $0["name"].string }
        if incomplete.isEmpty { return Verdict(isTrue: true) }
        return Verdict(
            isTrue: false, reason: "ContainersNotInitialized", message: "containers with incomplete status: [\(incomplete.joined(separator: " "))]")
    }
}
