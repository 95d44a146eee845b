/// One word of an expression.
struct Token {
    enum Kind: Equatable {
        case end
        case identifier(String)
        /// An identifier in back quotes, which names fields only.
        case escapedIdentifier(String)
        case int(String)
        case uint(String)
        case double(String)
        case string(String)
        case bytes([UInt8])
        case symbol(String)
    }
    let kind: Kind
    let offset: Int
    let end: Int
}

/// Cuts an expression into words.
struct Lexer {
    struct Failure: Error {
        let message: String
        let offset: Int
    }

    private let source: [Unicode.Scalar]
    private var at = 0

    init(_ source: Source) { self.source = source.scalars }

    mutating func tokens() throws(Failure) -> [Token] {
        var out: [Token] = []
        while true {
            let token = try nextToken()
            out.append(token)
            if token.kind == .end { return out }
        }
    }

    private func peek(_ ahead: Int = 0) -> Unicode.Scalar? { at + ahead < source.count ? source[at + ahead] : nil }
    private func text(_ range: Range<Int>) -> String {
        var out = String.UnicodeScalarView()
        out.append(contentsOf: source[range])
        return String(out)
    }

    private mutating func nextToken() throws(Failure) -> Token {
        skipBlanks()
        let start = at
        guard let character = peek() else { return Token(kind: .end, offset: source.count, end: source.count) }
        let kind: Token.Kind
        switch character {
        case "a"..."z", "A"..."Z", "_": kind = try word()
        case "0"..."9": kind = number()
        case "." where peek(1).map(Lexer.isDigit) == true: kind = number()
        case "\"", "'": kind = try literal(raw: false, bytes: false, start)
        case "`": kind = try escapedIdentifier()
        default: kind = try symbol()
        }
        return Token(kind: kind, offset: start, end: at)
    }

    private mutating func skipBlanks() {
        while let character = peek() {
            if character == "/", peek(1) == "/" {
                while let other = peek(), other != "\n" { at += 1 }
            } else if character == " " || character == "\t" || character == "\n" || character == "\r" || character == "\u{0C}" {
                at += 1
            } else {
                return
            }
        }
    }

    private mutating func symbol() throws(Failure) -> Token.Kind {
        for two in ["==", "!=", "<=", ">=", "&&", "||"] {
            let pair = Array(two.unicodeScalars)
            if peek() == pair[0], peek(1) == pair[1] {
                at += 2
                return .symbol(two)
            }
        }
        guard let character = peek() else { return .end }
        switch character {
        case "<", ">", "[", "]", "{", "}", "(", ")", ".", ",", "-", "!", "?", ":", "+", "*", "/", "%":
            at += 1
            return .symbol(String(character))
        default:
            // ANTLR names what it cannot begin a word with, up to where it gave up.
            let doubled = (character == "&" || character == "|" || character == "=") && peek(1) != nil
            throw Failure(message: "Syntax error: token recognition error at: '\(text(at..<(doubled ? at + 2 : at + 1)))'", offset: at)
        }
    }

    private static func isDigit(_ scalar: Unicode.Scalar) -> Bool { ("0"..."9").contains(scalar) }
    private static func isHex(_ scalar: Unicode.Scalar) -> Bool {
        isDigit(scalar) || ("a"..."f").contains(scalar) || ("A"..."F").contains(scalar)
    }
    private static func isWord(_ scalar: Unicode.Scalar) -> Bool {
        isDigit(scalar) || ("a"..."z").contains(scalar) || ("A"..."Z").contains(scalar) || scalar == "_"
    }

    private mutating func word() throws(Failure) -> Token.Kind {
        let start = at
        // A prefix of a string: r, b, or both.
        var length = 0
        while length < 2, let character = peek(length), "rRbB".unicodeScalars.contains(character) { length += 1 }
        if length > 0, let quote = peek(length), quote == "\"" || quote == "'" {
            let prefix = text(at..<(at + length)).lowercased()
            if prefix != "rr", prefix != "bb" {
                at += length
                return try literal(raw: prefix.contains("r"), bytes: prefix.contains("b"), start)
            }
        }
        while let character = peek(), Lexer.isWord(character) { at += 1 }
        let name = text(start..<at)
        return name == "in" ? .symbol("in") : .identifier(name)
    }

    private mutating func escapedIdentifier() throws(Failure) -> Token.Kind {
        let start = at
        at += 1
        while let character = peek(), Lexer.isWord(character) || ".-/ ".unicodeScalars.contains(character) { at += 1 }
        guard peek() == "`", at > start + 1 else { throw Failure(message: "Syntax error: token recognition error at: '\(text(start..<min(at + 1, source.count)))'", offset: start) }
        at += 1
        return .escapedIdentifier(text((start + 1)..<(at - 1)))
    }

