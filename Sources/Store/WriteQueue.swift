import Core
import Synchronization

/// Called on the writer's thread in commit order; must not block.
package typealias CommitCompletion = @Sendable (Result<[Record], StoreError>) -> Void

/// The steps of one write, between which tests kill the process or make it fail.
package enum WriteStep: Sendable, Hashable {
    /// Jobs taken, nothing checked.
    case taken
    /// Revisions given out, nothing written.
    case prepared
    /// BEGIN and all rows done, COMMIT not.
    case written
    /// On disk, not visible.
    case committed
    /// Visible and announced, callers not told.
    case published
    /// Callers told.
    case resumed
}

/// A hook between the steps. Throwing before `committed` makes the write fail as the disk would.
package typealias WriteProbe = @Sendable (WriteStep) throws(StoreError) -> Void

/// The only place that writes. One thread takes all that waits, commits it as one transaction, publishes it as one batch,
/// then answers. That there is a single writer is what makes revisions gapless in order without locks in the database: a second
/// writer would check against a state that is not the database's, so a lock file keeps other processes out.
final class WriteQueue: Sendable {
    private struct Job: Sendable {
        let commands: [Command]
        let size: Int
        let completion: CommitCompletion
    }

    private struct Pending: Sendable {
        var jobs: [Job] = []
        var bytes = 0
        var isClosing = false
    }

    private let pending = Monitor(Pending())
    private let state: Mutex<RevisionState>
    private let hub: WatchHub
    let past = PastSnapshots()
    private let engine: any Engine
    private let limits: StoreLimits
    private let clock: any TimeSource
    private let probe: WriteProbe?
    private let thread = Mutex<WorkerThread?>(nil)
    /// The last published revision, for whoever only wants that.
    private let published: Atomic<Int64>
    /// Only the writer's thread touches it; a mutex because the compiler cannot know.
    private let garbage: Mutex<[Int64]>

    init(
        state: consuming RevisionState, garbage: [Int64], engine: any Engine, limits: StoreLimits, clock: any TimeSource, probe: WriteProbe?
    ) {
        let revision = state.revision
        hub = WatchHub(revision: revision)
        published = Atomic(revision)
        self.state = Mutex(state)
        self.garbage = Mutex(garbage)
        self.engine = engine
        self.limits = limits
        self.clock = clock
        self.probe = probe
    }

    var revision: Int64 { published.load(ordering: .acquiring) }

    /// For readers: look, copy, go. Work happens outside.
    func read<Result: Sendable, Failure: Error>(_ body: (RevisionState) throws(Failure) -> Result) throws(Failure) -> Result {
        try state.withLock { (state) throws(Failure) in try body(state) }
    }

    func start() throws(SystemFailure) {
        let started = try WorkerThread(name: "store-writer") { self.run() }
        thread.withLock { $0 = started }
    }

    /// As `close`, but does not wait, so that it may come from anywhere.
    func abandon() {
        pending.change { $0.isClosing = true }
        if let thread = thread.withLock({ $0.take() }) { thread.detach() }
    }

    /// Refuses new jobs, finishes those that wait, and returns when the database is closed. Not from a completion or sink.
    func close() {
        pending.change { $0.isClosing = true }
        if let thread = thread.withLock({ $0.take() }) { thread.join() }
    }

    // MARK: - Callers

    func submit(_ commands: [Command], _ completion: @escaping CommitCompletion) {
        let size = commands.reduce(0) { $0 + $1.size }
        let refusal: StoreError? = pending.change { pending in
            if pending.isClosing { return .closed }
            if size > limits.batchBytes { return .tooLarge(size: size, limit: limits.batchBytes) }
            if pending.jobs.count >= limits.queuedJobs || pending.bytes + size > limits.queuedBytes { return .overloaded }
            pending.jobs.append(Job(commands: commands, size: size, completion: completion))
            pending.bytes += size
            return nil
        }
        if let refusal { completion(.failure(refusal)) }
    }

    func subscribe(
        _ interest: WatchInterest, after start: Int64?, limit: Int, to sink: any WatchSink
    ) throws(StoreError) -> WatchSubscription {
        // State and hub under one lock, so that each event is either in the replay or still to come, never both or neither.
        let (id, replay, current): (Int?, [WatchEvent], Int64) = try state.withLock { (state) throws(StoreError) in
            let start = start ?? state.revision
            let replay = try state.events(of: interest.resource, after: start).filter { interest.includes($0.record.key) }
            return (hub.subscribe(sink, interest, replay: replay.count, limit: limit), replay, state.revision)
        }
        guard let id else { throw .closed }
        if !replay.isEmpty { sink.deliver(WatchBatch(events: replay, revision: current)) }
        hub.finishReplay(id, sink)
        return WatchSubscription(hub: hub, id: id, startRevision: current)
    }

