/// Where the program reads time. The only seam by which tests replace the clock.
package protocol TimeSource: Sendable {
    func now() -> Timestamp
    func sleep(for duration: Duration) async throws
}

package struct SystemTime: TimeSource {
    package init() {}
    package func now() -> Timestamp { .now() }
    package func sleep(for duration: Duration) async throws { try await Task.sleep(for: duration) }
}

/// Exponential delay between attempts at the same thing: `base`, doubled each time, at most `limit`.
package struct Backoff: Sendable, Equatable {
    package let base: Duration
    package let limit: Duration
    package private(set) var attempts = 0

    package init(base: Duration, limit: Duration) {
        self.base = base
        self.limit = limit
    }

    /// The delay before the next attempt, and counts that attempt.
    package mutating func next() -> Duration {
        var delay = base
        for _ in 0..<attempts where delay < limit { delay *= 2 }
        attempts += 1
        return min(delay, limit)
    }

    package mutating func reset() { attempts = 0 }
}
