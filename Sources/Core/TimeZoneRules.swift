import Synchronization

/// How far a place's clocks are from UTC at each moment, from the machine's time zone database. Zones are read once.
package struct TimeZoneRules: Sendable {
    private let starts: [Int64]
    private let offsets: [Int64]
    private let before: Int64
    /// What holds after the last change that is listed.
    private let tail: DaylightRule?

    package static let utc = TimeZoneRules(starts: [], offsets: [], before: 0, tail: nil)
    private static let folder = "/usr/share/zoneinfo"
    private static let known = Mutex<[String: TimeZoneRules]>([:])

    private init(starts: [Int64], offsets: [Int64], before: Int64, tail: DaylightRule?) {
        self.starts = starts
        self.offsets = offsets
        self.before = before
        self.tail = tail
    }

    /// Nil where there is no such zone. `UTC` needs no database.
    package init?(named name: String) {
        if name.isEmpty || name == "UTC" {
            self = .utc
            return
        }
        if let known = TimeZoneRules.known.withLock({ $0[name] }) {
            self = known
            return
        }
        let isPlain = !name.hasPrefix("/") && !name.utf8.contains(UInt8(ascii: "\\")) && !name.split(separator: "/").contains("..")
        guard isPlain, let bytes = try? FileSystem.readFile("\(TimeZoneRules.folder)/\(name)", limit: 1 << 20), let read = TimeZoneRules(file: bytes) else {
            return nil
        }
        TimeZoneRules.known.withLock { $0[name] = read }
        self = read
    }

    // MARK: - Questions

    /// Seconds east of UTC.
    package func offset(at time: Int64) -> Int64 {
        guard let first = starts.first, let last = starts.last else { return tail?.offset(at: time) ?? before }
        if time < first { return before }
        if time >= last, let tail { return tail.offset(at: time) }
        var (low, high) = (0, starts.count)
        while high - low > 1 {
            let middle = (low + high) / 2
            if starts[middle] <= time { low = middle } else { high = middle }
        }
        return offsets[low]
    }

    /// The first moment from a given one on when the clocks show a local time; nil where they skip it, or showed it before.
    package func instant(of local: Int64, notBefore start: Int64) -> Int64? {
        let near = Set([offset(at: local - 93600), offset(at: local), offset(at: local + 93600)])
        return near.map { local - $0 }.filter { $0 >= start && $0 + offset(at: $0) == local }.min()
    }

    // MARK: - Calendar

    package static func floor(_ value: Int64, _ divisor: Int64) -> Int64 { value >= 0 ? value / divisor : -((-value + divisor - 1) / divisor) }

    /// Month and day of the month of a count of days since 1970.
    package static func date(_ day: Int64) -> (month: Int, day: Int) {
        let (_, month, date) = civil(day)
        return (month, date)
    }

    fileprivate static func civil(_ day: Int64) -> (year: Int64, month: Int, day: Int) {
        // Years that begin in March put the leap day at the end.
        let shifted = day + 719_468
        let era = floor(shifted, 146_097)
        let ofEra = shifted - era * 146_097
        let year = (ofEra - ofEra / 1460 + ofEra / 36_524 - ofEra / 146_096) / 365
        let ofYear = ofEra - (365 * year + year / 4 - year / 100)
        let month = (5 * ofYear + 2) / 153
        let date = Int(ofYear - (153 * month + 2) / 5 + 1)
        let real = Int(month < 10 ? month + 3 : month - 9)
        return (year + era * 400 + (real <= 2 ? 1 : 0), real, date)
    }

    fileprivate static func days(_ year: Int64, _ month: Int, _ day: Int) -> Int64 {
        let shifted = month <= 2 ? year - 1 : year
        let era = floor(shifted, 400)
        let ofEra = shifted - era * 400
        let ofYear = Int64((153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1)
        return era * 146_097 + ofEra * 365 + ofEra / 4 - ofEra / 100 + ofYear - 719_468
    }

    // MARK: - File

    /// RFC 9636; the second block, with times of 64 bits, where the file has one.
    private init?(file: [UInt8]) {
        var reader = Reader(bytes: file[...])
        guard var header = reader.header() else { return nil }
        var width = 4
        if header.version >= 2 {
            reader.skip(header.length(width))
            guard let second = reader.header() else { return nil }
            header = second
            width = 8
        }
        guard reader.bytes.count >= header.length(width), header.types > 0 else { return nil }
        let starts = (0..<header.times).map { _ in reader.number(width) }
        let kinds = (0..<header.times).map { _ in Int(reader.number(1) & 0xFF) }
        let types = (0..<header.types).map { _ -> (offset: Int64, isDaylight: Bool) in
            let offset = reader.number(4)
            let isDaylight = reader.number(1) != 0
            reader.skip(1)
            return (offset, isDaylight)
        }
        guard kinds.allSatisfy({ $0 < types.count }) else { return nil }
        reader.skip(header.characters + header.leaps * (width + 4) + header.standards + header.universals)
        let footer = width == 8 ? String(decoding: reader.bytes.dropFirst().prefix { $0 != 0x0A }, as: UTF8.self) : ""
        let before = types.first { !$0.isDaylight }?.offset ?? types[0].offset
        self.init(starts: starts, offsets: kinds.map { types[$0].offset }, before: before, tail: DaylightRule(footer))
    }

    private struct Header {
        var version = 0
        var universals = 0, standards = 0, leaps = 0, times = 0, types = 0, characters = 0
        func length(_ width: Int) -> Int { times * (width + 1) + types * 6 + characters + leaps * (width + 4) + standards + universals }
    }

    private struct Reader {
        var bytes: ArraySlice<UInt8>
        mutating func skip(_ count: Int) { bytes = bytes.dropFirst(count) }
        mutating func number(_ width: Int) -> Int64 {
            var value: Int64 = (bytes.first ?? 0) >= 0x80 ? -1 : 0
            for byte in bytes.prefix(width) { value = value << 8 | Int64(byte) }
            skip(width)
            return value
        }
        mutating func header() -> Header? {
            guard bytes.count >= 44, Array(bytes.prefix(4)) == Array("TZif".utf8) else { return nil }
            skip(4)
            var header = Header()
            header.version = bytes.first.map { $0 == 0 ? 1 : Int($0) - 48 } ?? 1
            skip(16)
            for field in [\Header.universals, \.standards, \.leaps, \.times, \.types, \.characters] { header[keyPath: field] = Int(max(0, number(4))) }
            return header
        }
    }
}

/// The rule at the end of a zone's file, such as `CET-1CEST,M3.5.0,M10.5.0/3`.
private struct DaylightRule: Sendable {
    private enum Day: Sendable {
        case julian(Int), ordinal(Int), weekday(month: Int, week: Int, day: Int)
    }
    private struct Change: Sendable {
        let day: Day
        let time: Int64
    }

    private let standard: Int64
    private var daylight: (offset: Int64, from: Change, to: Change)?

    init?(_ text: String) {
        var rest = Substring(text)
        guard DaylightRule.name(&rest), let west = DaylightRule.time(&rest) else { return nil }
        standard = -west
        guard !rest.isEmpty else { return }
        guard DaylightRule.name(&rest) else { return nil }
        var offset = standard + 3600
        if let first = rest.first, first != "," {
            guard let west = DaylightRule.time(&rest) else { return nil }
            offset = -west
        }
        let parts = rest.dropFirst().split(separator: ",")
        guard parts.count == 2, let from = DaylightRule.change(parts[0]), let to = DaylightRule.change(parts[1]) else { return nil }
        daylight = (offset, from, to)
    }

    func offset(at time: Int64) -> Int64 {
        guard let daylight else { return standard }
        let year = TimeZoneRules.civil(TimeZoneRules.floor(time + standard, 86400)).year
        let from = DaylightRule.start(daylight.from, year) - standard
        let to = DaylightRule.start(daylight.to, year) - daylight.offset
        let isDaylight = from < to ? time >= from && time < to : time >= from || time < to
        return isDaylight ? daylight.offset : standard
    }

    /// Local seconds.
    private static func start(_ change: Change, _ year: Int64) -> Int64 {
        let first = TimeZoneRules.days(year, 1, 1)
        let day: Int64
        switch change.day {
        case .ordinal(let number): day = first + Int64(number)
        case .julian(let number):
            let isLeap = TimeZoneRules.days(year, 3, 1) - first == 60
            day = first + Int64(number - 1) + (isLeap && number >= 60 ? 1 : 0)
        case .weekday(let month, let week, let weekday):
            let begin = TimeZoneRules.days(year, month, 1)
            let end = month == 12 ? TimeZoneRules.days(year + 1, 1, 1) : TimeZoneRules.days(year, month + 1, 1)
            let ofBegin = ((begin + 4) % 7 + 7) % 7
            var found = begin + (Int64(weekday) - ofBegin + 7) % 7 + Int64(7 * (week - 1))
            while found >= end { found -= 7 }
            day = found
        }
        return day * 86400 + change.time
    }

    private static func name(_ rest: inout Substring) -> Bool {
        if rest.first == "<" {
            guard let end = rest.firstIndex(of: ">") else { return false }
            rest = rest[rest.index(after: end)...]
            return true
        }
        let letters = rest.prefix { $0.isLetter }
        rest = rest.dropFirst(letters.count)
        return letters.count >= 3
    }

    /// `5`, `-3:30`, `+2:00:01` in seconds.
    private static func time(_ rest: inout Substring) -> Int64? {
        let text = rest.prefix { $0.isNumber || $0 == ":" || $0 == "-" || $0 == "+" }
        rest = rest.dropFirst(text.count)
        let isNegative = text.first == "-"
        let parts = text.drop { $0 == "-" || $0 == "+" }.split(separator: ":").map { Int64($0) }
        guard !parts.isEmpty, parts.count <= 3, !parts.contains(nil) else { return nil }
        let seconds = zip(parts, [3600, 60, 1]).reduce(Int64(0)) { $0 + ($1.0 ?? 0) * $1.1 }
        return isNegative ? -seconds : seconds
    }

    private static func change(_ text: Substring) -> Change? {
        let parts = text.split(separator: "/")
        guard let day = parts.first else { return nil }
        var seconds: Int64 = 7200
        if parts.count == 2 {
            var rest = parts[1]
            guard let stated = time(&rest) else { return nil }
            seconds = stated
        }
        if day.first == "M" {
            let numbers = day.dropFirst().split(separator: ".").compactMap { Int($0) }
            guard numbers.count == 3, (1...12).contains(numbers[0]), (1...5).contains(numbers[1]), (0...6).contains(numbers[2]) else { return nil }
            return Change(day: .weekday(month: numbers[0], week: numbers[1], day: numbers[2]), time: seconds)
        }
        if day.first == "J" { return Int(day.dropFirst()).map { Change(day: .julian($0), time: seconds) } }
        return Int(day).map { Change(day: .ordinal($0), time: seconds) }
    }
}
