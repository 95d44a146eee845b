import Core

/// A key of the meta area with its new value; nil removes.
typealias MetaChange = (key: String, value: [UInt8]?)

/// The commits of one write, decided in memory: checks each transaction against the state and those before it, gives out
/// revisions, splices. A transaction that fails leaves no trace, not even a skipped revision.
struct Batch {
    private(set) var events: [WatchEvent] = []
    private(set) var meta: [MetaChange] = []
    private(set) var revision: Int64
    private let limits: StoreLimits
    private let committed: (Key) -> Record?
    /// What the transactions so far made of the keys they touched; the inner nil is a deleted one.
    private var staged: [Key: Record?] = [:]

    init(after revision: Int64, limits: StoreLimits, committed: @escaping (Key) -> Record?) {
        self.revision = revision
        self.limits = limits
        self.committed = committed
    }

    var isEmpty: Bool { events.isEmpty && meta.isEmpty }

    /// All commands or none. Returns the records that they made, in order.
    mutating func add(_ commands: [Command]) -> Result<[Record], StoreError> {
        let firstEvent = events.count
        let firstMeta = meta.count
        let firstRevision = revision
        do throws(StoreError) {
            for command in commands { try add(command) }
            return .success(events[firstEvent...].map(\.record))
        } catch {
            for event in events[firstEvent...].reversed() { staged.updateValue(event.previous, forKey: event.record.key) }
            events.removeSubrange(firstEvent...)
            meta.removeSubrange(firstMeta...)
            revision = firstRevision
            return .failure(error)
        }
    }

    private mutating func add(_ command: Command) throws(StoreError) {
        switch command {
        case .create(let key, let draft):
            if let existing = current(key) { throw .exists(existing) }
            try stage(key, draft, previous: nil, isDeletion: false)
        case .update(let key, let draft, let expected):
            try stage(key, draft, previous: try current(key, expected), isDeletion: false)
        case .delete(let key, let draft, let expected):
            try stage(key, draft, previous: try current(key, expected), isDeletion: true)
        case .require(let key, let expected):
            _ = try current(key, expected)
        case .setMeta(let key, let value):
            meta.append((key, value))
        }
    }

    private func current(_ key: Key) -> Record? {
        if let known = staged[key] { return known }
        return committed(key)
    }

    private func current(_ key: Key, _ expected: Int64?) throws(StoreError) -> Record {
        guard let record = current(key) else { throw .notFound(key) }
        if let expected, expected != record.revision { throw .conflict(record) }
        return record
    }

    private mutating func stage(_ key: Key, _ draft: Draft, previous: Record?, isDeletion: Bool) throws(StoreError) {
        guard draft.size <= limits.recordBytes else { throw .tooLarge(size: draft.size, limit: limits.recordBytes) }
        revision += 1
        let record = Record(
            key: key, revision: revision, createRevision: previous?.createRevision ?? revision, isDeletion: isDeletion,
            body: draft.spliced(revision), header: draft.header, derived: draft.derived)
        events.append(WatchEvent(record: record, previous: previous))
        staged.updateValue(isDeletion ? nil : record, forKey: key)
    }
}
