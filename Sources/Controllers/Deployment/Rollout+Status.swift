import Core
import Kinds
import Machinery
import Tree

extension Rollout {
    /// As upstream's `SetDeploymentCondition`: same status and reason leave it untouched, message or not.
    static func setCondition(_ status: inout Node, _ type: String, _ value: String, reason: String, message: String, now: Timestamp) {
        var transition = now.rfc3339
        if let old = status.condition(type), old["status"].string == value {
            if old["reason"].string == reason { return }
            transition = old["lastTransitionTime"].string ?? transition
        }
        status.removeCondition(type)
        status["conditions"].append([
            "type": .string(type), "status": .string(value), "lastUpdateTime": .string(now.rfc3339), "lastTransitionTime": .string(transition),
            "reason": .string(reason), "message": .string(message),
        ])
    }

    mutating func progress(_ value: String, _ reason: String, _ message: String) {
        Rollout.setCondition(&deployment["status"], "Progressing", value, reason: reason, message: message, now: now)
    }

    /// While paused, the clock of the progress deadline stands still.
    mutating func checkPause() {
        guard Rollout.progressDeadline(deployment) != nil else { return }
        let reason = deployment["status"].condition("Progressing")?["reason"].string
        if reason == "ProgressDeadlineExceeded" { return }
        let isPaused = deployment["spec"]["paused"].bool == true
        if isPaused, reason != "DeploymentPaused" {
            progress("Unknown", "DeploymentPaused", "Deployment is paused")
        } else if !isPaused, reason == "DeploymentPaused" {
            progress("Unknown", "DeploymentResumed", "Deployment is resumed")
        }
    }

    func isComplete(_ status: Node) -> Bool {
        (status["updatedReplicas"].int ?? 0) == wanted && (status["replicas"].int ?? 0) == wanted
            && (status["availableReplicas"].int ?? 0) == wanted && (status["observedGeneration"].int ?? 0) >= deployment.generation
    }

    /// The counts and Available, without judging progress.
    mutating func syncStatus() { deployment["status"] = counted() }

    private func counted() -> Node {
        let available = all.reduce(0) { $0 + Rollout.available($1) }
        func sum(_ sets: [Node], _ field: String) -> Int64 { sets.reduce(0) { $0 + ($1["status"][field].int ?? 0) } }
        var status = deployment["status"]
        status.setCount("observedGeneration", deployment.generation)
        status.setCount("replicas", sum(all, "replicas"))
        status.setCount("updatedReplicas", sum(new.map { [$0] } ?? [], "replicas"))
        status.setCount("readyReplicas", sum(all, "readyReplicas"))
        status.setCount("availableReplicas", available)
        status.setCount("unavailableReplicas", max(0, Rollout.total(all) - available))
        status["terminatingReplicas"] = terminating.map(Node.int) ?? .null
        let enough = available >= wanted - maxUnavailable
        Rollout.setCondition(
            &status, "Available", enough ? "True" : "False", reason: enough ? "MinimumReplicasAvailable" : "MinimumReplicasUnavailable",
            message: enough ? "Deployment has minimum availability." : "Deployment does not have minimum availability.", now: now)
        return status
    }

    /// Nil when a set that was looked at does not say.
    private var terminating: Int64? {
        var total: Int64 = 0
        for set in all {
            guard let count = set["status"]["terminatingReplicas"].int else {
                if (set["status"]["observedGeneration"].int ?? 0) == 0 { continue }
                return nil
            }
            total += count
        }
        return total
    }

    /// The counts, the progress made or missed, and the sets' failures.
    mutating func syncRolloutStatus() {
        let past = deployment["status"]
        var status = counted()
        let deadline = Rollout.progressDeadline(deployment)
        if deadline == nil { status.removeCondition("Progressing") }
        let current = past.condition("Progressing")
        let isDone = status["replicas"].int == status["updatedReplicas"].int && current?["reason"].string == "NewReplicaSetAvailable"
        if let deadline, !isDone { judge(&status, past: past, current: current, deadline: deadline) }
        let failure = (new.map { [$0] } ?? []).compactMap { $0["status"].condition("ReplicaFailure") }.first
            ?? all.compactMap { $0["status"].condition("ReplicaFailure") }.first
        if let failure {
            let reason = failure["reason"].string ?? ""
            Rollout.setCondition(
                &status, "ReplicaFailure", failure["status"].string ?? "True", reason: reason, message: failure["message"].string ?? "", now: now)
        } else {
            status.removeCondition("ReplicaFailure")
        }
        deployment["status"] = status
        requeueIfStuck(status)
    }

    private func judge(_ status: inout Node, past: Node, current: Node?, deadline: Int64) {
        let subject = new.map { "ReplicaSet \"\($0.name)\"" } ?? "Deployment \"\(deployment.name)\""
        if isComplete(status) {
            Rollout.setCondition(
                &status, "Progressing", "True", reason: "NewReplicaSetAvailable", message: "\(subject) has successfully progressed.", now: now)
        } else if hasProgressed(from: original["status"], to: status) {
            // Always replaced: its update time is what the deadline counts from.
            let transition = current?["status"].string == "True" ? current?["lastTransitionTime"].string : nil
            status.removeCondition("Progressing")
            status["conditions"].append([
                "type": "Progressing", "status": "True", "lastUpdateTime": .string(now.rfc3339),
                "lastTransitionTime": .string(transition ?? now.rfc3339), "reason": "ReplicaSetUpdated", "message": .string("\(subject) is progressing."),
            ])
        } else if hasTimedOut(status, deadline) {
            Rollout.setCondition(
                &status, "Progressing", "False", reason: "ProgressDeadlineExceeded", message: "\(subject) has timed out progressing.", now: now)
        }
    }

    private func hasProgressed(from old: Node, to new: Node) -> Bool {
        func count(_ status: Node, _ field: String) -> Int64 { status[field].int ?? 0 }
        return count(new, "updatedReplicas") > count(old, "updatedReplicas")
            || count(new, "replicas") - count(new, "updatedReplicas") < count(old, "replicas") - count(old, "updatedReplicas")
            || count(new, "readyReplicas") > count(old, "readyReplicas") || count(new, "availableReplicas") > count(old, "availableReplicas")
    }

    private func hasTimedOut(_ status: Node, _ deadline: Int64) -> Bool {
        guard let condition = status.condition("Progressing") else { return false }
        switch condition["reason"].string {
        case "NewReplicaSetAvailable": return false
        case "ProgressDeadlineExceeded": return true
        default: return (condition.time("lastUpdateTime") ?? now) + .seconds(deadline) < now
        }
    }

    private mutating func requeueIfStuck(_ status: Node) {
        guard let deadline = Rollout.progressDeadline(deployment), let condition = status.condition("Progressing"), !isComplete(status),
            condition["reason"].string != "ProgressDeadlineExceeded", let updated = condition.time("lastUpdateTime")
        else { return }
        requeueAfter = max((updated + .seconds(deadline)) - now, .zero) + .seconds(1)
    }
}
