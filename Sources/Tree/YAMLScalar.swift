/// What a plain YAML scalar means, by the rules that Kubernetes' clients and server share (go-yaml v2: YAML 1.1 with Go's
/// integer prefixes; base-60 numbers and timestamps stay text).
enum YAMLScalar {
    enum Meaning {
        case value(Node)
        case infinity(negative: Bool)
        case notANumber
        case merge
    }

    static func resolve(_ text: String) -> Meaning {
        guard let first = text.utf8.first else { return .value(.null) }
        switch first {
        case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "+"), UInt8(ascii: "-"):
            return word(text) ?? number(text).map(Meaning.value) ?? .value(.string(text))
        case UInt8(ascii: "."):
            return word(text) ?? decimal(text).map(Meaning.value) ?? .value(.string(text))
        case UInt8(ascii: "~"), UInt8(ascii: "<"): return word(text) ?? .value(.string(text))
        default:
            if "yYnNtTfFoO".utf8.contains(first), text.utf8.count <= 5 { return word(text) ?? .value(.string(text)) }
            return .value(.string(text))
        }
    }

    private static func word(_ text: String) -> Meaning? {
        switch text {
        case "y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON": .value(.bool(true))
        case "n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF": .value(.bool(false))
        case "~", "null", "Null", "NULL": .value(.null)
        case ".nan", ".NaN", ".NAN": .notANumber
        case ".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF": .infinity(negative: false)
        case "-.inf", "-.Inf", "-.INF": .infinity(negative: true)
        case "<<": .merge
        default: nil
        }
    }

    private static func number(_ text: String) -> Node? {
        if looksLikeDate(text) { return nil }
        let plain = text.utf8.contains(UInt8(ascii: "_")) ? text.filter { $0 != "_" } : text
        return integer(plain) ?? decimal(plain)
    }

    /// Go's `ParseInt(s, 0, 64)`: an optional sign, then 0x, 0o, 0b or a leading zero for octal.
    private static func integer(_ text: String) -> Node? {
        var digits = Substring(text)
        var negative = false
        if let sign = digits.first, sign == "-" || sign == "+" {
            negative = sign == "-"
            digits = digits.dropFirst()
        }
        var radix = 10
        if digits.count > 1, digits.first == "0" {
            switch digits.dropFirst().first {
            case "x", "X": radix = 16
            case "o", "O": radix = 8
            case "b", "B": radix = 2
            case .some("0"..."9"): radix = 0
            default: return nil
            }
            digits = digits.dropFirst(radix == 0 ? 1 : 2)
            if radix == 0 { radix = 8 }
        }
        guard let first = digits.first, first != "-", first != "+", let magnitude = UInt64(digits, radix: radix) else { return nil }
        if negative { return magnitude <= 1 << 63 ? .int(Int64(truncatingIfNeeded: 0 &- magnitude)) : nil }
        return Int64(exactly: magnitude).map(Node.int) ?? .double(Double(magnitude))
    }

    /// `[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?`
    private static func decimal(_ text: String) -> Node? {
        var rest = Substring(text).utf8[...]
        func digits() -> Int {
            let run = rest.prefix { $0 &- 48 < 10 }.count
            rest = rest.dropFirst(run)
            return run
        }
        if rest.first == UInt8(ascii: "-") || rest.first == UInt8(ascii: "+") { rest = rest.dropFirst() }
        let whole = digits()
        if rest.first == UInt8(ascii: ".") {
            rest = rest.dropFirst()
            if digits() == 0, whole == 0 { return nil }
        } else if whole == 0 {
            return nil
        }
        if let mark = rest.first, mark | 0x20 == UInt8(ascii: "e") {
            rest = rest.dropFirst()
            if rest.first == UInt8(ascii: "-") || rest.first == UInt8(ascii: "+") { rest = rest.dropFirst() }
            if digits() == 0 { return nil }
        }
        guard rest.isEmpty, let value = Double(text), value.isFinite else { return nil }
        return .double(value)
    }

    /// `2006-1-2`, alone or followed by a time: go-yaml takes it for a timestamp, which JSON then carries as the same text.
    private static func looksLikeDate(_ text: String) -> Bool {
        let bytes = Array(text.utf8.prefix(8))
        return bytes.count >= 8 && bytes[4] == UInt8(ascii: "-") && bytes[0..<4].allSatisfy { $0 &- 48 < 10 }
    }

    /// Whether a plain scalar of this text would read back as this text.
    static func staysText(_ text: String) -> Bool {
        if case .value(.string) = resolve(text) { return !isBase60(text) && !looksLikeDate(text) }
        return false
    }

    /// `[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?`: a number to other YAML 1.1 parsers.
    private static func isBase60(_ text: String) -> Bool {
        guard let first = text.utf8.first, first &- 48 < 10 || first == 43 || first == 45, text.utf8.contains(UInt8(ascii: ":")) else { return false }
        let groups = text.utf8.drop { $0 == 43 || $0 == 45 }.split(separator: UInt8(ascii: ":"), omittingEmptySubsequences: false)
        guard groups.count > 1, let head = groups.first, let start = head.first, start &- 48 < 10,
            head.allSatisfy({ $0 &- 48 < 10 || $0 == UInt8(ascii: "_") })
        else { return false }
        return groups.dropFirst().enumerated().allSatisfy { index, group in
            var digits = group
            if index == groups.count - 2, let point = group.firstIndex(of: UInt8(ascii: ".")) {
                guard group[point...].dropFirst().allSatisfy({ $0 &- 48 < 10 || $0 == UInt8(ascii: "_") }) else { return false }
                digits = group[..<point]
            }
            guard (1...2).contains(digits.count), digits.allSatisfy({ $0 &- 48 < 10 }), let top = digits.first else { return false }
            return digits.count == 1 || top < UInt8(ascii: "6")
        }
    }
}
