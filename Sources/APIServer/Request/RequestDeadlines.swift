import Core
import Machinery
import Synchronization

/// Ends requests that take too long: by the client's own wish, or by the server's bounds. The answer comes in time whatever the handler
/// waits for; what the handler asks of others is told how long is left.
final class RequestDeadlines: Sendable {
    /// Upstream's bounds for reads and for writes.
    static let most = Duration.seconds(60)
    static let mostWriting = Duration.seconds(34)

    /// When the request that this task works for ends.
    @TaskLocal static var current: ContinuousClock.Instant?

    private struct Entry {
        let id: UInt64
        let end: ContinuousClock.Instant
        let expire: @Sendable () -> Void
    }

    private struct State {
        /// All of one length, so the oldest ends first.
        var entries: [UInt64: Entry] = [:]
        var order: [UInt64] = []
        var next: UInt64 = 1
        var isWatched = false
    }

    private let length: Duration
    private let state = Mutex(State())

    init(_ length: Duration) { self.length = length }

    /// What a client asks for with `timeout`; nil where it asks for nothing that counts.
    static func wish(_ text: String?, atMost most: Duration) throws(APIError) -> Duration? {
        guard let text, !text.isEmpty else { return nil }
        guard let nanoseconds = GoDuration.parse(text) else {
            throw .badRequest("invalid timeout specified in the request URL - time: invalid duration \(FieldError.quoted(text))")
        }
        return nanoseconds > 0 && .nanoseconds(nanoseconds) < most ? .nanoseconds(nanoseconds) : nil
    }

    /// Calls `expire` after the length that all have here, unless `done` comes first.
    func begin(_ expire: @escaping @Sendable () -> Void) -> UInt64 {
        let end = ContinuousClock.now + length
        let (id, starts) = state.withLock { state -> (UInt64, Bool) in
            let id = state.next
            state.next += 1
            state.entries[id] = Entry(id: id, end: end, expire: expire)
            // Nearly all have ended long before their time.
            if state.order.count > 1024, state.order.count > 4 * state.entries.count { state.order = state.order.filter { state.entries[$0] != nil } }
            state.order.append(id)
            defer { state.isWatched = true }
            return (id, !state.isWatched)
        }
        // One sleeper for all, and none while nothing runs.
        if starts { Task { await watch() } }
        return id
    }

    func done(_ id: UInt64) { state.withLock { $0.entries[id] = nil } }

    private func watch() async {
        while true {
            let (due, next) = state.withLock { state -> ([Entry], ContinuousClock.Instant?) in
                var due: [Entry] = []
                let now = ContinuousClock.now
                var head = 0
                while head < state.order.count {
                    let id = state.order[head]
                    if let entry = state.entries[id] {
                        guard entry.end <= now else { break }
                        state.entries[id] = nil
                        due.append(entry)
                    }
                    head += 1
                }
                state.order.removeFirst(head)
                let next = state.order.first.flatMap { state.entries[$0]?.end }
                if next == nil { state.isWatched = false }
                return (due, next)
            }
            for entry in due { entry.expire() }
            guard let next else { return }
            try? await Task.sleep(until: next, clock: .continuous)
        }
    }

    /// The error of whoever notices that the time is over.
    static func check() throws(APIError) {
        if let current, current <= .now { throw .timeout("request did not complete within requested timeout - context deadline exceeded") }
    }
}
