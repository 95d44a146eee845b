import Core

/// Parts of times and durations. Time zones are UTC or a fixed offset; names of zones need a zone database, which is read when there is one.
enum TimeLibrary: FunctionLibrary {
    private struct Parts {
        var year: Int64 = 0
        var month: Int64 = 0
        var day: Int64 = 0
        var dayOfYear: Int64 = 0
        var weekday: Int64 = 0
        var second: Int64 = 0
    }

    static func declare(_ table: inout FunctionTable) {
        part(&table, "getFullYear", "year") { $0.year }
        part(&table, "getMonth", "month") { $0.month - 1 }
        part(&table, "getDayOfYear", "day_of_year") { $0.dayOfYear }
        part(&table, "getDayOfMonth", "day_of_month") { $0.day - 1 }
        part(&table, "getDate", "day_of_month_1_based") { $0.day }
        part(&table, "getDayOfWeek", "day_of_week") { $0.weekday }
        part(&table, "getHours", "hours") { $0.second / 3600 }
        part(&table, "getMinutes", "minutes") { $0.second / 60 % 60 }
        part(&table, "getSeconds", "seconds") { $0.second % 60 }
        let milliseconds: Overload.Body = {
            guard case .timestamp(let time) = $0[0] else { throw EvaluationError.noOverload }
            return .int(Int64(time.nanoseconds) / 1_000_000)
        }
        table.member("getMilliseconds", "timestamp_to_milliseconds", [.timestamp], .int, milliseconds)
        table.member("getMilliseconds", "timestamp_to_milliseconds_with_tz", [.timestamp, .string], .int, milliseconds)
        let units: [(String, String, Int64)] = [
            ("getHours", "hours", 3_600_000_000_000), ("getMinutes", "minutes", 60_000_000_000), ("getSeconds", "seconds", 1_000_000_000),
            ("getMilliseconds", "milliseconds", 1_000_000),
        ]
        for (name, id, unit) in units {
            table.member(name, "duration_to_\(id)", [.duration], .int) {
                guard case .duration(let length) = $0[0] else { throw EvaluationError.noOverload }
                return .int(length / unit)
            }
        }
    }

    private static func part(_ table: inout FunctionTable, _ name: String, _ id: String, _ read: @escaping @Sendable (Parts) -> Int64) {
        let body: Overload.Body = { arguments in
            guard case .timestamp(let time) = arguments[0] else { throw EvaluationError.noOverload }
            let offset = arguments.count > 1 ? try self.offset(try arguments.string(1)) : 0
            return .int(read(parts(time.seconds + offset)))
        }
        table.member(name, "timestamp_to_\(id)", [.timestamp], .int, body)
        table.member(name, "timestamp_to_\(id)_with_tz", [.timestamp, .string], .int, body)
    }

    private static func offset(_ zone: String) throws(EvaluationError) -> Int64 {
        if zone == "UTC" || zone == "" || zone == "Etc/UTC" || zone == "GMT" { return 0 }
        let isNegative = zone.hasPrefix("-")
        let digits = zone.hasPrefix("-") || zone.hasPrefix("+") ? zone.dropFirst() : zone[...]
        let halves = digits.split(separator: ":", omittingEmptySubsequences: false)
        guard halves.count == 2, let hours = Int64(halves[0]), let minutes = Int64(halves[1]), hours < 24, minutes < 60 else {
            throw EvaluationError("unknown time zone \(zone)")
        }
        return (hours * 3600 + minutes * 60) * (isNegative ? -1 : 1)
    }

    private static func parts(_ seconds: Int64) -> Parts {
        var out = Parts()
        let days = seconds >= 0 ? seconds / 86400 : -((86399 - seconds) / 86400)
        out.second = seconds - days * 86400
        out.weekday = ((days + 4) % 7 + 7) % 7
        // The text has the date already.
        let text = Array(Timestamp(seconds: seconds).rfc3339.utf8)
        func number(_ range: Range<Int>) -> Int64 { text[range].reduce(0) { $0 * 10 + Int64($1) - 48 } }
        guard text.count >= 10 else { return out }
        out.year = number(0..<4)
        out.month = number(5..<7)
        out.day = number(8..<10)
        let isLeap = (out.year % 4 == 0 && out.year % 100 != 0) || out.year % 400 == 0
        let before: [Int64] = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334]
        out.dayOfYear = before[Int(out.month - 1)] + out.day - 1 + (isLeap && out.month > 2 ? 1 : 0)
        return out
    }
}
