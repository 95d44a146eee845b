/// Go's duration text: `1h30m0s`, `250ms`.
package enum GoDuration {
    /// Nanoseconds; nil where the text is no duration or does not fit.
    package static func parse(_ text: String) -> Int64? {
        var rest = Substring(text)
        var isNegative = false
        if let sign = rest.first, sign == "-" || sign == "+" {
            isNegative = sign == "-"
            rest.removeFirst()
        }
        if rest == "0" { return 0 }
        guard !rest.isEmpty else { return nil }
        var total: Int64 = 0
        while !rest.isEmpty {
            let whole = rest.prefix { $0.isASCII && $0.isNumber }
            rest.removeFirst(whole.count)
            var fraction = Substring()
            if rest.first == "." {
                rest.removeFirst()
                fraction = rest.prefix { $0.isASCII && $0.isNumber }
                rest.removeFirst(fraction.count)
            }
            guard !whole.isEmpty || !fraction.isEmpty else { return nil }
            let unit = rest.prefix { $0 != "." && !($0.isASCII && $0.isNumber) }
            rest.removeFirst(unit.count)
            guard let scale = nanoseconds(unit), let units = whole.isEmpty ? 0 : Int64(whole) else { return nil }
            let (part, over) = units.multipliedReportingOverflow(by: scale)
            let extra = fraction.isEmpty ? 0 : Int64((Double("0." + fraction) ?? 0) * Double(scale))
            let (sum, over2) = total.addingReportingOverflow(part)
            let (all, over3) = sum.addingReportingOverflow(extra)
            if over || over2 || over3 { return nil }
            total = all
        }
        return isNegative ? -total : total
    }

    private static func nanoseconds(_ unit: Substring) -> Int64? {
        switch unit {
        case "ns": 1
        case "us", "µs", "μs": 1000
        case "ms": 1_000_000
        case "s": 1_000_000_000
        case "m": 60_000_000_000
        case "h": 3_600_000_000_000
        default: nil
        }
    }

    package static func render(_ nanoseconds: Int64) -> String {
        if nanoseconds == 0 { return "0s" }
        let sign = nanoseconds < 0 ? "-" : ""
        let size = nanoseconds.magnitude
        if size < 1_000_000_000 {
            let (scale, unit): (UInt64, String) = size < 1000 ? (1, "ns") : size < 1_000_000 ? (1000, "µs") : (1_000_000, "ms")
            return sign + decimal(size, scale) + unit
        }
        let minutes = size / 60_000_000_000
        var out = sign
        if minutes >= 60 { out += "\(minutes / 60)h" }
        if minutes > 0 { out += "\(minutes % 60)m" }
        return out + decimal(size % 60_000_000_000, 1_000_000_000) + "s"
    }

    private static func decimal(_ value: UInt64, _ scale: UInt64) -> String {
        let rest = value % scale
        if rest == 0 { return "\(value / scale)" }
        var digits = String(scale + rest).dropFirst()
        while digits.last == "0" { digits.removeLast() }
        return "\(value / scale).\(digits)"
    }
}
