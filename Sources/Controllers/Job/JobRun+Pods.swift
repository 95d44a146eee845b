import Client
import Core
import Kinds
import Machinery
import Schema
import Tree

extension JobRun {
    /// Most pods that one plan makes or removes.
    private static let burst = 500

    mutating func manage() {
        if verdict != nil {
            // The end is decided: what runs is ended, and counted by `track`.
            remove(active)
            return
        }
        if !job.isBeingDeleted { steer() }
        let isEnough = spec.completions.map { tally.succeeded >= $0 } ?? (tally.succeeded > 0)
        if isEnough, active.isEmpty {
            decide(true, "CompletionsReached", "Reached expected number of succeeded pods")
        } else if !job.isBeingDeleted {
            suspendOrResume()
        }
    }

    private mutating func steer() {
        let running = Int64(active.count)
        if spec.isSuspended {
            discard(surplus(atLeast: active.count))
            return
        }
        var wanted = spec.parallelism
        if let completions = spec.completions { wanted = max(0, min(wanted, completions - tally.succeeded)) } else if tally.succeeded > 0 { wanted = running }
        let victims = surplus(atLeast: Int(max(0, running - wanted)))
        if !victims.isEmpty {
            discard(Array(victims.prefix(JobRun.burst)))
            return
        }
        let terminating = spec.replacesOnlyFailed ? Int64(pods.filter { PodView($0).isTerminating }.count) : 0
        let missing = wanted - terminating - running
        if missing > 0 { create(Int(min(missing, Int64(JobRun.burst)))) }
    }

    /// Pods beyond what is wanted, and those whose index is double or none.
    private func surplus(atLeast count: Int) -> [Node] {
        var out: [Node] = []
        var left = active
        if spec.isIndexed {
            left = []
            for (_, group) in Dictionary(grouping: active, by: { spec.index(of: $0) }).sorted(by: { ($0.key ?? -1) < ($1.key ?? -1) }) {
                let ranked = VictimRanking(related: [], now: now).first(group.count - 1, of: group)
                let gone = group.first.flatMap(spec.index) == nil ? group : ranked
                out += gone
                left += group.filter { pod in !gone.contains { $0.uid == pod.uid } }
            }
        }
        if out.count < count { out += VictimRanking(related: [], now: now).first(count - out.count, of: left) }
        return out
    }

    // MARK: - Creating

    private mutating func create(_ count: Int) {
        if spec.backoffLimitPerIndex == nil, let left = backoff() {
            outcome.requeue(left)
            return
        }
        guard spec.isIndexed else {
            for _ in 0..<count { outcome.pending.append(.create(.pods, pod(index: nil), announce: .podCreation(job))) }
            return
        }
        var taken = tally.done
        taken.formUnion(IndexSet(active.compactMap(spec.index).sorted()))
        if spec.replacesOnlyFailed { taken.formUnion(IndexSet(pods.filter { PodView($0).isTerminating }.compactMap(spec.index).sorted())) }
        if let failed = tally.failedIndexes { taken.formUnion(failed) }
        for index in taken.missing(count, below: spec.indexes) {
            if let last = tally.replaced[index], let left = delay(after: IndexFailures(last).all + 1, since: JobRun.end(last)) {
                outcome.requeue(left)
            } else {
                outcome.pending.append(.create(.pods, pod(index: index), announce: .podCreation(job)))
            }
        }
    }

    /// What is left of the wait after the failures since the last success.
    private func backoff() -> Duration? {
        let ended = pods.filter { PodView($0).phase == "Succeeded" || spec.hasFailed($0) }.map { (time: JobRun.end($0), failed: spec.hasFailed($0)) }
            .sorted { $0.time > $1.time }
        guard let last = ended.first, last.failed else { return nil }
        return delay(after: Int64(ended.prefix { $0.failed }.count), since: last.time)
    }

    /// 10 s after a failure, doubled with each one more, at most 10 minutes.
    private func delay(after failures: Int64, since: Timestamp) -> Duration? {
        let left = (since + .seconds(min(600, 10 << min(failures - 1, 10)))) - now
        return left > .zero ? left : nil
    }

    private func pod(index: Int64?) -> Node {
        var pod = PodTemplates.pod(job["spec"]["template"], owner: job, reference)
        if !pod.finalizers.contains(Jobs.finalizer) { pod["metadata"]["finalizers"] = Node(pod.finalizers + [Jobs.finalizer]) }
        guard let index else { return pod }
        // The name that the server makes of it keeps the index, however long the Job's name is.
        let ending = "-\(index)-"
        pod["metadata"]["generateName"] = .string(String(job.name.prefix(58 - ending.utf8.count)) + ending)
        pod["metadata"]["annotations"][Jobs.indexKey] = .string("\(index)")
        pod["metadata"]["labels"][Jobs.indexKey] = .string("\(index)")
        if spec.backoffLimitPerIndex != nil {
            let failures = IndexFailures(replacing: tally.replaced[index], of: spec)
            pod["metadata"]["annotations"][IndexFailures.countedKey] = .string("\(failures.counted)")
            if failures.ignored > 0 { pod["metadata"]["annotations"][IndexFailures.ignoredKey] = .string("\(failures.ignored)") }
        }
        pod["spec"]["hostname"] = .string("\(job.name)-\(index)")
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

    // MARK: - Removing

    private mutating func remove(_ victims: [Node]) {
        for pod in victims {
            outcome.pending.append(.delete(.pods, ObjectKey(pod.namespace, pod.name), DeleteOptions(uid: pod.uid), announce: .podDeletion(job)))
        }
        let gone = Set(victims.map(\.uid))
        active.removeAll { gone.contains($0.uid) }
    }

    /// Removes pods that are no failure of the Job: they go without being counted.
    private mutating func discard(_ victims: [Node]) {
        for pod in victims where tally.open.contains(pod.uid) {
            outcome.releases.append(Jobs.withoutFinalizer(pod))
            outcome.discarded.insert(pod.uid)
        }
        remove(victims)
    }

    private mutating func suspendOrResume() {
        let was = status.condition("Suspended")?["status"].string == "True"
        if spec.isSuspended, !was {
            append("Suspended", "JobSuspended", "Job suspended")
            status.remove("startTime")
            outcome.events.append(.event(Event(job, reason: "Suspended", message: "Job suspended")))
        } else if !spec.isSuspended, was {
            append("Suspended", "JobResumed", "Job resumed", status: "False")
            status["startTime"] = .string(now.rfc3339)
            outcome.events.append(.event(Event(job, reason: "Resumed", message: "Job resumed")))
        }
    }
}
