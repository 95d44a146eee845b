import Core
import Machinery

/// A schedule of cron: five fields read in a time zone, or a fixed distance (`@every 1h`).
struct CronSchedule: Sendable {
    private enum Rule: Sendable {
        case fields(CronFields, TimeZoneRules)
        case every(Int64)
    }

    private let rule: Rule

    /// Nil where the text is no schedule. A zone in front (`TZ=Asia/Tokyo 0 9 * * *`) counts before the one given.
    init?(_ text: String, zone: TimeZoneRules = .utc) {
        var text = Substring(text)
        var zone = zone
        for prefix in ["TZ=", "CRON_TZ="] where text.hasPrefix(prefix) {
            guard let space = text.firstIndex(of: " "), let named = TimeZoneRules(named: String(text[..<space].dropFirst(prefix.count))) else { return nil }
            zone = named
            text = text[space...].drop { $0 == " " }
        }
        if text.hasPrefix("@every ") {
            guard let nanoseconds = GoDuration.parse(String(text.dropFirst("@every ".count))), nanoseconds >= 0 else { return nil }
            rule = .every(max(1, nanoseconds / 1_000_000_000))
            return
        }
        guard let fields = CronFields(String(text)) else { return nil }
        rule = .fields(fields, zone)
    }

    /// The first time after `time`; nil where there is none in five years (30 February).
    func next(after time: Timestamp) -> Timestamp? {
        switch rule {
        case .every(let seconds): Timestamp(seconds: time.seconds + seconds)
        case .fields(let fields, let zone): fields.next(after: time.seconds, zone).map { Timestamp(seconds: $0) }
        }
    }
}

/// The five fields of cron: minute, hour, day of the month, month, day of the week.
private struct CronFields: Sendable {
    private let minutes: [Int]
    private let hours: [Int]
    private let days: [Int]
    private let months: [Int]
    private let weekdays: [Int]
    /// A day must match both fields where one of them is `*`, else either.
    private let needsBothDays: Bool

    private static let shorthands = [
        "@yearly": "0 0 1 1 *", "@annually": "0 0 1 1 *", "@monthly": "0 0 1 * *", "@weekly": "0 0 * * 0", "@daily": "0 0 * * *", "@midnight": "0 0 * * *",
        "@hourly": "0 * * * *",
    ]
    private static let monthNames = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
    private static let dayNames = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"]

    init?(_ text: String) {
        let fields = (CronFields.shorthands[text] ?? text).split { $0 == " " || $0 == "\t" }.map(String.init)
        guard fields.count == 5, let minutes = CronFields.values(fields[0], 0...59), let hours = CronFields.values(fields[1], 0...23),
            let days = CronFields.values(fields[2], 1...31), let months = CronFields.values(fields[3], 1...12, CronFields.monthNames, from: 1),
            let weekdays = CronFields.values(fields[4], 0...6, CronFields.dayNames, from: 0)
        else { return nil }
        self.minutes = minutes.sorted()
        self.hours = hours.sorted()
        self.days = days.sorted()
        self.months = months.sorted()
        self.weekdays = weekdays.sorted()
        func isStar(_ field: String) -> Bool { field.split(separator: ",").contains { $0 == "*" || $0 == "?" || $0 == "*/1" } }
        needsBothDays = isStar(fields[2]) || isStar(fields[4])
    }

    private static func values(_ field: String, _ bounds: ClosedRange<Int>, _ names: [String] = [], from: Int = 0) -> Set<Int>? {
        func number(_ text: Substring) -> Int? { Int(text) ?? names.firstIndex(of: text.lowercased()).map { $0 + from } }
        var out: Set<Int> = []
        for part in field.split(separator: ",") {
            let pieces = part.split(separator: "/", omittingEmptySubsequences: false)
            guard pieces.count <= 2, let range = pieces.first, let step = pieces.count == 2 ? Int(pieces[1]) : 1, step > 0 else { return nil }
            var (low, high) = (bounds.lowerBound, bounds.upperBound)
            if range != "*", range != "?" {
                let ends = range.split(separator: "-", omittingEmptySubsequences: false)
                guard ends.count <= 2, let first = number(ends[0]) else { return nil }
                low = first
                if ends.count == 2 {
                    guard let last = number(ends[1]) else { return nil }
                    high = last
                } else if pieces.count == 1 {
                    high = first
                }
            }
            guard low <= high, bounds.contains(low), bounds.contains(high) else { return nil }
            out.formUnion(stride(from: low, through: high, by: step))
        }
        return out.isEmpty ? nil : out
    }

    func next(after time: Int64, _ zone: TimeZoneRules) -> Int64? {
        let start = (time / 60 + 1) * 60
        // Local days, from the one that the start is in.
        var day = TimeZoneRules.floor(start + zone.offset(at: start), 86400)
        for _ in 0..<(366 * 5 + 2) {
            if matches(day: day) {
                var best: Int64?
                for hour in hours {
                    for minute in minutes {
                        // A local time that the clocks skip is no time; one that they show twice is taken at its first.
                        let local = day * 86400 + Int64(hour * 3600 + minute * 60)
                        guard let at = zone.instant(of: local, notBefore: start), at < best ?? .max else { continue }
                        best = at
                    }
                    if best != nil { break }
                }
                if let best { return best }
            }
            day += 1
        }
        return nil
    }

    private func matches(day: Int64) -> Bool {
        let (month, date) = TimeZoneRules.date(day)
        guard months.contains(month) else { return false }
        let isDate = days.contains(date)
        let isWeekday = weekdays.contains(Int(((day + 4) % 7 + 7) % 7))
        return needsBothDays ? isDate && isWeekday : isDate || isWeekday
    }
}
