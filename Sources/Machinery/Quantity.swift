/// An exact amount with upstream's suffixes: `100m`, `1.5Gi`, `12e6`. Arithmetic is decimal and never loses a digit; what lies
/// beyond 128 bits is refused when parsed and saturates when added.
package struct Quantity: Sendable {
    package enum Format: Sendable { case decimalSI, binarySI, decimalExponent }

    package struct Failure: Error, Equatable, CustomStringConvertible {
        package let description: String
        package init(description: String) { self.description = description }
        static let format = Failure(description: "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'")
        static let numeric = Failure(description: "unable to parse numeric part of quantity")
        static let suffix = Failure(description: "unable to parse quantity's suffix")
    }

    /// The value is `mantissa` × 10^`scale`.
    private(set) var mantissa: Int128
    private(set) var scale: Int
    package private(set) var format: Format
    /// The text as it came, where upstream keeps it.
    private var text: String?

    private init(mantissa: Int128, scale: Int, format: Format, text: String? = nil) {
        self.mantissa = mantissa
        self.scale = scale
        self.format = format
        self.text = text
    }

    package init(_ value: Int64, format: Format = .decimalSI) { self.init(mantissa: Int128(value), scale: 0, format: format) }
    package init(milli value: Int64, format: Format = .decimalSI) { self.init(mantissa: Int128(value), scale: -3, format: format) }

    package static let zero = Quantity(0)
    package var isZero: Bool { mantissa == 0 }
    package var sign: Int { mantissa.signum() == 0 ? 0 : (mantissa < 0 ? -1 : 1) }
}

// MARK: - Parsing

extension Quantity {
    package init(parsing text: String) throws(Failure) {
        guard !text.isEmpty else { throw .format }
        let parts = try Parts(text)
        guard let (base, exponent, format) = Quantity.meaning(ofSuffix: parts.suffix) else { throw .suffix }
        let digits = parts.whole + parts.fraction
        var value: Int128 = 0
        for digit in digits.utf8 {
            let (shifted, over) = value.multipliedReportingOverflow(by: 10)
            let (sum, over2) = shifted.addingReportingOverflow(Int128(digit - 48))
            if over || over2 { throw .numeric }
            value = sum
        }
        let small = digits.utf8.count
        var scale = -parts.fraction.utf8.count
        if base == 10 {
            scale += exponent
            self.init(mantissa: value, scale: scale, format: format)
            if 18 - small >= 0, scale >= -9, scale % 3 == 0, !digits.hasSuffix("000"), digits.first != "0" { self.text = text }
        } else {
            let (scaled, over) = value.multipliedReportingOverflow(by: Int128(1) << Int128(exponent))
            self.init(mantissa: over ? Int128(Int64.max) : scaled, scale: over ? 0 : scale, format: format)
            let precision = 15 - parts.whole.utf8.count - exponent * 3 / 10 - 1
            if parts.fraction.isEmpty, precision >= 0 {
                if value & 7 != 0 { self.text = text }
            } else {
                if compare(Quantity(Int64.max)) > 0 { (mantissa, self.scale) = (Int128(Int64.max), 0) }
                if compare(Quantity(1)) < 0, mantissa != 0 { self.format = .decimalSI }
            }
        }
        if self.scale < -9 { roundUp(to: -9) }
        if parts.isNegative { mantissa = -mantissa }
        if text == "0" { self.text = text }
    }

    private struct Parts {
        var isNegative = false
        var whole = ""
        var fraction = ""
        var suffix = ""

        init(_ text: String) throws(Failure) {
            var rest = Substring(text).utf8[...]
            if let first = rest.first, first == UInt8(ascii: "-") || first == UInt8(ascii: "+") {
                isNegative = first == UInt8(ascii: "-")
                rest = rest.dropFirst()
            }
            rest = rest.drop { $0 == UInt8(ascii: "0") }
            func digits() -> String {
                let run = rest.prefix { $0 &- 48 < 10 }
                rest = rest.dropFirst(run.count)
                return String(Substring(run))
            }
            whole = digits()
            if whole.isEmpty { whole = "0" }
            if rest.first == UInt8(ascii: ".") {
                rest = rest.dropFirst()
                fraction = digits()
            }
            let tail = rest
            rest = rest.drop { "eEinumkKMGTP".utf8.contains($0) }
            if let sign = rest.first, sign == UInt8(ascii: "-") || sign == UInt8(ascii: "+") { rest = rest.dropFirst() }
            rest = rest.drop { $0 &- 48 < 10 }
            if !rest.isEmpty { throw .format }
            suffix = String(Substring(tail))
        }
    }

