/// How a level's need of seats has gone since it was last looked at, and how that smooths over time.
struct SeatDemand {
    private var value = 0.0
    private var since = 0.0
    private var began = 0.0
    private var sum = 0.0
    private var squares = 0.0
    private var most = 0.0
    private(set) var highWatermark = 0
    private(set) var smoothed = 0.0

    /// Upstream's, for a look every ten seconds.
    private static let coefficient = 0.977

    mutating func set(_ value: Int, now: Double) {
        accumulate(now)
        self.value = Double(value)
        most = max(most, self.value)
    }

    private mutating func accumulate(_ now: Double) {
        let passed = max(0, now - since)
        sum += value * passed
        squares += value * value * passed
        since = now
    }

    /// Ends a period. `periods` is how many upstream would have ended meanwhile.
    mutating func look(now: Double, periods: Int) {
        accumulate(now)
        let length = now - began
        let average = length > 0 ? sum / length : value
        let variance = length > 0 ? max(0, squares / length - average * average) : 0
        highWatermark = Int(most)
        let envelope = average + variance.squareRoot()
        for _ in 0..<min(max(1, periods), 1000) {
            smoothed = max(envelope, SeatDemand.coefficient * smoothed + (1 - SeatDemand.coefficient) * envelope)
        }
        began = now
        sum = 0
        squares = 0
        most = value
    }
}

/// Shares the server's seats among priority levels: what one does not need, others may borrow, within what the configuration lets.
enum SeatShares {
    struct Item {
        var lower: Double
        var upper: Double
        var target: Double
    }

    /// Seats for each, together `total` as far as their bounds allow: in proportion to their targets.
    static func allocate(_ total: Double, _ items: [Item]) -> [Double] {
        let lowest = items.reduce(0) { $0 + $1.lower }
        let highest = items.reduce(0) { $0 + $1.upper }
        if total <= lowest { return items.map(\.lower) }
        if total >= highest { return items.map(\.upper) }
        func share(_ item: Item, _ fraction: Double) -> Double { min(item.upper, max(item.lower, fraction * max(item.target, 1e-9))) }
        var low = 0.0
        var high = 1.0
        while items.reduce(0, { $0 + share($1, high) }) < total { high *= 2 }
        for _ in 0..<100 {
            let middle = (low + high) / 2
            if items.reduce(0, { $0 + share($1, middle) }) < total { low = middle } else { high = middle }
        }
        return items.map { share($0, high) }
    }
}

/// What clients that find no seat are told to wait: longer the more of them there are, and shorter again later.
struct DroppedRequests {
    private static let longest: Int64 = 32
    private(set) var retryAfter: Int64 = 1
    private var raised: Int64 = 0
    private var current: Int64 = 0
    private var count: Int64 = 0
    private var history: [(second: Int64, count: Int64)] = []

    mutating func record(_ second: Int64) {
        guard second != current else {
            count += 1
            return
        }
        history.append((current, count))
        history.removeAll { second - $0.second > min(2 * retryAfter, DroppedRequests.longest) }
        current = second
        count = 1
        let dropped = history.filter { second - $0.second <= retryAfter && $0.second < second }.reduce(0) { $0 + $1.count }
        if second - raised >= retryAfter, dropped >= 3 * retryAfter {
            retryAfter = min(retryAfter * 2, DroppedRequests.longest)
            raised = second
        } else if dropped < retryAfter, retryAfter > 1 {
            retryAfter -= 1
        }
    }
}
