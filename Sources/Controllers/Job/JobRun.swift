import Client
import Core
import Kinds
import Machinery
import Schema
import Tree

/// One look at a Job and its pods. Each ended pod is counted once: first its uid is written into the status, then its finalizer
/// goes, then the uid becomes a number.
struct JobRun {
    /// How the Job ends; the interim condition says so before the pods are counted, the last one after it.
    struct Verdict {
        let isSuccess: Bool
        let reason: String
        let message: String
        /// Not yet in the status that was read.
        let isNew: Bool
        var interim: String { isSuccess ? "SuccessCriteriaMet" : "FailureTarget" }
    }

    /// Where the Job stands, with what ended since the status was written.
    struct Tally {
        var succeeded: Int64 = 0
        var failed: Int64 = 0
        var done = IndexSet()
        /// Nil where indexes have no limit of their own.
        var failedIndexes: IndexSet?
        /// The last failed pod of each index that waits for a successor, which takes over its count.
        var replaced: [Int64: Node] = [:]
        /// Uids whose finalizer has not gone yet.
        var open: Set<String> = []
    }

    struct Outcome {
        var releases: [Action] = []
        var pending: [Action] = []
        var events: [Action] = []
        var discarded: Set<String> = []
        var requeueAfter: Duration?
        mutating func requeue(_ delay: Duration) { requeueAfter = min(requeueAfter ?? delay, delay) }
    }

    let job: Node
    let spec: JobSpec
    let pods: [Node]
    let reference: OwnerReference
    let now: Timestamp
    var status: Node
    var active: [Node]
    var tally = Tally()
    var verdict: Verdict?
    var outcome = Outcome()

    init(_ job: Node, _ pods: [Node], _ reference: OwnerReference, _ now: Timestamp) {
        self.job = job
        spec = JobSpec(job)
        self.pods = pods
        self.reference = reference
        self.now = now
        status = job["status"]
        active = pods.filter { PodView($0).isActive }
    }

    static func isFinished(_ job: Node) -> Bool {
        ["Complete", "Failed"].contains { job["status"].condition($0)?["status"].string == "True" }
    }

    mutating func run() {
        if status["startTime"].isNull, !spec.isSuspended { status["startTime"] = .string(now.rfc3339) }
        count()
        judge()
        manage()
        track()
        finish()
    }

    mutating func append(_ type: String, _ reason: String, _ message: String, status value: String = "True") {
        status.removeCondition(type)
        status["conditions"].append([
            "type": .string(type), "status": .string(value), "lastProbeTime": .string(now.rfc3339), "lastTransitionTime": .string(now.rfc3339),
            "reason": .string(reason), "message": .string(message),
        ])
    }

    /// The last word is said when no pod runs and every one is counted.
    private mutating func finish() {
        guard let verdict, !verdict.isNew else { return }
        let isCounted = ["succeeded", "failed"].allSatisfy { status["uncountedTerminatedPods"][$0].list.isEmpty } && outcome.releases.isEmpty
        guard isCounted, outcome.pending.isEmpty, !pods.contains(where: { PodView($0).isTerminating }) else { return }
        append(verdict.isSuccess ? "Complete" : "Failed", verdict.reason, verdict.message)
        if verdict.isSuccess {
            status["completionTime"] = .string(now.rfc3339)
            if let completions = spec.completions, (status["succeeded"].int ?? 0) > completions {
                let message = "Too many succeeded pods running after completion count reached"
                outcome.events.append(.event(Event(job, .warning, reason: "TooManySucceededPods", message: message)))
            }
            outcome.events.append(.event(Event(job, reason: "Completed", message: "Job completed")))
        } else {
            outcome.events.append(.event(Event(job, .warning, reason: verdict.reason, message: verdict.message)))
        }
    }

    func actions() -> [Action] {
        var status = status
        status.setCount("active", Int64(active.count))
        status["ready"] = .int(Int64(active.filter { PodView($0).isReady }.count))
        status["terminating"] = .int(Int64(pods.filter { PodView($0).isTerminating }.count))
        // The uids must be in the status before the finalizers go.
        let write: [Action] = status == job["status"] ? [] : [.updateStatus(.jobs, job.with(status: status))]
        return write + outcome.releases + outcome.pending + outcome.events
    }
}
