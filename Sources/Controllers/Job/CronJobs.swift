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
    package var triggers: [Trigger] {
        [
            Trigger(.cronJobs) { change, _ in
                // Zones are read here, where nothing is locked; plans find them read.
                if let zone = change.new?["spec"]["timeZone"].string { _ = TimeZoneRules(named: zone) }
                return [change.key]
            },
            .owned(.jobs, byKind: "CronJob"),
        ]
    }

    package func plan(_ key: ObjectKey, _ state: borrowing ClusterState, now: Timestamp) -> Plan {
        guard let cron = state.get(.cronJobs, key) else { return .nothing }
        let jobs = state.owned(.jobs, by: cron.uid).filter { $0.controllerOwner?.uid == cron.uid }
        var plan = Plan()
        var status = cron["status"]
        track(cron, jobs, &status, &plan)
        cleanUp(cron, jobs, &plan)
        if !cron.isBeingDeleted { start(cron, jobs, &status, &plan, state, now) }
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
        let known = Set(jobs.map(\.uid))
        for gone in status["active"].list where !known.contains(gone["uid"].string ?? "") {
            plan.actions.append(.event(Event(cron, reason: "MissingJob", message: "Active job went missing: \(gone["name"].string ?? "")")))
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
            let ended = jobs.filter { !$0.isBeingDeleted && $0["status"].condition(type)?["status"].string == "True" }.sorted {
                let (a, b) = ($0["status"]["startTime"].string ?? "~", $1["status"]["startTime"].string ?? "~")
                return a == b ? $0.name < $1.name : a < b
            }
            for job in ended.prefix(max(0, ended.count - Int(limit))) { plan.actions.append(delete(job, cron)) }
        }
    }

    private func delete(_ job: Node, _ cron: Node) -> Action {
        .delete(
            .jobs, ObjectKey(job.namespace, job.name), DeleteOptions(propagation: .background, uid: job.uid),
            announce: Announcement(cron, success: "SuccessfulDelete", "Deleted job ", failure: "FailedDelete", "Deleted job: "))
    }

    private func start(
        _ cron: Node, _ jobs: [Node], _ status: inout Node, _ plan: inout Plan, _ state: borrowing ClusterState, _ now: Timestamp
    ) {
        guard let schedule = schedule(cron, &plan) else { return }
        let start = status.time("lastScheduleTime") ?? cron.creation ?? now
        let deadline = cron["spec"]["startingDeadlineSeconds"].int
        let from = deadline.map { max(start, now + .seconds(-$0)) } ?? start
        let (due, isFarBehind) = CronJobs.latest(schedule, after: from, now)
        if let next = schedule.next(after: max(due ?? now, now)) { plan.requeue(after: next - now) }
        guard let due else { return }
        func tell(_ type: Event.Kind, _ reason: String, _ message: String) { plan.actions.append(.event(Event(cron, type, reason: reason, message: message))) }
        if isFarBehind {
            tell(.warning, "TooManyMissedTimes", "too many missed start times. Set or decrease .spec.startingDeadlineSeconds or check clock skew")
        }
        if let deadline, due + .seconds(deadline) < now { return tell(.warning, "MissSchedule", "Missed scheduled time to start a job: \(due.rfc1123)") }
        let active = jobs.filter { !JobRun.isFinished($0) }
        let job = CronJobs.job(cron, at: due)
        if status.time("lastScheduleTime") == due || active.contains(where: { $0.name == job.name && status["lastScheduleTime"].string == due.rfc3339 }) { return }
        let isThere = jobs.contains { $0.name == job.name }
        if !isThere {
            // A Job of that name that is somebody else's counts as started by them.
            if state.get(.jobs, job.namespace, job.name) != nil { return }
            switch cron["spec"]["concurrencyPolicy"].string {
            case "Forbid" where !active.isEmpty:
                return tell(.normal, "JobAlreadyActive", "Not starting job because prior execution is running and concurrency policy is Forbid")
            case "Replace": plan.actions += active.map { delete($0, cron) }
            default: break
            }
            plan.actions.append(
                .create(.jobs, job, announce: Announcement(cron, success: "SuccessfulCreate", "Created job ", failure: "FailedCreate", "Error creating job: ")))
        }
        status["lastScheduleTime"] = .string(due.rfc3339)
    }

    /// Nil where nothing is to be started by it.
    private func schedule(_ cron: Node, _ plan: inout Plan) -> CronSchedule? {
        func warn(_ reason: String, _ message: String) { plan.actions.append(.event(Event(cron, .warning, reason: reason, message: message))) }
        let text = cron["spec"]["schedule"].string ?? ""
        guard let zone = TimeZoneRules(named: cron["spec"]["timeZone"].string ?? "") else {
            let name = NodePath.quoted(cron["spec"]["timeZone"].string ?? "")
            warn("UnknownTimeZone", "invalid timeZone: \(name): unknown time zone \(cron["spec"]["timeZone"].string ?? "")")
            return nil
        }
        if cron["spec"]["suspend"].bool == true { return nil }
        if text.contains("TZ") {
            let page = "https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/"
            warn("UnsupportedSchedule", "CRON_TZ or TZ used in schedule \(NodePath.quoted(text)) is not officially supported, see \(page) for more details")
        }
        guard let schedule = CronSchedule(text, zone: zone) else {
            warn("UnparseableSchedule", "unparseable schedule: \(NodePath.quoted(text))")
            return nil
        }
        return schedule
    }

    /// Of the times that were missed the last, and whether there were very many of them.
    private static func latest(_ schedule: CronSchedule, after start: Timestamp, _ now: Timestamp) -> (Timestamp?, Bool) {
        guard let first = schedule.next(after: start), first <= now else { return (nil, false) }
        guard let second = schedule.next(after: first), second <= now else { return (first, false) }
        // Long gaps are crossed by the distance of two times instead of by each.
        let step = max(1, second.seconds - first.seconds)
        let missed = (now.seconds - first.seconds) / step + 1
        var latest = first
        var next = schedule.next(after: Timestamp(seconds: first.seconds + max(0, missed - 2) * step))
        while let time = next, time <= now {
            latest = time
            next = schedule.next(after: time)
        }
        return (latest, missed > 100)
    }

    private static func job(_ cron: Node, at time: Timestamp) -> Node {
        let template = cron["spec"]["jobTemplate"]
        var metadata: Node = [
            "name": .string("\(cron.name)-\(time.seconds / 60)"), "namespace": .string(cron.namespace),
            "ownerReferences": [OwnerReference(controller: cron, apiVersion: "batch/v1", kind: "CronJob").node],
        ]
        if !template["metadata"]["labels"].isEmpty { metadata["labels"] = template["metadata"]["labels"] }
        metadata["annotations"] = template["metadata"]["annotations"]
        metadata["annotations"]["batch.kubernetes.io/cronjob-scheduled-timestamp"] = .string(
            time.rfc3339(offset: TimeZoneRules(named: cron["spec"]["timeZone"].string ?? "")?.offset(at: time.seconds) ?? 0))
        return ["apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": template["spec"]]
    }
}