    // MARK: - The writer's thread

    private func run() {
        var isUntidy = false
        while true {
            var next = isUntidy ? pending.wait(atMost: .milliseconds(200), take) : nil
            if next == nil, isUntidy { engine.maintainIdle() }
            // The past grows old also while nobody writes; once it is all gone, nothing wakes this thread.
            while next == nil, let rest = restUntilCompaction() {
                next = pending.wait(atMost: rest, take)
                if next == nil { compact() }
            }
            guard case .jobs(let jobs) = next ?? pending.wait(take) else { break }
            process(jobs)
            isUntidy = engine.maintain()
        }
        hub.close()
        engine.close()
    }

    private func restUntilCompaction() -> Duration? {
        guard let due = state.withLock({ $0.nextCompaction }) else { return nil }
        // Not for each old commit: those of some time go together.
        return max(due.time - clock.now(), due.pause)
    }

    /// The rows go with the next write.
    private func compact() {
        let now = clock.now()
        let (dropped, compacted) = state.withLock { ($0.compact(now: now), $0.compacted) }
        past.drop(before: compacted)
        if engine.keepsRows { garbage.withLock { $0 += dropped } }
        // A burst's history: nobody writes, so nobody waits for the pages' return, and nobody needs them soon.
        if dropped.count >= 256 { Heap.trim() }
    }

    private enum Next: Sendable {
        case jobs([Job])
        /// Closing, and nothing is left.
        case end
    }

    /// What one transaction takes of what waits; nil while nothing does.
    private func take(_ pending: inout Pending) -> Next? {
        guard !pending.jobs.isEmpty else { return pending.isClosing ? .end : nil }
        var count = 0
        var bytes = 0
        for job in pending.jobs {
            guard count < limits.batchJobs, count == 0 || bytes + job.size <= limits.batchBytes else { break }
            count += 1
            bytes += job.size
        }
        pending.bytes -= bytes
        let jobs = Array(pending.jobs[..<count])
        pending.jobs.removeFirst(count)
        return .jobs(jobs)
    }

    private func process(_ jobs: [Job]) {
        var results: [Result<[Record], StoreError>]
        do throws(StoreError) {
            try probe?(.taken)
            var batch = Batch(after: revision, limits: limits) { key in self.state.withLock { $0.record(key) } }
            results = jobs.map { batch.add($0.commands) }
            if !batch.isEmpty { try write(batch) }
        } catch {
            // Also those that failed by themselves: what they were checked against did not come true.
            results = jobs.map { _ in .failure(error) }
        }
        for (job, result) in zip(jobs, results) { job.completion(result) }
        try? probe?(.resumed)
    }

    private func write(_ batch: Batch) throws(StoreError) {
        let time = clock.now()
        try probe?(.prepared)
        let removed = try garbage.withLock { (garbage) throws(StoreError) -> Int in
            let part = engine.keepsRows ? garbage.prefix(garbageStep(garbage.count, batch.events.count)) : []
            let compacted = state.withLock { $0.compacted }
            try engine.commit(EngineWrite(events: batch.events, meta: batch.meta, time: time, garbage: part, compacted: compacted))
            return part.count
        }
        try? probe?(.committed)
        let (actions, dropped, compacted) = state.withLock { state in
            state.apply(batch.events, meta: batch.meta, at: time)
            let dropped = state.compact(now: time)
            return (hub.committed(batch.events, revision: batch.revision), dropped, state.compacted)
        }
        past.drop(before: compacted)
        published.store(batch.revision, ordering: .releasing)
        hub.perform(actions, revision: batch.revision)
        for event in batch.events { event.previous?.forgetDerived() }
        try? probe?(.published)
        garbage.withLock { garbage in
            garbage.removeFirst(removed)
            if engine.keepsRows { garbage += dropped }
        }
    }

    /// Old rows are removed in the transactions of new ones: a few hundred at a time, since each touches pages that would else
    /// stay clean, and more than one write can add, so that they never pile up.
    private func garbageStep(_ waiting: Int, _ rows: Int) -> Int {
        waiting < 256 ? 0 : min(waiting, 256 + 2 * rows)
    }
}
