import Client
import Core
import Kinds
import Machinery
import Schema
import Tree

/// One look at a Job and its pods. Each ended pod is counted once: first its uid is written into the status, then its finalizer
/// goes, then the uid becomes a number.
struct JobRun {
    private let job: Node
    private let pods: [Node]
    private let reference: OwnerReference
    private let now: Timestamp
    private var status: Node
    private var active: [Node]
    private var pending: [Action] = []
    private var releases: [Action] = []
    private var events: [Action] = []
    private var verdict: (type: String, reason: String, message: String)?
    private(set) var requeueAfter: Duration?

    init(_ job: Node, _ pods: [Node], _ reference: OwnerReference, _ now: Timestamp) {
        self.job = job
        self.pods = pods
        self.reference = reference
        self.now = now
        status = job["status"]
        active = pods.filter { PodView($0).isActive }
    }

    static func isFinished(_ job: Node) -> Bool {
        ["Complete", "Failed"].contains { job["status"].condition($0)?["status"].string == "True" }
    }

    private var isSuspended: Bool { job["spec"]["suspend"].bool == true }
    private var isIndexed: Bool { job["spec"]["completionMode"].string == "Indexed" }
    private var parallelism: Int64 { job["spec"]["parallelism"].int ?? 1 }
    private var completions: Int64? { job["spec"]["completions"].int }
    private var replacesOnlyFailed: Bool { job["spec"]["podReplacementPolicy"].string == "Failed" }
    private var isDoomed: Bool { status.condition("FailureTarget")?["status"].string == "True" }
    private var isDone: Bool { status.condition("SuccessCriteriaMet")?["status"].string == "True" }

    private func hasFailed(_ pod: Node) -> Bool {
        let phase = PodView(pod).phase
        return phase == "Failed" || (!replacesOnlyFailed && pod.isBeingDeleted && phase != "Succeeded")
    }

    private static func index(_ pod: Node) -> Int64? { pod.annotations[Jobs.indexKey].flatMap { Int64($0) } }

    // MARK: - Counting

    mutating func count() {
        if status["startTime"].isNull, !isSuspended { status["startTime"] = .string(now.rfc3339) }
        let unfinished = Set(pods.filter { $0.finalizers.contains(Jobs.finalizer) }.map(\.uid))
        for field in ["succeeded", "failed"] {
            let listed = status["uncountedTerminatedPods"][field].stringList
            let done = listed.filter { !unfinished.contains($0) }
            var open = listed.filter(unfinished.contains)
            status.setCount(field, (status[field].int ?? 0) + Int64(done.count))
            for pod in pods where unfinished.contains(pod.uid) {
                let isHere = field == "succeeded" ? PodView(pod).phase == "Succeeded" : hasFailed(pod)
                guard isHere else { continue }
                if !open.contains(pod.uid) { open.append(pod.uid) }
                releases.append(Jobs.withoutFinalizer(pod))
            }
            status["uncountedTerminatedPods"][field] = open.isEmpty ? .null : Node(open)
        }
        if status["uncountedTerminatedPods"].isNull { status["uncountedTerminatedPods"] = .emptyMap }
        if isIndexed { countIndexes() }
    }

    private mutating func countIndexes() {
        var done = IndexSet(status["completedIndexes"].string ?? "")
        for pod in pods where PodView(pod).phase == "Succeeded" {
            if let index = JobRun.index(pod), index < completions ?? 0 { done.insert(index) }
        }
        status["completedIndexes"] = done.isEmpty ? .null : .string(done.description)
        status.setCount("succeeded", Int64(done.count))
    }

    private var succeeded: Int64 {
        (status["succeeded"].int ?? 0) + (isIndexed ? 0 : Int64(status["uncountedTerminatedPods"]["succeeded"].list.count))
    }
    private var failed: Int64 { (status["failed"].int ?? 0) + Int64(status["uncountedTerminatedPods"]["failed"].list.count) }

    // MARK: - Judging

