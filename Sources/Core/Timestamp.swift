import Glibc

/// A point of wall-clock time, with the two renderings of the Kubernetes API: `Time` (whole seconds) and `MicroTime`.
package struct Timestamp: Sendable, Hashable, Comparable {
    /// Seconds since 1970-01-01T00:00:00Z.
    package var seconds: Int64
    /// 0 ..< 1_000_000_000.
    package var nanoseconds: Int32

    package init(seconds: Int64, nanoseconds: Int32 = 0) {
        self.seconds = seconds
        self.nanoseconds = nanoseconds
    }

    package static func now() -> Timestamp {
        var value = timespec()
        clock_gettime(CLOCK_REALTIME, &value)
        return Timestamp(seconds: Int64(value.tv_sec), nanoseconds: Int32(value.tv_nsec))
    }

    package static func < (a: Timestamp, b: Timestamp) -> Bool {
        (a.seconds, a.nanoseconds) < (b.seconds, b.nanoseconds)
    }

    package static func + (a: Timestamp, b: Duration) -> Timestamp {
        let (seconds, attoseconds) = b.components
        var result = Timestamp(seconds: a.seconds + seconds, nanoseconds: a.nanoseconds + Int32(attoseconds / 1_000_000_000))
        if result.nanoseconds >= 1_000_000_000 {
            result.nanoseconds -= 1_000_000_000
            result.seconds += 1
        } else if result.nanoseconds < 0 {
            result.nanoseconds += 1_000_000_000
            result.seconds -= 1
        }
        return result
    }

    package static func - (a: Timestamp, b: Timestamp) -> Duration {
        .seconds(a.seconds - b.seconds) + .nanoseconds(Int64(a.nanoseconds) - Int64(b.nanoseconds))
    }
}

// MARK: - RFC 3339

extension Timestamp {
    /// `2026-01-02T03:04:05Z`, as `metav1.Time`.
    package var rfc3339: String { String(decoding: rendered(fractionDigits: 0), as: UTF8.self) }
    /// `2026-01-02T03:04:05.678901Z`, as `metav1.MicroTime`.
    package var rfc3339Micro: String { String(decoding: rendered(fractionDigits: 6), as: UTF8.self) }
    /// Nanoseconds, as in container logs (CRI) and tokens.
    package var rfc3339Nano: String { String(decoding: rendered(fractionDigits: 9), as: UTF8.self) }

    package func rendered(fractionDigits: Int) -> [UInt8] {
        let (year, month, day) = Timestamp.civil(days: Timestamp.floorDivide(seconds, 86400))
        let second = seconds - Timestamp.floorDivide(seconds, 86400) * 86400
        var out: [UInt8] = []
        out.reserveCapacity(32)
        func put(_ value: Int64, width: Int) {
            var divisor: Int64 = 1
            for _ in 1..<width { divisor *= 10 }
            while divisor > 0 {
                out.append(UInt8(48 + (value / divisor) % 10))
                divisor /= 10
            }
        }
        put(year, width: 4)
        out.append(0x2D)
        put(month, width: 2)
        out.append(0x2D)
        put(day, width: 2)
        out.append(0x54)
        put(second / 3600, width: 2)
        out.append(0x3A)
        put(second / 60 % 60, width: 2)
        out.append(0x3A)
        put(second % 60, width: 2)
        if fractionDigits > 0 {
            out.append(0x2E)
            var value = Int64(nanoseconds)
            for _ in fractionDigits..<9 { value /= 10 }
            put(value, width: fractionDigits)
        }
        out.append(0x5A)
        return out
    }

    /// Parses RFC 3339 with any offset and any fraction; nil where the text is something else.
    package init?(rfc3339 text: String) {
        let bytes = Array(text.utf8)
        func number(_ from: Int, _ count: Int) -> Int64? {
            guard from + count <= bytes.count else { return nil }
            var value: Int64 = 0
            for byte in bytes[from..<(from + count)] {
                guard byte >= 48, byte <= 57 else { return nil }
                value = value * 10 + Int64(byte - 48)
            }
            return value
        }
        guard bytes.count >= 20, bytes[4] == 0x2D, bytes[7] == 0x2D, bytes[10] == 0x54 || bytes[10] == 0x74, bytes[13] == 0x3A,
            bytes[16] == 0x3A, let year = number(0, 4), let month = number(5, 2), let day = number(8, 2), let hour = number(11, 2),
            let minute = number(14, 2), let second = number(17, 2), (1...12).contains(month), day >= 1,
            day <= Timestamp.days(inMonth: month, year: year), hour < 24, minute < 60, second < 60
        else { return nil }
        var at = 19
        var fraction: Int64 = 0
        if bytes[at] == 0x2E {
            at += 1
            var digits = 0
            while at < bytes.count, bytes[at] >= 48, bytes[at] <= 57 {
                if digits < 9 {
                    fraction = fraction * 10 + Int64(bytes[at] - 48)
                    digits += 1
                }
                at += 1
            }
            guard digits > 0 else { return nil }
            for _ in digits..<9 { fraction *= 10 }
        }
        guard at < bytes.count else { return nil }
        var offset: Int64 = 0
        switch bytes[at] {
        case 0x5A, 0x7A:
            guard at + 1 == bytes.count else { return nil }
        case 0x2B, 0x2D:
            guard at + 6 == bytes.count, bytes[at + 3] == 0x3A, let hours = number(at + 1, 2), let minutes = number(at + 4, 2) else { return nil }
            offset = (hours * 3600 + minutes * 60) * (bytes[at] == 0x2D ? -1 : 1)
        default: return nil
        }
        seconds = Timestamp.days(year: year, month: month, day: day) * 86400 + hour * 3600 + minute * 60 + second - offset
        nanoseconds = Int32(fraction)
    }

    private static func floorDivide(_ a: Int64, _ b: Int64) -> Int64 { a >= 0 ? a / b : -((b - 1 - a) / b) }

    private static func days(inMonth month: Int64, year: Int64) -> Int64 {
        switch month {
        case 2: (year % 4 == 0 && year % 100 != 0) || year % 400 == 0 ? 29 : 28
        case 4, 6, 9, 11: 30
        default: 31
        }
    }

    /// Days since the epoch of a proleptic Gregorian date (Howard Hinnant, "chrono-compatible low-level date algorithms").
    private static func days(year: Int64, month: Int64, day: Int64) -> Int64 {
        let y = month <= 2 ? year - 1 : year
        let era = floorDivide(y, 400)
        let yearOfEra = y - era * 400
        let dayOfYear = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1
        let dayOfEra = yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear
        return era * 146_097 + dayOfEra - 719_468
    }

    private static func civil(days: Int64) -> (year: Int64, month: Int64, day: Int64) {
        let z = days + 719_468
        let era = floorDivide(z, 146_097)
        let dayOfEra = z - era * 146_097
        let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let shifted = (5 * dayOfYear + 2) / 153
        let month = shifted < 10 ? shifted + 3 : shifted - 9
        return (yearOfEra + era * 400 + (month <= 2 ? 1 : 0), month, dayOfYear - (153 * shifted + 2) / 5 + 1)
    }
}
