extension Timestamp {
    /// As clocks that many seconds east of UTC show it: `2026-01-02T09:00:00+09:00`.
    package func rfc3339(offset: Int64) -> String {
        if offset == 0 { return rfc3339 }
        let shown = Timestamp(seconds: seconds + offset).rfc3339
        let minutes = abs(offset) / 60
        func two(_ value: Int64) -> String { value < 10 ? "0\(value)" : "\(value)" }
        return "\(shown.dropLast())\(offset < 0 ? "-" : "+")\(two(minutes / 60)):\(two(minutes % 60))"
    }

    /// As HTTP's dates are written, with the zone in letters: `Fri, 02 Jan 2026 09:00:00 UTC`.
    package var rfc1123: String {
        let weekdays = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"]
        let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
        let day = TimeZoneRules.floor(seconds, 86400)
        let text = rfc3339
        let (month, _) = TimeZoneRules.date(day)
        let (year, date, time) = (text.prefix(4), text.dropFirst(8).prefix(2), text.dropFirst(11).prefix(8))
        return "\(weekdays[Int((day % 7 + 7) % 7)]), \(date) \(months[month - 1]) \(year) \(time) UTC"
    }
}
