import Core

/// The five fields of cron, in UTC: minute, hour, day of the month, month, day of the week.
struct CronSchedule: Sendable {
    private let minutes: Set<Int>
    private let hours: Set<Int>
    private let days: Set<Int>
    private let months: Set<Int>
    private let weekdays: Set<Int>
    /// A day must match both fields where one of them is `*`, else either.
    private let needsBothDays: Bool

    private static let shorthands = [
        "@yearly": "0 0 1 1 *", "@annually": "0 0 1 1 *", "@monthly": "0 0 1 * *", "@weekly": "0 0 * * 0", "@daily": "0 0 * * *", "@midnight": "0 0 * * *",
        "@hourly": "0 * * * *",
    ]
    private static let monthNames = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
    private static let dayNames = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"]

    /// Nil where the text is no schedule.
    init?(_ text: String) {
        let fields = (CronSchedule.shorthands[text] ?? text).split(separator: " ").map(String.init)
        guard fields.count == 5, let minutes = CronSchedule.values(fields[0], 0...59), let hours = CronSchedule.values(fields[1], 0...23),
            let days = CronSchedule.values(fields[2], 1...31), let months = CronSchedule.values(fields[3], 1...12, CronSchedule.monthNames, from: 1),
            let weekdays = CronSchedule.values(fields[4], 0...7, CronSchedule.dayNames, from: 0)
        else { return nil }
        self.minutes = minutes
        self.hours = hours
        self.days = days
        self.months = months
        self.weekdays = Set(weekdays.map { $0 % 7 })
        func isStar(_ field: String) -> Bool { field.hasPrefix("*") || field.hasPrefix("?") }
        needsBothDays = isStar(fields[2]) || isStar(fields[4])
    }

    private static func values(_ field: String, _ bounds: ClosedRange<Int>, _ names: [String] = [], from: Int = 0) -> Set<Int>? {
        func number(_ text: Substring) -> Int? { Int(text) ?? names.firstIndex(of: text.lowercased()).map { $0 + from } }
        var out: Set<Int> = []
        for part in field.split(separator: ",", omittingEmptySubsequences: false) {
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
        return out
    }

    /// The first time after `time`; nil where there is none in five years (30 February).
    func next(after time: Timestamp) -> Timestamp? {
        let start = (time.seconds / 60 + 1) * 60
        var day = start / 86400
        for _ in 0..<(366 * 5) {
            if matches(day: day) {
                for hour in hours.sorted() {
                    for minute in minutes.sorted() {
                        let at = day * 86400 + Int64(hour * 3600 + minute * 60)
                        if at >= start { return Timestamp(seconds: at) }
                    }
                }
            }
            day += 1
        }
        return nil
    }

    private func matches(day: Int64) -> Bool {
        let text = Timestamp(seconds: day * 86400).rfc3339.split(separator: "T")[0].split(separator: "-")
        guard text.count == 3, let month = Int(text[1]), let date = Int(text[2]), months.contains(month) else { return false }
        let isDate = days.contains(date)
        let isWeekday = weekdays.contains(Int((day + 4) % 7))
        return needsBothDays ? isDate && isWeekday : isDate || isWeekday
    }
}
