import Core

/// All that is true now, and the past as far as it is kept: multi-version concurrency in memory. IO-free. The writer applies whole
/// commits; readers take copies that stay as they are.
struct RevisionState: Sendable {
    /// One resource: what is current, and what happened.
    struct Collection: Sendable {
        var records = SortedRecords()
        var events = EventLog()
        /// The newest event that was dropped; a watch may resume from here on.
        var floor: Int64
    }

    /// One commit in the window: what it weighs and when it was.
    private struct Mark: Sendable {
        var revision: Int64
        let time: Timestamp
        var count: Int
        var bytes: Int
        /// Whose logs hold its events.
        var resources: Set<String>
    }

    private(set) var revision: Int64 = 0
    /// Exact reads reach back to here.
    private(set) var compacted: Int64 = 0
    private(set) var meta: [String: [UInt8]] = [:]
    private(set) var collections: [String: Collection] = [:]
    private var marks: [Mark] = []
    private var firstMark = 0
    private var count = 0
    private var bytes = 0
    private let limits: HistoryLimits

    init(limits: HistoryLimits) { self.limits = limits }

    func record(_ key: Key) -> Record? {
        collections[key.resource]?.records.record(namespace: key.namespace, name: key.name)
    }

    // MARK: - Writing

    /// Makes a commit visible as a whole.
    mutating func apply(_ events: [WatchEvent], meta changes: [(String, [UInt8]?)], at time: Timestamp) {
        var size = 0
        var resources: Set<String> = []
        for event in events {
            size += event.record.size
            let key = event.record.key
            resources.insert(key.resource)
            collections[key.resource, default: Collection(floor: compacted)].change { collection in
                if event.record.isDeletion {
                    collection.records.remove(namespace: key.namespace, name: key.name)
                } else {
                    collection.records.set(event.record)
                }
                collection.events.append(event)
            }
        }
        for (key, value) in changes { meta[key] = value }
        guard let last = events.last else { return }
        revision = last.revision
        marks.append(Mark(revision: last.revision, time: time, count: events.count, bytes: size, resources: resources))
        count += events.count
        bytes += size
    }

    /// Drops what is beyond the limits and returns the revisions whose rows nobody needs any more: what was superseded or
    /// deleted by a dropped event. Called after each commit, and when `nextCompaction` has come without one.
    mutating func compact(now: Timestamp) -> [Int64] {
        let horizon = compacted
        var resources: Set<String> = []
        while firstMark < marks.count {
            let mark = marks[firstMark]
            // The newest commit stays whatever it weighs: watchers and continue tokens stand on it.
            guard firstMark < marks.count - 1, count > limits.count || bytes > limits.bytes || now - mark.time > limits.age else { break }
            compacted = mark.revision
            count -= mark.count
            bytes -= mark.bytes
            resources.formUnion(mark.resources)
            firstMark += 1
        }
        guard compacted > horizon else { return [] }
        if firstMark >= 64, firstMark * 2 >= marks.count {
            marks.removeFirst(firstMark)
            firstMark = 0
        }
        return dropEvents(of: resources, through: compacted)
    }

    /// When the oldest commit that is not the newest comes of age, and how long one may let others gather.
    var nextCompaction: (time: Timestamp, pause: Duration)? {
        firstMark < marks.count - 1 ? (marks[firstMark].time + limits.age, limits.age / 10) : nil
    }

    private mutating func dropEvents(of resources: Set<String>, through horizon: Int64) -> [Int64] {
        var garbage: [Int64] = []
        // By name and in place: to iterate over the values would copy them, logs and all.
        for resource in resources {
            collections[resource]?.change { collection in
                while let first = collection.events.first, first.revision <= horizon, let event = collection.events.removeFirst() {
                    collection.floor = event.revision
                    if let previous = event.previous { garbage.append(previous.revision) }
                    if event.record.isDeletion { garbage.append(event.revision) }
                }
            }
        }
        garbage.sort()
        return garbage
    }

    // MARK: - Loading

    /// Starts from what the log says about itself. Only before `restore`.
    mutating func begin(compacted: Int64, meta: [String: [UInt8]]) {
        self.compacted = compacted
        self.meta = meta
        revision = compacted
    }

    /// Takes one row of the log, in revision order; returns the rows that it made garbage.
    mutating func restore(_ record: Record, time: Timestamp) -> [Int64] {
        let key = record.key
        // Not below the horizon: the rows that reached it may be gone.
        revision = max(revision, record.revision)
        let previous = collections[key.resource, default: Collection(floor: compacted)].change { collection in
            record.isDeletion
                ? collection.records.remove(namespace: key.namespace, name: key.name) : collection.records.set(record)
        }
        guard record.revision <= compacted else {
            collections[key.resource]?.events.append(WatchEvent(record: record, previous: previous))
            remember(record, time)
            count += 1
            bytes += record.size
            return []
        }
        return (previous.map { [$0.revision] } ?? []) + (record.isDeletion ? [record.revision] : [])
    }

    /// The log does not tell where commits began; a few hundred rows of the same second are as good.
    private mutating func remember(_ record: Record, _ time: Timestamp) {
        guard let last = marks.indices.last, marks[last].time == time, marks[last].count < 256 else {
            marks.append(Mark(revision: record.revision, time: time, count: 1, bytes: record.size, resources: [record.key.resource]))
            return
        }
        marks[last].revision = record.revision
        marks[last].count += 1
        marks[last].bytes += record.size
        marks[last].resources.insert(record.key.resource)
    }

    /// Goes on from a later revision than the log knows, as after a restored backup: all the past counts as gone.
    mutating func advance(to target: Int64) -> [Int64] {
        guard target > revision else { return [] }
        revision = target
        compacted = target
        marks = []
        firstMark = 0
        count = 0
        bytes = 0
        let resources = Set(collections.keys)
        let garbage = dropEvents(of: resources, through: target)
        for resource in resources { collections[resource]?.floor = target }
        return garbage
    }

    // MARK: - Reading

    /// The events of a resource after a revision, if none is missing.
    func events(of resource: String, after start: Int64) throws(StoreError) -> [WatchEvent] {
        guard start <= revision else { throw .future(current: revision) }
        guard let collection = collections[resource] else {
            guard start >= compacted else { throw .expired(oldest: compacted) }
            return []
        }
        guard start >= collection.floor else { throw .expired(oldest: collection.floor) }
        return collection.events.after(start)
    }

    /// Throws where `view` would.
    func check(_ wanted: Int64) throws(StoreError) {
        guard wanted <= revision else { throw .future(current: revision) }
        guard wanted >= compacted || wanted == revision else { throw .expired(oldest: compacted) }
    }

    /// What is needed to see a resource as it was: the present, and what to undo.
    func view(of resource: String, at wanted: Int64?) throws(StoreError) -> (records: SortedRecords, undo: [WatchEvent]) {
        let collection = collections[resource]
        guard let wanted, wanted != revision else { return (collection?.records ?? SortedRecords(), []) }
        try check(wanted)
        return (collection?.records ?? SortedRecords(), collection?.events.after(wanted) ?? [])
    }
}

extension RevisionState.Collection {
    /// In place, so that the dictionary's value is not copied.
    fileprivate mutating func change<Result>(_ body: (inout RevisionState.Collection) -> Result) -> Result { body(&self) }
}
