import Core
import Store
import Synchronization

/// Waits for an object to be created: told by the store, not by asking again.
enum Arrival {
    /// The record, or nil when it did not come in time.
    static func wait(for key: Key, in store: Store, atMost limit: Duration) async -> Record? {
        let sink = Sink(key)
        guard let subscription = try? store.watch(WatchInterest(key.resource, namespace: key.namespace, name: key.name), limit: 1000, sink: sink) else {
            return nil
        }
        defer { subscription.cancel() }
        // It may have come before the watch began.
        if let record = store.get(key) { return record }
        await withTaskGroup(of: Void.self) { group in
            group.addTask { await sink.arrived() }
            group.addTask { try? await Task.sleep(for: limit) }
            await group.next()
            sink.finish()
            group.cancelAll()
        }
        return store.get(key)
    }

    private final class Sink: WatchSink {
        private let state = Mutex<(isDone: Bool, waiter: CheckedContinuation<Void, Never>?)>((false, nil))
        init(_ key: Key) {}

        func deliver(_ batch: WatchBatch) { finish() }
        func ended(_ reason: WatchEnd) { finish() }

        func finish() {
            state.withLock { state -> CheckedContinuation<Void, Never>? in
                state.isDone = true
                return state.waiter.take()
            }?.resume()
        }

        func arrived() async {
            await withCheckedContinuation { continuation in
                let isDone = state.withLock { state -> Bool in
                    if !state.isDone { state.waiter = continuation }
                    return state.isDone
                }
                if isDone { continuation.resume() }
            }
        }
    }
}
