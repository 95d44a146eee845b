import Tree

// MARK: - Values of defaults

extension SchemaText {
    /// A JSON value without spaces outside of its texts: what defaults need, which is little.
    mutating func value(_ token: Token) throws(SchemaError) -> Node {
        var at = token.lowerBound
        let node = try value(&at, token.upperBound, depth: 0)
        guard at == token.upperBound else { throw fail("more after the value") }
        return node
    }

    private mutating func value(_ at: inout Int, _ end: Int, depth: Int) throws(SchemaError) -> Node {
        guard at < end, depth < 8 else { throw fail("value expected") }
        switch bytes[at] {
        case UInt8(ascii: "\""): return .string(try quoted(&at, end))
        case UInt8(ascii: "{"):
            var fields = Fields()
            at += 1
            while try more(&at, end, UInt8(ascii: "}"), first: fields.isEmpty) {
                let key = try quoted(&at, end)
                guard at < end, bytes[at] == UInt8(ascii: ":") else { throw fail("':' expected") }
                at += 1
                fields[key] = try value(&at, end, depth: depth + 1)
            }
            return .map(fields)
        case UInt8(ascii: "["):
            var items: [Node] = []
            at += 1
            while try more(&at, end, UInt8(ascii: "]"), first: items.isEmpty) { items.append(try value(&at, end, depth: depth + 1)) }
            return .list(items)
        default:
            let start = at
            while at < end, ![UInt8(ascii: ","), UInt8(ascii: "}"), UInt8(ascii: "]")].contains(bytes[at]) { at += 1 }
            if let number = integer(start..<at) { return .int(Int64(number)) }
            switch string(start..<at) {
            case "true": return .bool(true)
            case "false": return .bool(false)
            case let word: throw fail("value expected, not '\(word)'")
            }
        }
    }

    private mutating func more(_ at: inout Int, _ end: Int, _ close: UInt8, first: Bool) throws(SchemaError) -> Bool {
        guard at < end else { throw fail("value does not end") }
        if bytes[at] == close {
            at += 1
            return false
        }
        if !first {
            guard bytes[at] == UInt8(ascii: ",") else { throw fail("',' expected") }
            at += 1
        }
        return true
    }

    private mutating func quoted(_ at: inout Int, _ end: Int) throws(SchemaError) -> String {
        guard at < end, bytes[at] == UInt8(ascii: "\"") else { throw fail("text expected") }
        at += 1
        var out: [UInt8] = []
        while at < end, bytes[at] != UInt8(ascii: "\"") {
            if bytes[at] == UInt8(ascii: "\\") {
                at += 1
                guard at < end, bytes[at] == UInt8(ascii: "\"") || bytes[at] == UInt8(ascii: "\\") else { throw fail("only \\\" and \\\\ may be escaped") }
            }
            out.append(bytes[at])
            at += 1
        }
        guard at < end else { throw fail("text does not end") }
        at += 1
        return String(decoding: out, as: UTF8.self)
    }
}
