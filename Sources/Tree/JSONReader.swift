/// Reads one JSON value into a `Node` with Go's rules: integers that fit stay integers, of equal keys the last wins, broken
/// UTF-8 and lone surrogates become U+FFFD, and errors carry Go's words.
package struct JSONReader: ~Copyable {
    /// Past this nesting a document is refused. (Upstream's limit of 10,000 relies on stacks that grow.)
    package static let maxDepth = 512
    /// Upstream stops collecting at as many.
    private static let maxDuplicates = 100

    private let base: UnsafePointer<UInt8>
    private let end: Int
    private var at = 0
    private var depth = 0
    private var values = Stack<Node>(capacity: 16)
    private var entries = Stack<Fields.Entry>(capacity: 64)
    private var hashes = Stack<UInt64>(capacity: 64)
    private var path: [NodePath.Step] = []
    private let wantsDuplicates: Bool
    private var duplicates: [NodePath] = []

    private init(_ base: UnsafePointer<UInt8>, count: Int, duplicates: Bool) {
        self.base = base
        end = count
        wantsDuplicates = duplicates
    }

    package static func read(_ bytes: [UInt8]) throws(SyntaxError) -> Node {
        try read(bytes, reportDuplicates: false).node
    }

    /// Also tells the paths of keys that came twice in one map, which strict field validation reports.
    package static func readStrict(_ bytes: [UInt8]) throws(SyntaxError) -> (node: Node, duplicates: [NodePath]) {
        try read(bytes, reportDuplicates: true)
    }

    package static func read(_ bytes: UnsafeRawBufferPointer) throws(SyntaxError) -> Node {
        try read(bytes.bindMemory(to: UInt8.self), reportDuplicates: false).node
    }

    private static func read(_ bytes: [UInt8], reportDuplicates: Bool) throws(SyntaxError) -> (node: Node, duplicates: [NodePath]) {
        let result: Result<(node: Node, duplicates: [NodePath]), SyntaxError> = bytes.withUnsafeBufferPointer { buffer in
            do throws(SyntaxError) {
                return .success(try read(buffer, reportDuplicates: reportDuplicates))
            } catch {
                return .failure(error)
            }
        }
        return try result.get()
    }

    private static func read(_ buffer: UnsafeBufferPointer<UInt8>, reportDuplicates: Bool) throws(SyntaxError) -> (node: Node, duplicates: [NodePath]) {
        guard let base = buffer.baseAddress else { throw SyntaxError("unexpected end of JSON input") }
        var reader = JSONReader(base, count: buffer.count, duplicates: reportDuplicates)
        let node = try reader.document()
        return (node, reader.duplicates)
    }

    private mutating func document() throws(SyntaxError) -> Node {
        skipSpace()
        let node = try value()
        skipSpace()
        if at < end { throw unexpected("after top-level value") }
        return node
    }
}

// MARK: - Values

extension JSONReader {
    private mutating func value() throws(SyntaxError) -> Node {
        guard at < end else { throw unexpectedEnd }
        switch base[at] {
        case UInt8(ascii: "{"): return try object()
        case UInt8(ascii: "["): return try array()
        case UInt8(ascii: "\""): return .string(try text())
        case UInt8(ascii: "t"):
            try literal("true")
            return .bool(true)
        case UInt8(ascii: "f"):
            try literal("false")
            return .bool(false)
        case UInt8(ascii: "n"):
            try literal("null")
            return .null
        case UInt8(ascii: "-"), UInt8(ascii: "0")...UInt8(ascii: "9"): return try number()
        default: throw unexpected("looking for beginning of value")
        }
    }

    private mutating func object() throws(SyntaxError) -> Node {
        try enter()
        let start = entries.count
        var index: [String: Int] = [:]
        skipSpace()
        if at < end, base[at] == UInt8(ascii: "}") {
            at += 1
            depth -= 1
            return .map(Fields())
        }
        while true {
            skipSpace()
            guard at < end else { throw unexpectedEnd }
            guard base[at] == UInt8(ascii: "\"") else { throw unexpected("looking for beginning of object key string") }
            let (key, hash) = try self.key()
            let earlier = place(of: key, hash, since: start, &index)
            skipSpace()
            guard at < end else { throw unexpectedEnd }
            guard base[at] == UInt8(ascii: ":") else { throw unexpected("after object key") }
            at += 1
            skipSpace()
            if wantsDuplicates {
                path.append(.key(key))
                if earlier != nil, duplicates.count < JSONReader.maxDuplicates { duplicates.append(NodePath(path)) }
            }
            let value = try self.value()
            if wantsDuplicates { path.removeLast() }
            if let earlier {
                entries.base[earlier].value = value
            } else {
                entries.push(Fields.Entry(key: key, value: value))
                hashes.push(hash)
            }
            skipSpace()
            guard at < end else { throw unexpectedEnd }
            switch base[at] {
            case UInt8(ascii: ","): at += 1
            case UInt8(ascii: "}"):
                at += 1
                depth -= 1
                hashes.drop(to: start)
                return .map(Fields(unique: entries.take(from: start)))
            default: throw unexpected("after object key:value pair")
            }
        }
    }

