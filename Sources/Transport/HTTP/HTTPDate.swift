import Core
import Synchronization

/// The `Date` field (IMF-fixdate), made anew at most once a second.
enum HTTPDate {
    private static let cache = Mutex<(Int64, String)>((0, ""))

    static func current() -> String {
        let now = Timestamp.now().seconds
        return cache.withLock { cache in
            if cache.0 != now { cache = (now, text(Timestamp(seconds: now))) }
            return cache.1
        }
    }

    static func text(_ time: Timestamp) -> String {
        let digits = Array(time.rfc3339.utf8)
        func part(_ from: Int, _ to: Int) -> String { String(decoding: digits[from..<to], as: UTF8.self) }
        let days = Int(time.seconds / 86400)
        let weekday = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"][days % 7]
        let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
        let month = months[(Int(part(5, 7)) ?? 1) - 1]
        return "\(weekday), \(part(8, 10)) \(month) \(part(0, 4)) \(part(11, 19)) GMT"
    }
}
