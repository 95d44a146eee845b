package import Client
package import Core
import Kinds
import Machinery
import Schema
import Tree

/// Makes a Job at each time of a schedule.
package struct CronJobs: Controller {
    package init() {}
    package var name: String { "cronjob-controller" }
    package var triggers: [Trigger] { [.own(.cronJobs), .owned(.jobs, byKind: "CronJob")] }

    package func plan(_ key: ObjectKey, _ state: borrowing ClusterState, now: Timestamp) -> Plan {
        guard let cron = state.get(.cronJobs, key) else { return .nothing }
        let jobs = state.owned(.jobs, by: cron.uid).filter { $0.controllerOwner?.uid == cron.uid }
        var plan = Plan()
        var status = cron["status"]
        track(cron, jobs, &status, &plan)
        cleanUp(cron, jobs, &plan)
        if !cron.isBeingDeleted, cron["spec"]["suspend"].bool != true { start(cron, jobs, &status, &plan, now) }
        if status != cron["status"] { plan.actions.append(.updateStatus(.cronJobs, cron.with(status: status))) }
        return plan
    }

    /// The active list follows the Jobs; an end is told once.
    private func track(_ cron: Node, _ jobs: [Node], _ status: inout Node, _ plan: inout Plan) {
        let listed = Set(status["active"].list.compactMap { $0["uid"].string })
        for job in jobs where JobRun.isFinished(job) {
            let condition = job["status"].condition("Complete")?["status"].string == "True" ? "Complete" : "Failed"
            if listed.contains(job.uid) {
                plan.actions.append(
                    .event(Event(cron, reason: "SawCompletedJob", message: "Saw completed job: \(job.name), condition: \(condition)")))
            }
            if condition == "Complete", let end = job["status"]["completionTime"].string, end > status["lastSuccessfulTime"].string ?? "" {
                status["lastSuccessfulTime"] = .string(end)
            }
        }
        // What is listed stays as it was listed: a Job's every change is no news.
        let active = jobs.filter { !JobRun.isFinished($0) }.map { job in
            status["active"].list.first { $0["uid"].string == job.uid } ?? CronJobs.reference(job)
        }
        status["active"] = active.isEmpty ? .null : .list(active)
    }

    private static func reference(_ job: Node) -> Node {
        [
            "kind": "Job", "namespace": .string(job.namespace), "name": .string(job.name), "uid": .string(job.uid), "apiVersion": "batch/v1",
            "resourceVersion": job["metadata"]["resourceVersion"],
        ]
    }

    private func cleanUp(_ cron: Node, _ jobs: [Node], _ plan: inout Plan) {
        for (type, limit) in [("Complete", cron["spec"]["successfulJobsHistoryLimit"].int ?? 3), ("Failed", cron["spec"]["failedJobsHistoryLimit"].int ?? 1)] {
            let ended = jobs.filter { !$0.isBeingDeleted && $0["status"].condition(type)?["status"].string == "True" }
            for job in ended.prefix(max(0, ended.count - Int(limit))) { plan.actions.append(delete(job, cron)) }
        }
    }

    private func delete(_ job: Node, _ cron: Node) -> Action {
        .delete(
            .jobs, ObjectKey(job.namespace, job.name), DeleteOptions(propagation: .background, uid: job.uid),
            announce: Announcement(cron, success: "SuccessfulDelete", "Deleted job ", failure: "FailedDelete", "Deleted job: "))
    }

    private func start(_ cron: Node, _ jobs: [Node], _ status: inout Node, _ plan: inout Plan, _ now: Timestamp) {
        let text = cron["spec"]["schedule"].string ?? ""
        guard let schedule = CronSchedule(text) else {
            plan.actions.append(.event(Event(cron, .warning, reason: "UnparseableSchedule", message: "unparseable schedule: \(NodePath.quoted(text))")))
            return
        }
        var from = status.time("lastScheduleTime") ?? cron.creation ?? now
        if let deadline = cron["spec"]["startingDeadlineSeconds"].int { from = max(from, now + .seconds(-deadline)) }
        // Of many that were missed, only the last is made up for.
        var due: Timestamp?
        var missed = 0
        var next = schedule.next(after: from)
        while let time = next, time <= now, missed < 1000 {
            due = time
            missed += 1
            next = schedule.next(after: time)
        }
        if missed == 1000 { next = schedule.next(after: now) }
        if missed > 100 {
            let hint = "Set or decrease .spec.startingDeadlineSeconds or check clock skew"
            plan.actions.append(.event(Event(cron, .warning, reason: "TooManyMissedTimes", message: "too many missed start times: \(missed). \(hint)")))
        }
        if let next { plan.requeue(after: next - now) }
        guard let due else { return }
        let active = jobs.filter { !JobRun.isFinished($0) }
        switch cron["spec"]["concurrencyPolicy"].string {
        case "Forbid" where !active.isEmpty:
            let message = "Not starting job because prior execution is running and concurrency policy is Forbid"
            plan.actions.append(.event(Event(cron, reason: "JobAlreadyActive", message: message)))
            return
        case "Replace": plan.actions += active.map { delete($0, cron) }
        default: break
        }
        let job = CronJobs.job(cron, at: due)
        if !jobs.contains(where: { $0.name == job.name }) {
            plan.actions.append(
                .create(.jobs, job, announce: Announcement(cron, success: "SuccessfulCreate", "Created job ", failure: "FailedCreate", "Error creating job: ")))
        }
        status["lastScheduleTime"] = .string(due.rfc3339)
    }

    private static func job(_ cron: Node, at time: Timestamp) -> Node {
        let template = cron["spec"]["jobTemplate"]
        var metadata: Node = [
            "name": .string("\(cron.name)-\(time.seconds / 60)"), "namespace": .string(cron.namespace),
            "ownerReferences": [OwnerReference(controller: cron, apiVersion: "batch/v1", kind: "CronJob").node],
        ]
        if !template["metadata"]["labels"].isEmpty { metadata["labels"] = template["metadata"]["labels"] }
        metadata["annotations"] = template["metadata"]["annotations"]
        metadata["annotations"]["batch.kubernetes.io/cronjob-scheduled-timestamp"] = .string(time.rfc3339)
        return ["apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": template["spec"]]
    }
}
