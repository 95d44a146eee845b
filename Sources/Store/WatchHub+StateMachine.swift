/// Who gets which event, decided without IO, locks or time. Each event of the shell is a method that returns what to do.
///
/// A subscriber is `replaying` while the shell hands it the past: what is committed meanwhile waits in the machine, so that
/// no two threads deliver to one subscriber. `replayed` gives out what waits until nothing does; then it is `live` and the
/// writer delivers. `Handle` is whatever the shell needs to reach the subscriber.
struct WatchHubStateMachine<Handle: Sendable>: Sendable {
    typealias ID = Int

    enum Action: Sendable {
        case deliver(Handle, WatchBatch)
        /// The subscriber is forgotten already.
        case end(Handle, WatchEnd)
    }

    /// What the replaying thread does next.
    enum Step: Sendable {
        /// Deliver, then ask again.
        case deliver(WatchBatch)
        /// Nothing more for this thread.
        case live
        /// Tell the subscriber; it is forgotten already.
        case end(WatchEnd)
        /// It was cancelled meanwhile.
        case gone
    }

    private enum Phase: Sendable {
        /// → live (nothing waits at `replayed`), → forgotten (cancelled, or ended at `replayed`).
        case replaying(waiting: [WatchEvent], end: WatchEnd?)
        /// → forgotten (cancelled, overflowed, closed).
        case live
    }

    private struct Subscriber: Sendable {
        let handle: Handle
        let interest: WatchInterest
        let capacity: Int
        /// Delivered or waiting, and not yet drained.
        var outstanding: Int
        var phase: Phase
    }

    /// The subscribers of one resource, by what they want.
    fileprivate struct Shard: Sendable {
        var all: [ID] = []
        var byNamespace: [String: [ID]] = [:]
        var byName: [ListPosition: [ID]] = [:]
        /// A name in any namespace: rare, so a scan.
        var byNameAnywhere: [ID] = []
        var isEmpty: Bool { all.isEmpty && byNamespace.isEmpty && byName.isEmpty && byNameAnywhere.isEmpty }
    }

    private var subscribers: [ID: Subscriber] = [:]
    private var shards: [String: Shard] = [:]
    private var nextID = 0
    private(set) var revision: Int64
    private var isClosed = false

    init(revision: Int64) { self.revision = revision }

    var count: Int { subscribers.count }

    /// Registers a subscriber that the caller will now give `replay` events. Nil once closed.
    mutating func subscribed(_ handle: Handle, _ interest: WatchInterest, replay: Int, limit: Int) -> ID? {
        guard !isClosed else { return nil }
        let id = nextID
        nextID += 1
        // The past is in memory anyway, so it comes on top of the limit, which bounds what the subscriber falls behind.
        subscribers[id] = Subscriber(
            handle: handle, interest: interest, capacity: limit + replay, outstanding: replay, phase: .replaying(waiting: [], end: nil))
        shards[interest.resource, default: Shard()].add(id, interest)
        return id
    }

    /// The caller has delivered what it had.
    mutating func replayed(_ id: ID) -> Step {
        guard case .replaying(let waiting, let end) = subscribers[id]?.phase else { return .gone }
        if let end {
            forget(id)
            return .end(end)
        }
        guard !waiting.isEmpty else {
            subscribers[id]?.phase = .live
            return .live
        }
        subscribers[id]?.phase = .replaying(waiting: [], end: nil)
        return .deliver(WatchBatch(events: waiting, revision: waiting[waiting.count - 1].revision))
    }

    /// A commit: who is live gets its part of it, in the order of subscription within each kind of interest.
    mutating func committed(_ events: [WatchEvent], revision: Int64) -> [Action] {
        self.revision = revision
        var actions: [Action] = []
        var byResource: [String: [WatchEvent]] = [:]
        for event in events where shards[event.record.key.resource] != nil {
            byResource[event.record.key.resource, default: []].append(event)
        }
        for (resource, events) in byResource {
            guard let shard = shards[resource] else { continue }
            for id in shard.all { offer(events, to: id, &actions) }
            if !shard.byNamespace.isEmpty {
                for (namespace, part) in Dictionary(grouping: events, by: \.record.key.namespace) {
                    for id in shard.byNamespace[namespace] ?? [] { offer(part, to: id, &actions) }
                }
            }
            if !shard.byName.isEmpty {
                for (position, part) in Dictionary(grouping: events, by: \.record.key.position) {
                    for id in shard.byName[position] ?? [] { offer(part, to: id, &actions) }
                }
            }
            for id in shard.byNameAnywhere {
                guard let interest = subscribers[id]?.interest else { continue }
                let part = events.filter { interest.includes($0.record.key) }
                if !part.isEmpty { offer(part, to: id, &actions) }
            }
        }
        return actions
    }