    /// Where a key of the map that began at `start` already stands. Small maps are scanned by hash; past 64 keys a dictionary
    /// takes over, so that hostile documents stay linear.
    private mutating func place(of key: String, _ hash: UInt64, since start: Int, _ index: inout [String: Int]) -> Int? {
        let count = entries.count
        if count - start < 64 {
            var at = start
            while at < count {
                if hashes.base[at] == hash, entries.base[at].key == key { return at }
                at += 1
            }
            return nil
        }
        if index.isEmpty { for at in start..<count { index[entries.base[at].key] = at } }
        if let earlier = index[key] { return earlier }
        index[key] = count
        return nil
    }

    private mutating func array() throws(SyntaxError) -> Node {
        try enter()
        let start = values.count
        skipSpace()
        if at < end, base[at] == UInt8(ascii: "]") {
            at += 1
            depth -= 1
            return .list([])
        }
        while true {
            skipSpace()
            if wantsDuplicates { path.append(.index(values.count - start)) }
            values.push(try value())
            if wantsDuplicates { path.removeLast() }
            skipSpace()
            guard at < end else { throw unexpectedEnd }
            switch base[at] {
            case UInt8(ascii: ","): at += 1
            case UInt8(ascii: "]"):
                at += 1
                depth -= 1
                return .list(values.take(from: start))
            default: throw unexpected("after array element")
            }
        }
    }

    private mutating func enter() throws(SyntaxError) {
        depth += 1
        if depth > JSONReader.maxDepth { throw unexpected("exceeded max depth") }
        at += 1
    }

    private mutating func number() throws(SyntaxError) -> Node {
        let start = at
        var whole = true
        if base[at] == UInt8(ascii: "-") { at += 1 }
        let digits = at
        var magnitude: UInt64 = 0
        if at < end, base[at] == UInt8(ascii: "0") {
            at += 1
        } else {
            try skipDigits("in numeric literal") { magnitude = magnitude &* 10 &+ UInt64($0 &- 48) }
        }
        let length = at - digits
        if at < end, base[at] == UInt8(ascii: ".") {
            whole = false
            at += 1
            try skipDigits("after decimal point in numeric literal") { _ in }
        }
        if at < end, base[at] | 0x20 == UInt8(ascii: "e") {
            whole = false
            at += 1
            if at < end, base[at] == UInt8(ascii: "+") || base[at] == UInt8(ascii: "-") { at += 1 }
            try skipDigits("in exponent of numeric literal") { _ in }
        }
        if whole, length <= 18 {
            let value = Int64(truncatingIfNeeded: magnitude)
            return .int(digits > start ? -value : value)
        }
        let text = String(decoding: UnsafeBufferPointer(start: base + start, count: at - start), as: UTF8.self)
        if whole, let value = Int64(text) { return .int(value) }
        guard let value = Double(text), value.isFinite else {
            throw SyntaxError("json: cannot unmarshal number \(text) into Go value of type float64", offset: at)
        }
        return .double(value)
    }

    @inline(__always)
    private mutating func skipDigits(_ place: StaticString, _ each: (UInt8) -> Void) throws(SyntaxError) {
        guard at < end else { throw unexpectedEnd }
        guard base[at] &- 48 < 10 else { throw unexpected("\(place)") }
        while at < end, base[at] &- 48 < 10 {
            each(base[at])
            at += 1
        }
    }

    private mutating func literal(_ word: StaticString) throws(SyntaxError) {
        for offset in 1..<word.utf8CodeUnitCount {
            guard at + offset < end else {
                at = end
                throw unexpectedEnd
            }
            if base[at + offset] != word.utf8Start[offset] {
                at += offset
                throw unexpected("in literal \(word) (expecting '\(Character(UnicodeScalar(word.utf8Start[offset])))')")
            }
        }
        at += word.utf8CodeUnitCount
    }
}

// MARK: - Text

extension JSONReader {
    private mutating func key() throws(SyntaxError) -> (String, UInt64) {
        let start = at + 1
        let stop = skipPlain(from: start)
        if stop < end, base[stop] == UInt8(ascii: "\"") {
            at = stop + 1
            let hash = KeyCache.hash(base + start, stop - start)
            return (KeyCache.string(UnsafeBufferPointer(start: base + start, count: stop - start), hash: hash), hash)
        }
        // Escapes: hash what it says, not how it is written, or an escaped twin would pass as another key.
        var text = try escapedText(from: start, to: stop)
        let hash = text.withUTF8 { bytes in KeyCache.hash(bytes.baseAddress ?? base, bytes.count) }
        return (text, hash)
    }

