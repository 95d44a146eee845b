/// Writes a `Node` as JSON: keys in the order of the tree, no white space, numbers as Go writes them.
package enum JSONWriter {
    package static func write(_ node: Node, sizeHint: Int = 4096) -> [UInt8] {
        var sink = ByteSink(capacity: sizeHint)
        compact(node, &sink)
        return sink.bytes()
    }

    /// Two spaces an indent, as upstream's `pretty` form.
    package static func writePretty(_ node: Node) -> [UInt8] {
        var sink = ByteSink(capacity: 4096)
        pretty(node, 0, &sink)
        return sink.bytes()
    }

    private static func compact(_ node: Node, _ sink: inout ByteSink) {
        switch node {
        case .string(let text): string(text, &sink)
        case .map(let fields):
            var separator = UInt8(ascii: "{")
            for index in fields.storage.indices {
                sink.append(separator)
                separator = UInt8(ascii: ",")
                string(fields.storage[index].key, &sink)
                sink.append(UInt8(ascii: ":"))
                compact(fields.storage[index].value, &sink)
            }
            if fields.isEmpty { sink.append(separator) }
            sink.append(UInt8(ascii: "}"))
        case .list(let items):
            var separator = UInt8(ascii: "[")
            for item in items {
                sink.append(separator)
                separator = UInt8(ascii: ",")
                compact(item, &sink)
            }
            if items.isEmpty { sink.append(separator) }
            sink.append(UInt8(ascii: "]"))
        default: scalar(node, &sink)
        }
    }

    private static func pretty(_ node: Node, _ depth: Int, _ sink: inout ByteSink) {
        func line(_ depth: Int, _ sink: inout ByteSink) {
            sink.append(UInt8(ascii: "\n"))
            sink.append(repeating: UInt8(ascii: " "), count: depth * 2)
        }
        switch node {
        case .map(let fields) where !fields.isEmpty:
            var separator = UInt8(ascii: "{")
            for entry in fields.storage {
                sink.append(separator)
                separator = UInt8(ascii: ",")
                line(depth + 1, &sink)
                string(entry.key, &sink)
                sink.append(": ")
                pretty(entry.value, depth + 1, &sink)
            }
            line(depth, &sink)
            sink.append(UInt8(ascii: "}"))
        case .list(let items) where !items.isEmpty:
            var separator = UInt8(ascii: "[")
            for item in items {
                sink.append(separator)
                separator = UInt8(ascii: ",")
                line(depth + 1, &sink)
                pretty(item, depth + 1, &sink)
            }
            line(depth, &sink)
            sink.append(UInt8(ascii: "]"))
        default: compact(node, &sink)
        }
    }

    private static func scalar(_ node: Node, _ sink: inout ByteSink) {
        switch node {
        case .bool(true): sink.append("true")
        case .bool(false): sink.append("false")
        case .int(let value): sink.append(value)
        case .double(let value): sink.append(utf8: number(value))
        default: sink.append("null")
        }
    }

    /// A string with its quotes. Runs without escapes are copied whole.
    @inline(__always)
    static func string(_ text: String, _ sink: inout ByteSink) {
        var text = text
        sink.append(UInt8(ascii: "\""))
        text.withUTF8 { bytes in
            var start = 0
            var at = 0
            while at < bytes.count {
                let byte = bytes[at]
                if byte < 0x20 || byte == 0x22 || byte == 0x5C {
                    sink.append(UnsafeBufferPointer(rebasing: bytes[start..<at]))
                    escape(byte, &sink)
                    start = at + 1
                }
                at += 1
            }
            sink.append(UnsafeBufferPointer(rebasing: bytes[start...]))
        }
        sink.append(UInt8(ascii: "\""))
    }

    private static func escape(_ byte: UInt8, _ sink: inout ByteSink) {
        switch byte {
        case 0x22: sink.append("\\\"")
        case 0x5C: sink.append("\\\\")
        case 0x08: sink.append("\\b")
        case 0x0C: sink.append("\\f")
        case 0x0A: sink.append("\\n")
        case 0x0D: sink.append("\\r")
        case 0x09: sink.append("\\t")
        default:
            sink.append("\\u00")
            for digit in [byte >> 4, byte & 15] { sink.append(digit < 10 ? 48 + digit : 87 + digit) }
        }
    }

    /// As Go's encoding/json writes a float64: shortest digits, exponents only outside 1e-6 ..< 1e21.
    package static func number(_ value: Double) -> String {
        guard value.isFinite else { return "null" }
        if value == 0 { return value.sign == .minus ? "-0" : "0" }
        if let whole = Int64(exactly: value), abs(value) < 1e15 { return String(whole) }
        let (digits, point) = decimal(value.magnitude)
        let sign = value < 0 ? "-" : ""
        if value.magnitude < 1e-6 || value.magnitude >= 1e21 {
            return scientific(value, exponentDigits: 1)
        }
        if point <= 0 { return sign + "0." + String(repeating: "0", count: -point) + String(digits) }
        if point >= digits.count { return sign + String(digits) + String(repeating: "0", count: point - digits.count) }
        return sign + String(digits[..<point]) + "." + String(digits[point...])
    }

    static func scientific(_ value: Double, exponentDigits: Int) -> String {
        let (digits, point) = decimal(value.magnitude)
        let head = String(digits[0]) + (digits.count > 1 ? "." + String(digits[1...]) : "")
        let exponent = String(abs(point - 1))
        let padding = String(repeating: "0", count: max(0, exponentDigits - exponent.count))
        return "\(value < 0 ? "-" : "")\(head)e\(point < 1 ? "-" : "+")\(padding)\(exponent)"
    }

    /// The shortest digits that read back as `value`, and how many of them stand before the point.
    private static func decimal(_ value: Double) -> (digits: [Character], point: Int) {
        let text = Array("\(value)")
        let parts = text.split(separator: "e")
        let exponent = parts.count > 1 ? Int(String(parts[1])) ?? 0 : 0
        let mantissa = parts[0].split(separator: ".", omittingEmptySubsequences: false)
        var digits = mantissa.flatMap { $0 }
        var point = mantissa[0].count + exponent
        while digits.count > 1, digits[0] == "0" {
            digits.removeFirst()
            point -= 1
        }
        while digits.count > 1, digits.last == "0" { digits.removeLast() }
        return (digits, point)
    }
}

extension Node {
    /// Compact JSON.
    package var json: [UInt8] { JSONWriter.write(self) }
    package var jsonText: String { String(decoding: JSONWriter.write(self), as: UTF8.self) }

    package init(json text: String) throws(SyntaxError) { self = try JSONReader.read(Array(text.utf8)) }
}
