extension LabelSelector {
    /// What `labelSelector=` says: `app=a,tier in (x,y),!old`. Throws what is wrong, in upstream's words.
    package init(parsing text: String) throws(SelectorFailure) {
        var parser = Parser(text)
        self.init(try parser.requirements())
    }

    private enum Token: Equatable {
        case end, word(String), error(String)
        case close, comma, not, doubleEquals, equals, greater, less, notEquals, open

        var literal: String {
            switch self {
            case .end: ""
            case .word(let text), .error(let text): text
            case .close: ")"
            case .comma: ","
            case .not: "!"
            case .doubleEquals: "=="
            case .equals: "="
            case .greater: ">"
            case .less: "<"
            case .notEquals: "!="
            case .open: "("
            }
        }
        var isWord: Bool { if case .word = self { true } else { false } }
    }

    private struct Parser {
        private let tokens: [Token]
        private var at = 0

        init(_ text: String) { tokens = Parser.scan(Array(text.utf8)) }

        private static func scan(_ bytes: [UInt8]) -> [Token] {
            var tokens: [Token] = []
            var at = 0
            func isSpecial(_ byte: UInt8) -> Bool { "=!(),><".utf8.contains(byte) }
            func isSpace(_ byte: UInt8) -> Bool { byte == 32 || byte == 9 || byte == 10 || byte == 13 }
            while at < bytes.count {
                if isSpace(bytes[at]) {
                    at += 1
                    continue
                }
                let next = at + 1 < bytes.count ? bytes[at + 1] : 0
                switch bytes[at] {
                case UInt8(ascii: ")"): tokens.append(.close)
                case UInt8(ascii: "("): tokens.append(.open)
                case UInt8(ascii: ","): tokens.append(.comma)
                case UInt8(ascii: ">"): tokens.append(.greater)
                case UInt8(ascii: "<"): tokens.append(.less)
                case UInt8(ascii: "="):
                    tokens.append(next == UInt8(ascii: "=") ? .doubleEquals : .equals)
                    if next == UInt8(ascii: "=") { at += 1 }
                case UInt8(ascii: "!"):
                    tokens.append(next == UInt8(ascii: "=") ? .notEquals : .not)
                    if next == UInt8(ascii: "=") { at += 1 }
                default:
                    let start = at
                    while at < bytes.count, !isSpecial(bytes[at]), !isSpace(bytes[at]) { at += 1 }
                    tokens.append(.word(String(decoding: bytes[start..<at], as: UTF8.self)))
                    continue
                }
                at += 1
            }
            return tokens + [.end]
        }

        private var next: Token { tokens[min(at, tokens.count - 1)] }
        private mutating func take() -> Token {
            defer { at += 1 }
            return next
        }

        mutating func requirements() throws(SelectorFailure) -> [Requirement] {
            var all: [Requirement] = []
            while true {
                switch next {
                case .word, .not:
                    do throws(SelectorFailure) {
                        all.append(try requirement())
                    } catch {
                        throw SelectorFailure("unable to parse requirement: \(error.description)")
                    }
                    let token = take()
                    if token == .end { return all }
                    guard token == .comma else { throw SelectorFailure("found '\(token.literal)', expected: ',' or 'end of string'") }
                    if !next.isWord, next != .not { throw SelectorFailure("found '\(next.literal)', expected: identifier after ','") }
                case .end: return all
                default: throw SelectorFailure("found '\(next.literal)', expected: !, identifier, or 'end of string'")
                }
            }
        }

        private mutating func requirement() throws(SelectorFailure) -> Requirement {
            var token = take()
            let negated = token == .not
            if negated { token = take() }
            guard case .word(let key) = token else { throw SelectorFailure("found '\(token.literal)', expected: identifier") }
            let errors = NameFormat.qualifiedName(key)
            if !errors.isEmpty { throw SelectorFailure(FieldError.invalid("<nil>", quoted: key, errors.joined(separator: "; ")).description) }
            if negated { return try checked(key, .doesNotExist, []) }
            if next == .end || next == .comma { return try checked(key, .exists, []) }
            let op: Operator
            token = take()
            switch token {
            case .word("in"): op = .isIn
            case .word("notin"): op = .notIn
            case .equals: op = .equals
            case .doubleEquals: op = .doubleEquals
            case .notEquals: op = .notEquals
            case .greater: op = .greaterThan
            case .less: op = .lessThan
            default: throw SelectorFailure("found '\(token.literal)', expected: in, notin, =, ==, !=, gt, lt")
            }
            return try checked(key, op, op == .isIn || op == .notIn ? try set() : [try exact()])
        }

        private mutating func exact() throws(SelectorFailure) -> String {
            if next == .end || next == .comma { return "" }
            let token = take()
            guard case .word(let text) = token else { throw SelectorFailure("found '\(token.literal)', expected: identifier") }
            return text
        }

        private mutating func set() throws(SelectorFailure) -> [String] {
            var token = take()
            guard token == .open else { throw SelectorFailure("found '\(token.literal)' expected: '('") }
            if next == .close {
                at += 1
                return [""]
            }
            guard next.isWord || next == .comma else { throw SelectorFailure("found '\(next.literal)', expected: ',', ')' or identifier") }
            var values: Set<String> = []
            var wantsValue = true
            while true {
                token = take()
                switch token {
                case .word(let text) where wantsValue:
                    values.insert(text)
                    wantsValue = false
                    if next != .comma, next != .close { throw SelectorFailure("found '\(next.literal)', expected: ',' or ')'") }
                case .comma:
                    if wantsValue { values.insert("") }
                    wantsValue = true
                case .close:
                    if wantsValue { values.insert("") }
                    return values.sorted()
                default: throw SelectorFailure("found '\(token.literal)', expected: ',', or identifier")
                }
            }
        }

        private func checked(_ key: String, _ op: Operator, _ values: [String]) throws(SelectorFailure) -> Requirement {
            var errors: [FieldError] = []
            if op == .greaterThan || op == .lessThan, Int64(values[0]) == nil {
                errors.append(.invalid("values[0]", quoted: values[0], "for 'Gt', 'Lt' operators, the value must be an integer"))
            }
            for (index, value) in values.enumerated() {
                let problems = NameFormat.labelValue(value)
                if !problems.isEmpty { errors.append(.invalid("values[\(index)][\(key)]", quoted: value, problems.joined(separator: "; "))) }
            }
            guard !errors.isEmpty else { return Requirement(key, op, values) }
            let lines = errors.map(\.description)
            throw SelectorFailure(lines.count == 1 ? lines[0] : "[" + lines.joined(separator: ", ") + "]")
        }
    }
}

/// Why a selector's text cannot be read.
package struct SelectorFailure: Error, Equatable, CustomStringConvertible {
    package let description: String
    init(_ description: String) { self.description = description }
}
