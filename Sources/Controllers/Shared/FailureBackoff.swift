import Core
import Synchronization

/// How long to leave alone what keeps failing: a second, doubled with each time up to a quarter of an hour, forgotten after twice that
/// without a failure. What a restart forgets begins at a second again.
final class FailureBackoff: Sendable {
    private struct Entry {
        var wait: Duration
        var last: Timestamp
    }

    private static let first: Duration = .seconds(1)
    private static let most: Duration = .seconds(900)
    private let entries = Mutex<[String: Entry]>([:])

    /// What is left of the wait; nil counts this as one more time.
    func next(_ key: String, _ now: Timestamp) -> Duration? {
        entries.withLock { entries in
            entries = entries.filter { now <= $0.value.last + FailureBackoff.most * 2 }
            guard let entry = entries[key] else {
                entries[key] = Entry(wait: FailureBackoff.first, last: now)
                return nil
            }
            let left = (entry.last + entry.wait) - now
            if left > .zero { return left }
            entries[key] = Entry(wait: min(entry.wait * 2, FailureBackoff.most), last: now)
            return nil
        }
    }
}