    private static func meaning(ofSuffix suffix: String) -> (base: Int, exponent: Int, format: Format)? {
        switch suffix {
        case "": return (10, 0, .decimalSI)
        case "n": return (10, -9, .decimalSI)
        case "u": return (10, -6, .decimalSI)
        case "m": return (10, -3, .decimalSI)
        case "k": return (10, 3, .decimalSI)
        case "M": return (10, 6, .decimalSI)
        case "G": return (10, 9, .decimalSI)
        case "T": return (10, 12, .decimalSI)
        case "P": return (10, 15, .decimalSI)
        case "E": return (10, 18, .decimalSI)
        case "Ki": return (2, 10, .binarySI)
        case "Mi": return (2, 20, .binarySI)
        case "Gi": return (2, 30, .binarySI)
        case "Ti": return (2, 40, .binarySI)
        case "Pi": return (2, 50, .binarySI)
        case "Ei": return (2, 60, .binarySI)
        default:
            guard let first = suffix.first, first == "e" || first == "E", let exponent = Int32(suffix.dropFirst()), abs(exponent) < 1000 else { return nil }
            return (10, Int(exponent), .decimalExponent)
        }
    }
}

// MARK: - Arithmetic

extension Quantity {
    /// Rounds away from zero, so that nothing that was asked for becomes nothing.
    private mutating func roundUp(to target: Int) {
        while scale < target {
            let (quotient, rest) = mantissa.quotientAndRemainder(dividingBy: 10)
            mantissa = rest == 0 ? quotient : quotient + (mantissa < 0 ? -1 : 1)
            scale += 1
            // Once at one in the last place, the rest of the way only moves the point.
            if mantissa.magnitude <= 1 { scale = max(scale, target) }
        }
    }

    /// The mantissa at a lower scale; nil where it does not fit.
    private func lowered(to target: Int) -> Int128? {
        if mantissa == 0 { return 0 }
        var value = mantissa
        for _ in 0..<max(0, scale - target) {
            let (next, over) = value.multipliedReportingOverflow(by: 10)
            if over { return nil }
            value = next
        }
        return value
    }

    /// -1, 0 or 1.
    package func compare(_ other: Quantity) -> Int {
        if sign != other.sign { return sign < other.sign ? -1 : 1 }
        let low = min(scale, other.scale)
        switch (lowered(to: low), other.lowered(to: low)) {
        case (let a?, let b?): return a == b ? 0 : (a < b ? -1 : 1)
        case (nil, _): return sign
        case (_, nil): return -sign
        }
    }

    /// A zero takes on the other's format, as upstream's sums do.
    package static func + (a: Quantity, b: Quantity) -> Quantity {
        let format = a.isZero ? b.format : a.format
        let low = min(a.scale, b.scale)
        guard let x = a.lowered(to: low), let y = b.lowered(to: low) else {
            let larger = a.scale > b.scale ? a : b
            return Quantity(mantissa: larger.mantissa, scale: larger.scale, format: format)
        }
        let (sum, over) = x.addingReportingOverflow(y)
        return Quantity(mantissa: over ? (x < 0 ? .min : .max) : sum, scale: low, format: format)
    }

    package static prefix func - (a: Quantity) -> Quantity { Quantity(mantissa: 0 - a.mantissa, scale: a.scale, format: a.format) }
    package static func - (a: Quantity, b: Quantity) -> Quantity { a + -b }
    package static func += (a: inout Quantity, b: Quantity) { a = a + b }
    package static func -= (a: inout Quantity, b: Quantity) { a = a - b }

    /// Whole units, rounded away from zero; saturates.
    package var value: Int64 { scaled(0) }
    /// Thousandths, rounded away from zero; saturates.
    package var milliValue: Int64 { scaled(-3) }

    private func scaled(_ target: Int) -> Int64 {
        var copy = self
        copy.roundUp(to: target)
        guard let value = copy.lowered(to: target) else { return mantissa < 0 ? .min : .max }
        return Int64(clamping: value)
    }
}

extension Quantity: Comparable, Hashable {
    package static func < (a: Quantity, b: Quantity) -> Bool { a.compare(b) < 0 }
    package static func == (a: Quantity, b: Quantity) -> Bool { a.compare(b) == 0 }
    package func hash(into hasher: inout Hasher) { hasher.combine(value) }
}

// MARK: - Canonical form

extension Quantity: CustomStringConvertible {
    /// The form that the API gives back: no fraction, the largest suffix that keeps the value whole.
    package var description: String {
        if let text { return text }
        if isZero { return "0" }
        if format == .binarySI, let text = binaryText { return text }
        var (digits, exponent) = (mantissa, scale)
        while digits % 10 == 0 {
            digits /= 10
            exponent += 1
        }
        while exponent % 3 != 0 || (format != .decimalExponent && exponent > 18) {
            digits *= 10
            exponent -= 1
        }
        if format == .decimalExponent { return exponent == 0 ? "\(digits)" : "\(digits)e\(exponent)" }
        let suffixes = [-9: "n", -6: "u", -3: "m", 0: "", 3: "k", 6: "M", 9: "G", 12: "T", 15: "P", 18: "E"]
        return "\(digits)\(suffixes[exponent] ?? "")"
    }

    /// Nil where decimal says it better: below 1024, or not whole.
    private var binaryText: String? {
        var whole = self
        whole.roundUp(to: 0)
        guard var value = whole.lowered(to: 0), whole == self, value.magnitude >= 1024 else { return nil }
        var step = 0
        while value % 1024 == 0, step < 6 {
            value /= 1024
            step += 1
        }
        return "\(value)\(["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"][step])"
    }
}
