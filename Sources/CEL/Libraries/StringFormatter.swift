/// `"%s has %d".format([a, b])`.
enum StringFormatter {
    static func format(_ pattern: String, _ arguments: [Value]) throws(EvaluationError) -> String {
        var out = ""
        var used = 0
        var rest = Substring(pattern).unicodeScalars
        while let character = rest.popFirst() {
            guard character == "%" else {
                out.unicodeScalars.append(character)
                continue
            }
            guard let next = rest.first else { throw EvaluationError("unexpected end of string") }
            if next == "%" {
                rest.removeFirst()
                out += "%"
                continue
            }
            guard used < arguments.count else { throw EvaluationError("index \(used) out of range") }
            out += try clause(&rest, arguments[used])
            used += 1
        }
        return out
    }

    private static func clause(_ rest: inout Substring.UnicodeScalarView, _ value: Value) throws(EvaluationError) -> String {
        var precision: Int?
        if rest.first == "." {
            rest.removeFirst()
            let digits = rest.prefix { ("0"..."9").contains($0) }
            rest.removeFirst(digits.count)
            guard !rest.isEmpty else { throw EvaluationError("error while parsing precision: could not find end of precision specifier") }
            precision = digits.isEmpty ? nil : Int(String(Substring(digits)))
            if !digits.isEmpty, precision == nil || precision ?? 0 > 1000 {
                throw EvaluationError("error while parsing precision: error while converting precision to integer: value out of range")
            }
        }
        guard let kind = rest.popFirst() else { throw EvaluationError("unexpected end of string") }
        do {
            switch kind {
            case "s": return try text(value)
            case "d": return try decimal(value)
            case "f": return try fixed(value, precision ?? 6)
            case "e": return try scientific(value, precision ?? 6)
            case "b": return try binary(value)
            case "x": return try hexadecimal(value, isUpper: false)
            case "X": return try hexadecimal(value, isUpper: true)
            case "o": return try octal(value)
            default: break
            }
        } catch {
            throw EvaluationError("error during formatting: \(error.message)")
        }
        throw EvaluationError("could not parse formatting clause: unrecognized formatting clause \"\(kind)\"")
    }

    private static func text(_ value: Value) throws(EvaluationError) -> String {
        switch value {
        case .double(let number): return number.isInfinite ? (number < 0 ? "-Infinity" : "Infinity") : NumberText.general(number)
        case .list(let list):
            var parts: [String] = []
            for item in list { parts.append(try text(item)) }
            return "[" + parts.joined(separator: ", ") + "]"
        case .map(let map):
            var parts: [(String, String)] = []
            for (key, item) in map { parts.append((try text(key), try text(item))) }
            return "{" + parts.sorted { $0.0 < $1.0 }.map { "\($0.0): \($0.1)" }.joined(separator: ", ") + "}"
        case .opaque, .optional, .failure:
            throw EvaluationError(
                "string clause can only be used on strings, bools, bytes, ints, doubles, maps, lists, types, durations, and timestamps, was given \(value.type.name)")
        default: return Rendering.text(value)
        }
    }

    private static func decimal(_ value: Value) throws(EvaluationError) -> String {
        switch value {
        case .int(let number): return "\(number)"
        case .uint(let number): return "\(number)"
        case .double(let number) where number.isNaN || number.isInfinite: return number.isNaN ? "NaN" : number < 0 ? "-Infinity" : "Infinity"
        default: throw EvaluationError("decimal clause can only be used on integers, was given \(value.type.name)")
        }
    }

    private static func number(_ value: Value, _ name: String) throws(EvaluationError) -> Double {
        switch value {
        case .double(let number): return number
        case .int(let number): return Double(number)
        case .uint(let number): return Double(number)
        case .string("NaN"): return .nan
        case .string("Infinity"): return .infinity
        case .string("-Infinity"): return -.infinity
        default: throw EvaluationError("\(name) clause can only be used on doubles, was given \(value.type.name)")
        }
    }

    private static func special(_ number: Double) -> String? {
        number.isNaN ? "NaN" : number.isInfinite ? (number < 0 ? "-∞" : "∞") : nil
    }

    private static func fixed(_ value: Value, _ precision: Int) throws(EvaluationError) -> String {
        let number = try number(value, "fixed-point")
        if let special = special(number) { return special }
        return grouped(DecimalText.fixed(number, precision))
    }

    private static func scientific(_ value: Value, _ precision: Int) throws(EvaluationError) -> String {
        let number = try number(value, "scientific")
        if let special = special(number) { return special }
        return raised(DecimalText.scientific(number, precision))
    }

    /// `1,234.5`: the form that upstream's printer gives in English.
    private static func grouped(_ text: String) -> String {
        let sign = text.hasPrefix("-") ? "-" : ""
        let digits = text.dropFirst(sign.count)
        let whole = Array(digits.prefix { $0 != "." })
        var out = ""
        for (index, digit) in whole.enumerated() {
            if index > 0, (whole.count - index) % 3 == 0 { out += "," }
            out.append(digit)
        }
        return sign + out + digits.dropFirst(whole.count)
    }

    /// `1.5×10⁰³` for `1.5e+03`.
    private static func raised(_ text: String) -> String {
        let parts = text.split(separator: "e", maxSplits: 1)
        guard parts.count == 2 else { return text }
        let high: [Character: Character] = [
            "0": "⁰", "1": "¹", "2": "²", "3": "³", "4": "⁴", "5": "⁵", "6": "⁶", "7": "⁷", "8": "⁸", "9": "⁹", "-": "⁻",
        ]
        return parts[0] + "×10" + String(parts[1].compactMap { high[$0] })
    }