    private mutating func text() throws(SyntaxError) -> String {
        let start = at + 1
        let stop = skipPlain(from: start)
        guard stop < end, base[stop] == UInt8(ascii: "\"") else { return try escapedText(from: start, to: stop) }
        at = stop + 1
        return String(decoding: UnsafeBufferPointer(start: base + start, count: stop - start), as: UTF8.self)
    }

    /// The first quote, backslash or control byte from `start` on.
    @inline(__always)
    private func skipPlain(from start: Int) -> Int {
        var stop = start
        while stop + 8 <= end {
            let word = UnsafeRawPointer(base + stop).loadUnaligned(as: UInt64.self)
            let ones: UInt64 = 0x0101_0101_0101_0101
            let high: UInt64 = 0x8080_8080_8080_8080
            let quote = word ^ (ones &* 0x22)
            let slash = word ^ (ones &* 0x5C)
            let found = ((quote &- ones) & ~quote) | ((slash &- ones) & ~slash) | ((word &- ones &* 0x20) & ~word)
            if found & high != 0 { return stop + (found & high).trailingZeroBitCount / 8 }
            stop += 8
        }
        while stop < end, base[stop] != 0x22, base[stop] != 0x5C, base[stop] >= 0x20 { stop += 1 }
        return stop
    }

    private mutating func escapedText(from start: Int, to stop: Int) throws(SyntaxError) -> String {
        var out = Array(UnsafeBufferPointer(start: base + start, count: stop - start))
        at = stop
        while at < end {
            let byte = base[at]
            if byte == UInt8(ascii: "\"") {
                at += 1
                return String(decoding: out, as: UTF8.self)
            }
            if byte < 0x20 { throw unexpected("in string literal") }
            if byte == UInt8(ascii: "\\") {
                at += 1
                try escape(&out)
            } else {
                let run = skipPlain(from: at)
                out.append(contentsOf: UnsafeBufferPointer(start: base + at, count: run - at))
                at = run
            }
        }
        throw unexpectedEnd
    }

    private mutating func escape(_ out: inout [UInt8]) throws(SyntaxError) {
        guard at < end else { throw unexpectedEnd }
        switch base[at] {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): out.append(base[at])
        case UInt8(ascii: "b"): out.append(8)
        case UInt8(ascii: "f"): out.append(12)
        case UInt8(ascii: "n"): out.append(10)
        case UInt8(ascii: "r"): out.append(13)
        case UInt8(ascii: "t"): out.append(9)
        case UInt8(ascii: "u"):
            at += 1
            try unicodeEscape(&out)
            return
        default: throw unexpected("in string escape code")
        }
        at += 1
    }

    private mutating func unicodeEscape(_ out: inout [UInt8]) throws(SyntaxError) {
        var code = try hex4()
        if code >= 0xD800, code < 0xDC00, at + 1 < end, base[at] == UInt8(ascii: "\\"), base[at + 1] == UInt8(ascii: "u") {
            let back = at
            at += 2
            let low = try hex4()
            if low >= 0xDC00, low < 0xE000 {
                code = 0x10000 + (code - 0xD800) << 10 + (low - 0xDC00)
            } else {
                at = back
            }
        }
        let scalar = UnicodeScalar(code) ?? "\u{FFFD}"
        out.append(contentsOf: UTF8.encode(scalar).map(Array.init) ?? [])
    }

    private mutating func hex4() throws(SyntaxError) -> UInt32 {
        var value: UInt32 = 0
        for _ in 0..<4 {
            guard at < end else { throw unexpectedEnd }
            let byte = base[at]
            switch byte {
            case 48...57: value = value << 4 | UInt32(byte - 48)
            case 97...102: value = value << 4 | UInt32(byte - 87)
            case 65...70: value = value << 4 | UInt32(byte - 55)
            default: throw unexpected("in \\u hexadecimal character escape")
            }
            at += 1
        }
        return value
    }

    @inline(__always)
    private mutating func skipSpace() {
        while at < end {
            switch base[at] {
            case 0x20, 0x0A, 0x0D, 0x09: at += 1
            default: return
            }
        }
    }

    // MARK: Errors

    private var unexpectedEnd: SyntaxError { SyntaxError("unexpected end of JSON input", offset: end) }

    private func unexpected(_ place: String) -> SyntaxError {
        guard at < end else { return unexpectedEnd }
        let byte = base[at]
        let shown: String
        switch byte {
        case UInt8(ascii: "'"): shown = "'\\''"
        case UInt8(ascii: "\""): shown = "'\"'"
        default:
            let quoted = NodePath.quoted(String(Character(UnicodeScalar(byte))))
            shown = "'\(quoted.dropFirst().dropLast())'"
        }
        return SyntaxError("invalid character \(shown) \(place)", offset: at + 1)
    }
}
