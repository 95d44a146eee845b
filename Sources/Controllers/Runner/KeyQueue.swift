package import Core

/// Which keys are due, running or waiting for their time: each key at most once in each place, and never running twice at once.
///
/// A key added while it runs is due again when it is done. No locks and no clock: `now` is given.
package struct KeyQueue<Key: Hashable & Sendable>: Sendable {
    private var due: [Key] = []
    private var head = 0
    private var isDue: Set<Key> = []
    private var running: Set<Key> = []
    private var again: Set<Key> = []
    private var later: [Key: Timestamp] = [:]
    /// No later key is due before this; nil when it has to be found again.
    private var soonest: Timestamp?
    private var backoffs: [Key: Backoff] = [:]

    package init() {}

    package mutating func add(_ key: Key) {
        if running.contains(key) {
            again.insert(key)
        } else if isDue.insert(key).inserted {
            due.append(key)
        }
    }

    /// Keeps the earlier of two times for the same key.
    package mutating func add(_ key: Key, at time: Timestamp) {
        if let earlier = later[key], earlier <= time { return }
        later[key] = time
        if let known = soonest { soonest = min(known, time) }
    }

    /// The next key to run, which then runs until `done`.
    package mutating func take(now: Timestamp) -> Key? {
        wake(now)
        guard head < due.count else { return nil }
        let key = due[head]
        head += 1
        if head > 256, head * 2 > due.count {
            due.removeFirst(head)
            head = 0
        }
        isDue.remove(key)
        // The plan that comes decides anew when to look again.
        later[key] = nil
        running.insert(key)
        return key
    }

    package mutating func done(_ key: Key) {
        running.remove(key)
        backoffs[key] = nil
        if again.remove(key) != nil { add(key) }
    }

    /// The attempt failed: due again after its back-off (5 ms doubled to 1000 s, as upstream's rate limiter).
    package mutating func failed(_ key: Key, now: Timestamp) {
        running.remove(key)
        var backoff = backoffs[key] ?? Backoff(base: .milliseconds(5), limit: .seconds(1000))
        let delay = backoff.next()
        backoffs[key] = backoff
        // What happened meanwhile may be what it lacked: that is not to be waited for.
        if again.remove(key) != nil { add(key) } else { add(key, at: now + delay) }
    }

    package mutating func nextTime() -> Timestamp? {
        guard !later.isEmpty else { return nil }
        if soonest == nil { soonest = later.values.min() }
        return soonest
    }
    package var runningCount: Int { running.count }
    package var isIdle: Bool { head == due.count && running.isEmpty }

    /// Makes due what has waited long enough.
    package mutating func wake(_ now: Timestamp) {
        guard let next = nextTime(), next <= now else { return }
        soonest = nil
        for key in later.filter({ $0.value <= now }).keys {
            later[key] = nil
            add(key)
        }
    }
}