    private mutating func offer(_ events: [WatchEvent], to id: ID, _ actions: inout [Action]) {
        guard var subscriber = subscribers[id] else { return }
        subscriber.outstanding += events.count
        let overflows = subscriber.outstanding > subscriber.capacity
        switch subscriber.phase {
        case .replaying(_, .some): return
        case .replaying(let waiting, nil):
            // Not `end` yet: the replaying thread may be inside the subscriber right now.
            subscriber.phase = overflows ? .replaying(waiting: [], end: .overflowed) : .replaying(waiting: waiting + events, end: nil)
            subscribers[id] = subscriber
        case .live where overflows:
            forget(id)
            actions.append(.end(subscriber.handle, .overflowed))
        case .live:
            subscribers[id] = subscriber
            actions.append(.deliver(subscriber.handle, WatchBatch(events: events, revision: revision)))
        }
    }

    /// The subscriber is done with this many events.
    mutating func drained(_ id: ID, _ count: Int) {
        guard let outstanding = subscribers[id]?.outstanding else { return }
        subscribers[id]?.outstanding = max(0, outstanding - count)
    }

    /// The subscriber wants no more; false when it was gone already.
    @discardableResult
    mutating func cancelled(_ id: ID) -> Bool {
        guard subscribers[id] != nil else { return false }
        forget(id)
        return true
    }

    /// The store closes: nobody can subscribe any more.
    mutating func closed() -> [Action] {
        isClosed = true
        var actions: [Action] = []
        for (id, subscriber) in subscribers.sorted(by: { $0.key < $1.key }) {
            switch subscriber.phase {
            case .replaying(_, .some): continue
            case .replaying(let waiting, nil): subscribers[id]?.phase = .replaying(waiting: waiting, end: .closed)
            case .live:
                forget(id)
                actions.append(.end(subscriber.handle, .closed))
            }
        }
        return actions
    }

    /// True once the subscriber gets its events from the writer, and so has all up to the last commit delivered.
    func isLive(_ id: ID) -> Bool {
        if case .live = subscribers[id]?.phase { true } else { false }
    }

    private mutating func forget(_ id: ID) {
        guard let interest = subscribers.removeValue(forKey: id)?.interest else { return }
        shards[interest.resource]?.remove(id, interest)
        if shards[interest.resource]?.isEmpty == true { shards[interest.resource] = nil }
    }
}

extension WatchHubStateMachine.Shard {
    fileprivate mutating func add(_ id: Int, _ interest: WatchInterest) {
        switch (interest.namespace, interest.name) {
        case (nil, nil): all.append(id)
        case (let namespace?, nil): byNamespace[namespace, default: []].append(id)
        case (let namespace?, let name?): byName[ListPosition(namespace: namespace, name: name), default: []].append(id)
        case (nil, _?): byNameAnywhere.append(id)
        }
    }

    fileprivate mutating func remove(_ id: Int, _ interest: WatchInterest) {
        switch (interest.namespace, interest.name) {
        case (nil, nil): all.removeAll { $0 == id }
        case (let namespace?, nil):
            byNamespace[namespace]?.removeAll { $0 == id }
            if byNamespace[namespace]?.isEmpty == true { byNamespace[namespace] = nil }
        case (let namespace?, let name?):
            let position = ListPosition(namespace: namespace, name: name)
            byName[position]?.removeAll { $0 == id }
            if byName[position]?.isEmpty == true { byName[position] = nil }
        case (nil, _?): byNameAnywhere.removeAll { $0 == id }
        }
    }
}
