import Core
import Kinds
import Machinery
import Tree

extension JobRun {
    /// Failure before success, the policies before the limits; what was decided once stays.
    mutating func judge() {
        for (type, isSuccess) in [("SuccessCriteriaMet", true), ("FailureTarget", false)] {
            guard let old = status.condition(type), old["status"].string == "True" else { continue }
            verdict = Verdict(isSuccess: isSuccess, reason: old["reason"].string ?? "", message: old["message"].string ?? "", isNew: false)
            return
        }
        let spec = spec
        if let message = pods.lazy.filter({ spec.hasFailed($0) }).compactMap({ spec.judgement(of: $0).message }).first {
            decide(false, "PodFailurePolicy", message)
        } else if tally.failed > spec.backoffLimit || restartsExceedLimit {
            decide(false, "BackoffLimitExceeded", "Job has reached the specified backoff limit")
        } else if let deadline = spec.node["activeDeadlineSeconds"].int, let start = status.time("startTime"), !spec.isSuspended {
            let left = (start + .seconds(deadline)) - now
            if left <= .zero { decide(false, "DeadlineExceeded", "Job was active longer than specified deadline") } else { outcome.requeue(left) }
        }
        if verdict == nil, let failed = tally.failedIndexes { judge(failed) }
        if verdict == nil, let rule = spec.satisfiedRule(tally.done) { decide(true, "SuccessPolicy", "Matched rules at index \(rule)") }
    }

    private mutating func judge(_ failed: IndexSet) {
        if let most = spec.node["maxFailedIndexes"].int, failed.count > most {
            decide(false, "MaxFailedIndexesExceeded", "Job has exceeded the specified maximal number of failed indexes")
        } else if !failed.isEmpty, failed.count + tally.done.count >= spec.indexes {
            decide(false, "FailedIndexes", "Job has failed indexes")
        }
    }

    mutating func decide(_ isSuccess: Bool, _ reason: String, _ message: String) {
        let new = Verdict(isSuccess: isSuccess, reason: reason, message: message, isNew: true)
        append(new.interim, reason, message)
        verdict = new
    }

    /// Containers that restart in place count against the limit too.
    private var restartsExceedLimit: Bool {
        guard spec.node["template"]["spec"]["restartPolicy"].string == "OnFailure" else { return false }
        let restarts = pods.filter { ["Running", "Pending"].contains(PodView($0).phase) }.reduce(Int64(0)) { total, pod in
            total + (pod["status"]["initContainerStatuses"].list + pod["status"]["containerStatuses"].list).reduce(0) { $0 + ($1["restartCount"].int ?? 0) }
        }
        return restarts > 0 && restarts >= spec.backoffLimit
    }
}
