import Core

/// Times and durations as text, within the language's bounds: years 1 to 9999.
enum TimeText {
    private static let first: Int64 = -62_135_596_800
    private static let last: Int64 = 253_402_300_799

    static func timestamp(_ text: String) -> Timestamp? { Timestamp(rfc3339: text) }
    static func duration(_ text: String) -> Int64? { GoDuration.parse(text) }

    static func checked(_ time: Timestamp) throws(EvaluationError) -> Timestamp {
        guard (first...last).contains(time.seconds) else { throw .timestampOverflow }
        return time
    }

    /// RFC 3339 with as many digits of the fraction as there are.
    static func text(_ time: Timestamp) -> String {
        guard time.nanoseconds != 0 else { return time.rfc3339 }
        var digits = 9
        var rest = time.nanoseconds
        while rest % 10 == 0 {
            rest /= 10
            digits -= 1
        }
        return String(decoding: time.rendered(fractionDigits: digits), as: UTF8.self)
    }

    /// Seconds with a fraction: `90.5s`.
    static func text(duration: Int64) -> String { NumberText.plain(Double(duration) / 1e9) + "s" }

    static func adding(_ time: Timestamp, _ nanoseconds: Int64) throws(EvaluationError) -> Timestamp {
        let total = Int64(time.nanoseconds) + nanoseconds % 1_000_000_000
        var seconds = time.seconds + nanoseconds / 1_000_000_000
        var rest = total
        if rest < 0 {
            rest += 1_000_000_000
            seconds -= 1
        } else if rest >= 1_000_000_000 {
            rest -= 1_000_000_000
            seconds += 1
        }
        return try checked(Timestamp(seconds: seconds, nanoseconds: Int32(rest)))
    }

    static func difference(_ a: Timestamp, _ b: Timestamp) throws(EvaluationError) -> Int64 {
        let (seconds, over) = (a.seconds - b.seconds).multipliedReportingOverflow(by: 1_000_000_000)
        let (sum, over2) = seconds.addingReportingOverflow(Int64(a.nanoseconds) - Int64(b.nanoseconds))
        if over || over2 { throw .durationOverflow }
        return sum
    }
}

/// Numbers as text.
enum NumberText {
    /// Without an exponent: Go's `%f` with the shortest digits.
    static func plain(_ value: Double) -> String {
        if value.isNaN { return "NaN" }
        if value.isInfinite { return value < 0 ? "-Inf" : "+Inf" }
        let (sign, digits, point) = parts(value)
        if point <= 0 { return sign + "0." + String(repeating: "0", count: -point) + digits }
        if point >= digits.count { return sign + digits + String(repeating: "0", count: point - digits.count) }
        return sign + digits.prefix(point) + "." + digits.dropFirst(point)
    }

    /// Go's `%g`: an exponent below -4 and from 21 on.
    static func general(_ value: Double) -> String {
        if value.isNaN { return "NaN" }
        if value.isInfinite { return value < 0 ? "-Inf" : "+Inf" }
        if value == 0 { return value.sign == .minus ? "-0" : "0" }
        let (sign, digits, point) = parts(value)
        let exponent = point - 1
        guard exponent < -4 || exponent >= 21 else { return plain(value) }
        let size = abs(exponent)
        let fraction = digits.count > 1 ? "." + digits.dropFirst() : ""
        return "\(sign)\(digits.prefix(1))\(fraction)e\(exponent < 0 ? "-" : "+")\(size < 10 ? "0" : "")\(size)"
    }

    /// The shortest digits that read back as the value; it is 0.digits × 10^point.
    private static func parts(_ value: Double) -> (sign: String, digits: String, point: Int) {
        var text = "\(value.magnitude)"
        var exponent = 0
        if let at = text.firstIndex(of: "e") {
            exponent = Int(text[text.index(after: at)...]) ?? 0
            text = String(text[..<at])
        }
        let halves = text.split(separator: ".", omittingEmptySubsequences: false)
        let whole = halves[0]
        var digits = String(whole) + (halves.count > 1 ? String(halves[1]) : "")
        var point = whole.count + exponent
        while digits.count > 1, digits.hasSuffix("0") { digits.removeLast() }
        while digits.count > 1, digits.hasPrefix("0") {
            digits.removeFirst()
            point -= 1
        }
        if digits == "0" { point = 1 }
        return (value.sign == .minus ? "-" : "", digits, point)
    }
}