    private static func binary(_ value: Value) throws(EvaluationError) -> String {
        switch value {
        case .bool(let flag): return flag ? "1" : "0"
        case .int(let number): return String(number, radix: 2)
        case .uint(let number): return String(number, radix: 2)
        default: throw EvaluationError("only integers and bools can be formatted as binary, was given \(value.type.name)")
        }
    }

    private static func octal(_ value: Value) throws(EvaluationError) -> String {
        switch value {
        case .int(let number): return String(number, radix: 8)
        case .uint(let number): return String(number, radix: 8)
        default: throw EvaluationError("octal clause can only be used on integers, was given \(value.type.name)")
        }
    }

    private static func hexadecimal(_ value: Value, isUpper: Bool) throws(EvaluationError) -> String {
        func bytes(_ bytes: some Sequence<UInt8>) -> String {
            bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16, uppercase: isUpper) }.joined()
        }
        switch value {
        case .int(let number): return String(number, radix: 16, uppercase: isUpper)
        case .uint(let number): return String(number, radix: 16, uppercase: isUpper)
        case .string(let text): return bytes(text.utf8)
        case .bytes(let data): return bytes(data)
        default: throw EvaluationError("only integers, byte buffers, and strings can be formatted as hex, was given \(value.type.name)")
        }
    }
}

/// Doubles with a given number of digits, rounded exactly: the value of a double is a finite decimal.
enum DecimalText {
    /// All the value's digits, with the place of the point.
    private static func exact(_ value: Double) -> (digits: [UInt8], point: Int) {
        let size = value.magnitude
        if size == 0 { return ([0], 1) }
        var whole: [UInt8] = [0]
        // The significand as an integer, then doubled or halved in decimal.
        var significand = size.significandBitPattern | (size.isNormal ? 1 << 52 : 0)
        var digits: [UInt8] = []
        while significand > 0 {
            digits.append(UInt8(significand % 10))
            significand /= 10
        }
        whole = digits.reversed()
        var exponent = Int(size.exponentBitPattern) - 1075
        if !size.isNormal { exponent += 1 }
        var point = whole.count
        if exponent > 0 {
            for _ in 0..<exponent {
                var carry: UInt8 = 0
                for index in whole.indices.reversed() {
                    let doubled = whole[index] * 2 + carry
                    whole[index] = doubled % 10
                    carry = doubled / 10
                }
                if carry > 0 {
                    whole.insert(carry, at: 0)
                    point += 1
                }
            }
        } else {
            for _ in 0..<(-exponent) {
                var rest: UInt8 = 0
                for index in whole.indices {
                    let current = rest * 10 + whole[index]
                    whole[index] = current / 2
                    rest = current % 2
                }
                if rest > 0 { whole.append(5) }
            }
        }
        let zeros = whole.prefix { $0 == 0 }.count
        if zeros < whole.count {
            whole.removeFirst(zeros)
            point -= zeros
        }
        return (whole, point)
    }

    /// The first `count` digits, half to even; the point moves when the rounding carries.
    private static func rounded(_ value: Double, to count: (Int) -> Int) -> (digits: [UInt8], point: Int) {
        var (digits, point) = exact(value)
        let keep = count(point)
        if keep < 0 { return ([], point) }
        guard keep < digits.count else { return (digits + Array(repeating: 0, count: keep - digits.count), point) }
        let rest = digits[keep...]
        let isHalf = rest.first == 5 && rest.dropFirst().allSatisfy { $0 == 0 }
        let up = (rest.first ?? 0) > 5 || (rest.first == 5 && !isHalf) || (isHalf && keep > 0 && digits[keep - 1] % 2 == 1)
        digits = Array(digits.prefix(keep))
        guard up else { return (digits, point) }
        var index = keep - 1
        while index >= 0 {
            if digits[index] < 9 {
                digits[index] += 1
                return (digits, point)
            }
            digits[index] = 0
            index -= 1
        }
        digits.insert(1, at: 0)
        point += 1
        return (digits, point)
    }

    private static func text(_ digits: some Sequence<UInt8>) -> String { String(decoding: digits.map { $0 + 48 }, as: UTF8.self) }

    static func fixed(_ value: Double, _ precision: Int) -> String {
        let (digits, point) = rounded(value, to: { $0 + precision })
        let padded = point <= 0 ? Array(repeating: 0, count: min(1 - point, precision + 1)) + digits : digits
        let whole = max(1, point)
        let all = padded + Array(repeating: 0, count: max(0, whole + precision - padded.count))
        let sign = value.sign == .minus ? "-" : ""
        return sign + text(all.prefix(whole)) + (precision > 0 ? "." + text(all.dropFirst(whole).prefix(precision)) : "")
    }

    static func scientific(_ value: Double, _ precision: Int) -> String {
        let (digits, point) = rounded(value, to: { _ in precision + 1 })
        let exponent = value == 0 ? 0 : point - 1
        let size = abs(exponent)
        let sign = value.sign == .minus ? "-" : ""
        let fraction = precision > 0 ? "." + text(digits.dropFirst().prefix(precision)) : ""
        return sign + text(digits.prefix(1)) + fraction + "e" + (exponent < 0 ? "-" : "+") + (size < 10 ? "0" : "") + "\(size)"
    }
}

/// Numbers with a fixed count of digits, as Go's `%.Nf`.
package enum ExpressionNumber {
    package static func fixed(_ value: Double, _ digits: Int) -> String { DecimalText.fixed(value, digits) }
}
