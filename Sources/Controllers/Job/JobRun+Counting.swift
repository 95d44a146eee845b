import Core
import Kinds
import Machinery
import Tree

extension JobRun {
    /// Most uids that a status carries at a time.
    private static let mostUncounted = 500

    /// Turns the uids whose finalizers have gone into numbers, and adds up what has ended since.
    mutating func count() {
        tally.open = Set(pods.filter { $0.finalizers.contains(Jobs.finalizer) }.map(\.uid))
        var listed: Set<String> = []
        for field in ["succeeded", "failed"] {
            let uids = status["uncountedTerminatedPods"][field].stringList
            let waiting = uids.filter(tally.open.contains)
            status.setCount(field, (status[field].int ?? 0) + Int64(uids.count - waiting.count))
            status["uncountedTerminatedPods"][field] = waiting.isEmpty ? .null : Node(waiting)
            listed.formUnion(waiting)
        }
        if status["uncountedTerminatedPods"].isNull { status["uncountedTerminatedPods"] = .emptyMap }
        let fresh = pods.filter { tally.open.contains($0.uid) && !listed.contains($0.uid) && (!spec.isIndexed || spec.index(of: $0) != nil) }
        let waiting = status["uncountedTerminatedPods"]
        tally.succeeded = (status["succeeded"].int ?? 0) + Int64(waiting["succeeded"].list.count + fresh.filter { PodView($0).phase == "Succeeded" }.count)
        let failures = fresh.filter { spec.hasFailed($0) && spec.judgement(of: $0).counts }
        tally.failed = (status["failed"].int ?? 0) + Int64(waiting["failed"].list.count + failures.count)
        if spec.isIndexed { countIndexes() }
    }

    private mutating func countIndexes() {
        let open = pods.filter { tally.open.contains($0.uid) }
        var done = IndexSet(status["completedIndexes"].string ?? "", below: spec.indexes)
        for pod in open where PodView(pod).phase == "Succeeded" { if let index = spec.index(of: pod) { done.insert(index) } }
        tally.done = done
        tally.succeeded = done.count
        guard spec.backoffLimitPerIndex != nil else { return }
        var failed = IndexSet(status["failedIndexes"].string ?? "", below: spec.indexes)
        for pod in open where spec.failsIndex(pod) { if let index = spec.index(of: pod) { failed.insert(index) } }
        tally.failedIndexes = failed
        let running = Set(active.compactMap(spec.index))
        for pod in open where spec.hasFailed(pod) {
            guard let index = spec.index(of: pod), !done.contains(index), !failed.contains(index), !running.contains(index) else { continue }
            if let other = tally.replaced[index], IndexFailures(other).all > IndexFailures(pod).all || JobRun.end(pod) < JobRun.end(other) { continue }
            tally.replaced[index] = pod
        }
    }

    /// Lists the ended pods and lets them go; once the end is decided, all pods, those that ran counting as failed where the Job failed.
    mutating func track() {
        let ordered = spec.isIndexed ? pods.sorted { (spec.index(of: $0) ?? -1) < (spec.index(of: $1) ?? -1) } : pods
        var written = IndexSet(status["completedIndexes"].string ?? "", below: spec.indexes)
        var listed = ["succeeded": status["uncountedTerminatedPods"]["succeeded"].stringList, "failed": status["uncountedTerminatedPods"]["failed"].stringList]
        for pod in ordered where tally.open.contains(pod.uid) && !outcome.discarded.contains(pod.uid) {
            let hasFailed = spec.hasFailed(pod)
            guard mayRelease(pod, hasFailed) else { continue }
            outcome.releases.append(Jobs.withoutFinalizer(pod))
            let isListed = listed.values.contains { $0.contains(pod.uid) }
            if PodView(pod).phase == "Succeeded", listed["failed"]?.contains(pod.uid) != true {
                if spec.isIndexed {
                    if let index = spec.index(of: pod) { written.insert(index) }
                } else if !isListed {
                    listed["succeeded", default: []].append(pod.uid)
                }
            } else if hasFailed || verdict?.isSuccess == false, !isListed, !spec.isIndexed || spec.index(of: pod) != nil, spec.judgement(of: pod).counts {
                listed["failed", default: []].append(pod.uid)
            }
            if listed.values.reduce(0, { $0 + $1.count }) >= JobRun.mostUncounted { break }
        }
        for (field, uids) in listed { status["uncountedTerminatedPods"][field] = uids.isEmpty ? .null : Node(uids) }
        if status["uncountedTerminatedPods"].isNull { status["uncountedTerminatedPods"] = .emptyMap }
        guard spec.isIndexed else { return }
        status["completedIndexes"] = written.isEmpty ? .null : .string(written.description)
        status.setCount("succeeded", written.count)
        status["failedIndexes"] = tally.failedIndexes.map { .string($0.description) } ?? .null
    }

    private func mayRelease(_ pod: Node, _ hasFailed: Bool) -> Bool {
        if job.isBeingDeleted || verdict != nil || PodView(pod).phase == "Succeeded" { return true }
        guard hasFailed else { return false }
        // Its successor is to read its count first.
        guard spec.backoffLimitPerIndex != nil, let index = spec.index(of: pod) else { return true }
        return tally.replaced[index]?.uid != pod.uid
    }

    /// When a pod ended, as far as it tells.
    static func end(_ pod: Node) -> Timestamp {
        let sidecars = Set(pod["spec"]["initContainers"].list.filter { $0["restartPolicy"].string == "Always" }.compactMap { $0["name"].string })
        let statuses = pod["status"]["containerStatuses"].list + pod["status"]["initContainerStatuses"].list.filter { sidecars.contains($0["name"].string ?? "") }
        let times = statuses.map { $0["state"]["terminated"].time("finishedAt") }
        if let last = times.compactMap({ $0 }).max(), !times.contains(nil) { return last }
        if let ready = PodConditions.get(pod, "Ready"), ready["status"].string == "False", let time = ready.time("lastTransitionTime") { return time }
        if let deletion = pod["metadata"].time("deletionTimestamp") { return deletion + .seconds(-(pod["metadata"]["deletionGracePeriodSeconds"].int ?? 0)) }
        return pod.creation ?? Timestamp(seconds: 0)
    }
}
