import Synchronization

/// The shell around the hub's state machine: decides under its lock, calls sinks outside it.
final class WatchHub: Sendable {
    private let machine: Mutex<WatchHubStateMachine<any WatchSink>>
    /// All up to here has been handed to every live sink.
    private let delivered: Atomic<Int64>

    init(revision: Int64) {
        machine = Mutex(WatchHubStateMachine(revision: revision))
        delivered = Atomic(revision)
    }

    /// Only decides; the caller holds the lock of the state, so that no subscription falls between state and hub.
    func committed(_ events: [WatchEvent], revision: Int64) -> [WatchHubStateMachine<any WatchSink>.Action] {
        machine.withLock { $0.committed(events, revision: revision) }
    }

    /// On the writer's thread, after all locks are gone.
    func perform(_ actions: [WatchHubStateMachine<any WatchSink>.Action], revision: Int64) {
        for action in actions {
            switch action {
            case .deliver(let sink, let batch): sink.deliver(batch)
            case .end(let sink, let reason): sink.ended(reason)
            }
        }
        delivered.store(revision, ordering: .releasing)
    }

    func subscribe(_ sink: any WatchSink, _ interest: WatchInterest, replay: Int, limit: Int) -> Int? {
        machine.withLock { $0.subscribed(sink, interest, replay: replay, limit: limit) }
    }

    /// Hands over what was committed during the replay until the writer can take over.
    func finishReplay(_ id: Int, _ sink: any WatchSink) {
        while true {
            switch machine.withLock({ $0.replayed(id) }) {
            case .deliver(let batch): sink.deliver(batch)
            case .end(let reason): return sink.ended(reason)
            case .live, .gone: return
            }
        }
    }

    func drained(_ id: Int, _ count: Int) { machine.withLock { $0.drained(id, count) } }
    func cancel(_ id: Int) { machine.withLock { _ = $0.cancelled(id) } }
    func close() { perform(machine.withLock { $0.closed() }, revision: delivered.load(ordering: .acquiring)) }

    func progress(_ id: Int) -> Int64? {
        // Read before asking: what is delivered by now was offered to whoever is live by then.
        let revision = delivered.load(ordering: .acquiring)
        return machine.withLock { $0.isLive(id) } ? revision : nil
    }
}

/// A running watch. Letting go of it does not end it: call `cancel`.
package struct WatchSubscription: Sendable {
    private let hub: WatchHub
    private let id: Int
    /// Where the replay ended and live events begin.
    package let startRevision: Int64

    init(hub: WatchHub, id: Int, startRevision: Int64) {
        self.hub = hub
        self.id = id
        self.startRevision = startRevision
    }

    /// Tells that this many delivered events are off the subscriber's queue. Without it the queue's bound is soon reached.
    package func consumed(_ count: Int) { hub.drained(id, count) }

    /// No delivery begins after this returns, except one that another thread is just making.
    package func cancel() { hub.cancel(id) }

    /// All events up to this revision have been handed to the sink; nil when the watch has ended. For bookmarks: read it,
    /// then queue the bookmark behind what the sink has queued.
    package var progress: Int64? { hub.progress(id).map { max($0, startRevision) } }
}
