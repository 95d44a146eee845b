package import Core

/// Versioned objects: one revision counter, optimistic concurrency, consistent reads of the present and the near past, watches
/// without gaps. What `commit` has returned survives SIGKILL (and, when durable, power loss); readers see whole commits only.
package final class Store: Sendable {
    /// Where commits go.
    package enum Location: Sendable {
        case memory
        /// A SQLite database, made (0600, missing folders 0700) where there is none.
        case file(String, Durability)
    }

    package struct Options: Sendable {
        package var history = HistoryLimits()
        package var limits = StoreLimits()
        /// Revisions go on from here at least. For a restored backup, whose clients may have seen later ones.
        package var minimumRevision: Int64 = 0
        package var clock: any TimeSource = SystemTime()
        /// Only tests set it.
        package var probe: WriteProbe?
        package init() {}
    }

    let queue: WriteQueue

    /// Loads the database and starts the writer. Throws `locked`, `foreign`, `newerSchema`, or what the disk says.
    package init(_ location: Location, options: Options = Options()) throws(StoreError) {
        var state = RevisionState(limits: options.history)
        var garbage: [Int64] = []
        let engine: any Engine
        switch location {
        case .memory: engine = MemoryEngine()
        case .file(let path, let durability):
            engine = try SQLiteEngine(path: path, durability: durability, probe: options.probe, into: &state, garbage: &garbage)
        }
        garbage += state.advance(to: options.minimumRevision)
        queue = WriteQueue(
            state: state, garbage: garbage, engine: engine, limits: options.limits, clock: options.clock, probe: options.probe)
        do { try queue.start() } catch { throw .system(error) }
    }

    deinit { queue.abandon() }

    /// Finishes what waits, ends all watches, closes the database. Blocks, so not from a completion or a sink; later writes fail with `closed`, reads go on working.
    package func close() { queue.close() }

    // MARK: - Writing

    /// All commands as one transaction, each record with a revision of its own; the result holds the records that `create`,
    /// `update` and `delete` made, in order. `completion` comes on the writer's thread, in commit order, and must not block;
    /// when the queue refuses, on the caller's.
    package func submit(_ commands: [Command], completion: @escaping CommitCompletion) { queue.submit(commands, completion) }

    package func submit(_ command: Command, completion: @escaping @Sendable (Result<Record, StoreError>) -> Void) {
        queue.submit([command]) { result in completion(result.flatMap(Store.single)) }
    }

    package func commit(_ commands: [Command]) async throws(StoreError) -> [Record] {
        try await withUnsafeContinuation { continuation in
            queue.submit(commands) { continuation.resume(returning: $0) }
        }.get()
    }

    package func commit(_ command: Command) async throws(StoreError) -> Record {
        try Store.single(await commit([command])).get()
    }

    package func setMeta(_ key: String, _ value: [UInt8]?) async throws(StoreError) { _ = try await commit([.setMeta(key, value)]) }

    private static func single(_ records: [Record]) -> Result<Record, StoreError> {
        guard let record = records.first else { preconditionFailure("a single command must be one that makes a record") }
        return .success(record)
    }

    // MARK: - Reading

    /// The last published revision. Every write acknowledged before is visible at it.
    package var currentRevision: Int64 { queue.revision }

    package func get(_ key: Key) -> Record? { queue.read { $0.record(key) } }

    package func meta(_ key: String) -> [UInt8]? { queue.read { $0.meta[key] } }

    /// The oldest revision that `snapshot(of:at:)` can still show.
    package var compactedRevision: Int64 { queue.read { $0.compacted } }

    /// A resource as it is now, or as it was at `revision`. Throws `expired` and `future`.
    package func snapshot(of resource: String, at revision: Int64? = nil) throws(StoreError) -> Snapshot {
        guard let revision, revision != currentRevision else { return try read(resource, at: revision) }
        try queue.read { (state) throws(StoreError) in try state.check(revision) }
        if let known = queue.past.find(resource, revision) { return known }
        let snapshot = try read(resource, at: revision)
        queue.past.keep(snapshot, of: resource)
        return snapshot
    }

    private func read(_ resource: String, at revision: Int64?) throws(StoreError) -> Snapshot {
        let (records, undo, current) = try queue.read { (state) throws(StoreError) in
            let view = try state.view(of: resource, at: revision)
            return (view.records, view.undo, state.revision)
        }
        return Snapshot(revision: revision ?? current, records: records, undo: undo)
    }

    /// A page of a list. To go on, pass the page's revision and the position of its last record.
    package func list(
        _ resource: String, namespace: String? = nil, at revision: Int64? = nil, after: ListPosition? = nil, limit: Int? = nil
    ) throws(StoreError) -> ListPage {
        try snapshot(of: resource, at: revision).page(namespace: namespace, after: after, limit: limit)
    }

    // MARK: - Watching

    /// Delivers all events after `revision` (nil: from now on), first those of the past, on this thread, before it returns,
    /// then each commit as it happens; none twice, none missing. A subscriber that has more than `limit` events of the
    /// present unconsumed is ended with `overflowed`. Throws `expired`, `future`, `closed`.
    package func watch(
        _ interest: WatchInterest, after revision: Int64? = nil, limit: Int = 10_000, sink: any WatchSink
    ) throws(StoreError) -> WatchSubscription {
        try queue.subscribe(interest, after: revision, limit: limit, to: sink)
    }
}