    mutating func judge() {
        if isDone || isDoomed { return }
        let limit = job["spec"]["backoffLimit"].int ?? 6
        if let message = policyFailure() {
            set("FailureTarget", "PodFailurePolicy", message)
        } else if failed > limit || restartsExceed(limit) {
            set("FailureTarget", "BackoffLimitExceeded", "Job has reached the specified backoff limit")
        } else if let deadline = job["spec"]["activeDeadlineSeconds"].int, let start = status.time("startTime"), !isSuspended {
            let left = (start + .seconds(deadline)) - now
            if left <= .zero { set("FailureTarget", "DeadlineExceeded", "Job was active longer than specified deadline") } else { requeue(left) }
        }
        if isDoomed { return }
        let enough = completions.map { succeeded >= $0 } ?? (succeeded > 0 && active.isEmpty)
        if enough { set("SuccessCriteriaMet", "CompletionsReached", "Reached expected number of succeeded pods") }
    }

    private mutating func set(_ type: String, _ reason: String, _ message: String) {
        append(type, reason, message)
        verdict = (type, reason, message)
    }

    private mutating func append(_ type: String, _ reason: String, _ message: String, status value: String = "True") {
        status.removeCondition(type)
        status["conditions"].append([
            "type": .string(type), "status": .string(value), "lastProbeTime": .string(now.rfc3339), "lastTransitionTime": .string(now.rfc3339),
            "reason": .string(reason), "message": .string(message),
        ])
    }

    private mutating func requeue(_ delay: Duration) { requeueAfter = min(requeueAfter ?? delay, delay) }

    /// Containers that restart in place count against the limit too.
    private func restartsExceed(_ limit: Int64) -> Bool {
        guard job["spec"]["template"]["spec"]["restartPolicy"].string == "OnFailure" else { return false }
        let restarts = pods.filter { ["Running", "Pending"].contains(PodView($0).phase) }.reduce(Int64(0)) { total, pod in
            total + (pod["status"]["initContainerStatuses"].list + pod["status"]["containerStatuses"].list).reduce(0) { $0 + ($1["restartCount"].int ?? 0) }
        }
        return restarts > 0 && restarts >= limit
    }

    /// The message of the first `FailJob` rule that a failed pod matches.
    private func policyFailure() -> String? {
        let rules = job["spec"]["podFailurePolicy"]["rules"].list
        guard !rules.isEmpty else { return nil }
        for pod in pods where PodView(pod).phase == "Failed" {
            for rule in rules {
                guard let (matched, what) = FailureRule.match(rule, pod) else { continue }
                if rule["action"].string == "FailJob" { return "\(what) matching FailJob rule at index \(rules.firstIndex(of: rule) ?? 0)" }
                if matched { break }
            }
        }
        return nil
    }

    // MARK: - Pods

    mutating func manage() {
        if job.isBeingDeleted { return }
        if isDoomed || isDone {
            // The finalizer of what is deleted now goes with the pod's end.
            remove(active)
            finish()
            return
        }
        suspendOrResume()
        if isSuspended {
            remove(active)
            return
        }
        let terminating = replacesOnlyFailed ? Int64(pods.filter { PodView($0).isTerminating }.count) : 0
        var wanted = parallelism
        if let completions { wanted = min(wanted, max(0, completions - succeeded)) } else if succeeded > 0 { wanted = Int64(active.count) }
        let running = Int64(active.count)
        if running > wanted {
            let victims = VictimRanking(related: active, now: now).first(Int(running - wanted), of: active)
            remove(victims)
        } else if running + terminating < wanted {
            if let left = backoff() {
                requeue(left)
                return
            }
            create(Int(wanted - running - terminating))
        }
    }

    /// 10 s after a failure, doubled with each one since the last success, at most 10 minutes.
    private func backoff() -> Duration? {
        let ended = pods.filter { PodView($0).isTerminal }.map { (time: JobRun.end($0), failed: PodView($0).phase == "Failed") }.sorted { $0.time > $1.time }
        guard let last = ended.first, last.failed else { return nil }
        let count = ended.prefix { $0.failed }.count
        let delay = min(600, 10 << min(count - 1, 10))
        let left = (last.time + .seconds(delay)) - now
        return left > .zero ? left : nil
    }

    private static func end(_ pod: Node) -> Timestamp {
        let times = pod["status"]["containerStatuses"].list.compactMap { $0["state"]["terminated"].time("finishedAt") }
        return times.max() ?? PodConditions.get(pod, "Ready")?.time("lastTransitionTime") ?? pod.creation ?? Timestamp(seconds: 0)
    }