    private mutating func number() -> Token.Kind {
        let start = at
        if peek() == "0", peek(1) == "x", peek(2).map(Lexer.isHex) == true {
            at += 2
            while let character = peek(), Lexer.isHex(character) { at += 1 }
            return unsigned(start, .int(text(start..<at)))
        }
        while let character = peek(), Lexer.isDigit(character) { at += 1 }
        var isDouble = false
        if peek() == ".", peek(1).map(Lexer.isDigit) == true {
            isDouble = true
            at += 1
            while let character = peek(), Lexer.isDigit(character) { at += 1 }
        }
        if peek() == "e" || peek() == "E" {
            let sign = peek(1) == "+" || peek(1) == "-" ? 1 : 0
            if peek(1 + sign).map(Lexer.isDigit) == true {
                isDouble = true
                at += 1 + sign
                while let character = peek(), Lexer.isDigit(character) { at += 1 }
            }
        }
        if isDouble { return .double(text(start..<at)) }
        return unsigned(start, .int(text(start..<at)))
    }

    private mutating func unsigned(_ start: Int, _ kind: Token.Kind) -> Token.Kind {
        guard peek() == "u" || peek() == "U" else { return kind }
        let digits = text(start..<at)
        at += 1
        return .uint(digits)
    }

    private mutating func literal(raw: Bool, bytes: Bool, _ start: Int) throws(Failure) -> Token.Kind {
        let quote = source[at]
        let isTriple = peek(1) == quote && peek(2) == quote
        at += isTriple ? 3 : 1
        let begin = at
        while true {
            guard let character = peek(), isTriple || (character != "\n" && character != "\r") else {
                throw Failure(message: "Syntax error: token recognition error at: '\(text(start..<min(at, source.count)))'", offset: start)
            }
            if character == quote, !isTriple || (peek(1) == quote && peek(2) == quote) { break }
            at += character == "\\" && !raw ? 2 : 1
        }
        let body = source[begin..<min(at, source.count)]
        at += isTriple ? 3 : 1
        do {
            if bytes { return .bytes(try Unescape.bytes(body, raw: raw)) }
            return .string(try Unescape.string(body, raw: raw))
        } catch {
            throw Failure(message: error.message, offset: start)
        }
    }
}

/// The characters that escapes of literals stand for.
enum Unescape {
    struct Failure: Error { let message: String }

    static func string(_ body: ArraySlice<Unicode.Scalar>, raw: Bool) throws(Failure) -> String {
        var out = String.UnicodeScalarView()
        try walk(body, raw: raw, isBytes: false) { value, _ throws(Failure) in
            guard let scalar = Unicode.Scalar(value) else { throw Failure(message: "invalid unicode code point") }
            out.append(scalar)
        }
        return String(out)
    }

    /// Octal and hexadecimal escapes are single bytes here; other characters give their UTF-8.
    static func bytes(_ body: ArraySlice<Unicode.Scalar>, raw: Bool) throws(Failure) -> [UInt8] {
        var out: [UInt8] = []
        try walk(body, raw: raw, isBytes: true) { value, isByte throws(Failure) in
            if isByte {
                out.append(UInt8(truncatingIfNeeded: value))
            } else if let scalar = Unicode.Scalar(value) {
                out.append(contentsOf: String(scalar).utf8)
            } else {
                throw Failure(message: "invalid unicode code point")
            }
        }
        return out
    }

    private static func walk(
        _ body: ArraySlice<Unicode.Scalar>, raw: Bool, isBytes: Bool, _ emit: (UInt32, Bool) throws(Failure) -> Void
    ) throws(Failure) {
        var index = body.startIndex
        while index < body.endIndex {
            let character = body[index]
            index += 1
            if character == "\r" {
                // Line ends are one character, whatever the client's editor writes.
                if index < body.endIndex, body[index] == "\n" { continue }
                try emit(10, false)
                continue
            }
            guard character == "\\", !raw else {
                try emit(character.value, false)
                continue
            }
            guard index < body.endIndex else { throw Failure(message: "unable to unescape string, found '\\' as last character") }
            let letter = body[index]
            index += 1
            if let plain = plain(letter) {
                try emit(plain, false)
                continue
            }
            switch letter {
            case "x", "X": try emit(try digits(body, &index, 2, radix: 16), isBytes)
            case "u" where !isBytes: try emit(try digits(body, &index, 4, radix: 16), false)
            case "U" where !isBytes: try emit(try digits(body, &index, 8, radix: 16), false)
            case "0"..."3":
                index -= 1
                try emit(try digits(body, &index, 3, radix: 8), isBytes)
            default: throw Failure(message: "unable to unescape string")
            }
        }
    }

    private static func plain(_ letter: Unicode.Scalar) -> UInt32? {
        switch letter {
        case "a": 7
        case "b": 8
        case "f": 12
        case "n": 10
        case "r": 13
        case "t": 9
        case "v": 11
        case "\\", "'", "\"", "`", "?": letter.value
        default: nil
        }
    }

    private static func digits(_ body: ArraySlice<Unicode.Scalar>, _ index: inout Int, _ count: Int, radix: UInt32) throws(Failure) -> UInt32 {
        guard index + count <= body.endIndex else { throw Failure(message: "unable to unescape string") }
        var value: UInt64 = 0
        for _ in 0..<count {
            guard let digit = Character(body[index]).hexDigitValue, digit < Int(radix) else { throw Failure(message: "unable to unescape string") }
            value = value * UInt64(radix) + UInt64(digit)
            index += 1
        }
        return UInt32(clamping: value)
    }
}
