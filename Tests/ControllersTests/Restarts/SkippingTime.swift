import Core
import Synchronization

/// The time of day, from which a test may leave out what nobody would use.
final class SkippingTime: TimeSource {
    private struct Sleeper {
        let due: Timestamp
        let continuation: CheckedContinuation<Void, Never>
    }

    private struct State {
        var skipped: Duration = .zero
        var sleepers: [Int: Sleeper] = [:]
        var cancelled: Set<Int> = []
        var last = 0
    }

    private let state = Mutex(State())

    func now() -> Timestamp { .now() + state.withLock { $0.skipped } }

    func sleep(for duration: Duration) async throws {
        let due = now() + duration
        let id = state.withLock { state in
            state.last += 1
            return state.last
        }
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let isOver = state.withLock { state in
                    guard state.cancelled.remove(id) == nil else { return true }
                    state.sleepers[id] = Sleeper(due: due, continuation: continuation)
                    return false
                }
                if isOver { continuation.resume() }
            }
        } onCancel: {
            let sleeper = state.withLock { state in
                let found = state.sleepers.removeValue(forKey: id)
                if found == nil { state.cancelled.insert(id) }
                return found
            }
            sleeper?.continuation.resume()
        }
        try Task.checkCancellation()
    }

    /// Wakes those whose time has come.
    func tick() {
        let now = now()
        let due = state.withLock { state in
            let due = state.sleepers.filter { $0.value.due <= now }
            for id in due.keys { state.sleepers[id] = nil }
            return due.values.map(\.continuation)
        }
        for continuation in due { continuation.resume() }
    }

    /// Goes to when the next sleeper wants to be woken, unless that is too far off to be meant.
    func skip(atMost most: Duration) {
        let now = now()
        state.withLock { state in
            guard let next = state.sleepers.values.map(\.due).min(), next > now, next - now <= most else { return }
            state.skipped += next - now
        }
        tick()
    }
}