    private mutating func create(_ count: Int) {
        var indexes: [Int64] = []
        if isIndexed {
            let done = IndexSet(status["completedIndexes"].string ?? "")
            let used = Set(active.compactMap(JobRun.index))
            indexes = Array((0..<(completions ?? 0)).lazy.filter { !used.contains($0) && !done.contains($0) }.prefix(count))
        }
        for number in 0..<(isIndexed ? indexes.count : min(count, 500)) {
            pending.append(.create(.pods, pod(index: isIndexed ? indexes[number] : nil), announce: .podCreation(job)))
        }
    }

    private func pod(index: Int64?) -> Node {
        var pod = PodTemplates.pod(job["spec"]["template"], owner: job, reference)
        pod["metadata"]["finalizers"] = Node(pod.finalizers + [Jobs.finalizer])
        guard let index else { return pod }
        pod["metadata"]["generateName"] = .string("\(job.name)-\(index)-")
        pod["metadata"]["annotations"][Jobs.indexKey] = .string("\(index)")
        pod["metadata"]["labels"][Jobs.indexKey] = .string("\(index)")
        if pod["spec"]["hostname"].isNull { pod["spec"]["hostname"] = .string("\(job.name)-\(index)") }
        let variable: Node = [
            "name": "JOB_COMPLETION_INDEX", "valueFrom": ["fieldRef": ["fieldPath": .string("metadata.labels['\(Jobs.indexKey)']")]],
        ]
        for field in ["initContainers", "containers"] {
            var containers = pod["spec"][field].list
            for at in containers.indices where !containers[at]["env"].list.contains(where: { $0["name"].string == "JOB_COMPLETION_INDEX" }) {
                containers[at]["env"] = .list(containers[at]["env"].list + [variable])
            }
            if !containers.isEmpty { pod["spec"][field] = .list(containers) }
        }
        return pod
    }

    private mutating func remove(_ victims: [Node]) {
        for pod in victims {
            pending.append(.delete(.pods, ObjectKey(pod.namespace, pod.name), DeleteOptions(uid: pod.uid), announce: .podDeletion(job)))
        }
        let gone = Set(victims.map(\.uid))
        active.removeAll { gone.contains($0.uid) }
    }

    private mutating func suspendOrResume() {
        let was = status.condition("Suspended")?["status"].string == "True"
        if isSuspended, !was {
            append("Suspended", "JobSuspended", "Job suspended")
            status.remove("startTime")
            events.append(.event(Event(job, reason: "Suspended", message: "Job suspended")))
        } else if !isSuspended, was {
            append("Suspended", "JobResumed", "Job resumed", status: "False")
            status["startTime"] = .string(now.rfc3339)
            events.append(.event(Event(job, reason: "Resumed", message: "Job resumed")))
        }
    }

    /// The last word is said when no pod runs and every one is counted.
    private mutating func finish() {
        let isCounted = status["uncountedTerminatedPods"].isEmpty && releases.isEmpty
        let isQuiet = pods.allSatisfy { PodView($0).isTerminal }
        guard isCounted, isQuiet, pending.isEmpty else { return }
        let cause = status.condition(isDone ? "SuccessCriteriaMet" : "FailureTarget")
        let (reason, message) = (cause?["reason"].string ?? "", cause?["message"].string ?? "")
        append(isDone ? "Complete" : "Failed", reason, message)
        if isDone {
            status["completionTime"] = .string(now.rfc3339)
            events.append(.event(Event(job, reason: "Completed", message: "Job completed")))
        } else {
            events.append(.event(Event(job, .warning, reason: reason, message: message)))
        }
    }

    // MARK: - Outcome

    func actions() -> [Action] {
        var status = status
        status.setCount("active", Int64(active.count))
        status["ready"] = .int(Int64(active.filter { PodView($0).isReady }.count))
        status["terminating"] = .int(Int64(pods.filter { PodView($0).isTerminating }.count))
        // The uids must be in the status before the finalizers go.
        let write: [Action] = status == job["status"] ? [] : [.updateStatus(.jobs, job.with(status: status))]
        return write + releases + pending + events
    }
}
