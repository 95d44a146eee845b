import Kinds
import Machinery
import Tree

/// What a Job asks for, with upstream's meaning of what is left out.
struct JobSpec {
    let node: Node

    init(_ job: Node) { node = job["spec"] }

    var isSuspended: Bool { node["suspend"].bool == true }
    var isIndexed: Bool { node["completionMode"].string == "Indexed" }
    var parallelism: Int64 { node["parallelism"].int ?? 1 }
    var completions: Int64? { node["completions"].int }
    /// How many indexes there are; only indexed Jobs have any.
    var indexes: Int64 { isIndexed ? completions ?? 0 : 0 }
    var backoffLimit: Int64 { node["backoffLimit"].int ?? 6 }
    /// Nil where failures are counted for the Job as a whole.
    var backoffLimitPerIndex: Int64? { isIndexed ? node["backoffLimitPerIndex"].int : nil }
    var failureRules: [Node] { node["podFailurePolicy"]["rules"].list }
    /// A pod on its way out is replaced only when it has ended.
    var replacesOnlyFailed: Bool { node["podReplacementPolicy"].string == "Failed" || !node["podFailurePolicy"].isNull }

    /// A pod that was deleted may never reach its end: it counts as failed, unless only ended pods are replaced.
    func hasFailed(_ pod: Node) -> Bool {
        let phase = PodView(pod).phase
        if phase == "Failed" { return true }
        return !replacesOnlyFailed && pod.isBeingDeleted && phase != "Succeeded"
    }

    /// What the Job's rules say of a failed pod.
    func judgement(of pod: Node) -> FailureRule.Judgement { FailureRule.judge(pod, by: failureRules) }

    /// The index of a pod, where it is one of the Job's.
    func index(of pod: Node) -> Int64? {
        guard let index = pod.annotations[Jobs.indexKey].flatMap({ Int64($0) }), index >= 0, index < indexes else { return nil }
        return index
    }

    /// Whether a failed pod takes its index with it.
    func failsIndex(_ pod: Node) -> Bool {
        guard let limit = backoffLimitPerIndex, hasFailed(pod) else { return false }
        let judgement = judgement(of: pod)
        if judgement.action == "FailIndex" { return true }
        return judgement.counts && IndexFailures(pod).counted >= limit
    }

    /// The first rule of the success policy that the succeeded indexes satisfy.
    func satisfiedRule(_ done: IndexSet) -> Int? {
        guard isIndexed, !done.isEmpty else { return nil }
        return node["successPolicy"]["rules"].list.firstIndex { rule in
            let count = rule["succeededCount"].int
            guard let text = rule["succeededIndexes"].string else { return count.map { done.count >= $0 } ?? false }
            let required = IndexSet(text, below: indexes)
            if required.isEmpty { return false }
            let matched = required.overlap(done)
            return matched == required.count || count.map { matched >= $0 } ?? false
        }
    }
}

/// How often an index has failed, as each pod of it carries on from the one before.
struct IndexFailures {
    static let countedKey = "batch.kubernetes.io/job-index-failure-count"
    static let ignoredKey = "batch.kubernetes.io/job-index-ignored-failure-count"

    var counted: Int64
    var ignored: Int64
    var all: Int64 { counted + ignored }

    init(_ pod: Node) {
        func number(_ key: String) -> Int64 { pod.annotations[key].flatMap { Int64($0) }.flatMap { (0...Int64(Int32.max)).contains($0) ? $0 : nil } ?? 0 }
        counted = number(IndexFailures.countedKey)
        ignored = number(IndexFailures.ignoredKey)
    }

    private init() {
        counted = 0
        ignored = 0
    }

    /// What the pod that replaces another one starts with.
    init(replacing pod: Node?, of spec: JobSpec) {
        guard let pod else {
            self.init()
            return
        }
        self.init(pod)
        if spec.judgement(of: pod).counts { counted += 1 } else { ignored += 1 }
    }
}
