/// Reads RE2's syntax. One character of look-ahead, no back-tracking; nesting is bounded, since patterns come from clients.
struct PatternParser {
    typealias Failure = RegularExpression.Failure

    private struct Flags {
        var foldsCase = false
        var isMultiline = false
        var dotTakesNewline = false
        var isUngreedy = false
    }

    private let pattern: [Unicode.Scalar]
    private var at = 0
    /// From here on no ":]" comes: to look for it at each "[:" would take the square of the length.
    private var lastClassEnd = Int.max
    private var flags = Flags()
    private var depth = 0
    private var names: Set<String> = []
    private static let deepest = 250
    private static let mostRepeats = 1000

    init(_ pattern: String) { self.pattern = Array(pattern.unicodeScalars) }

    mutating func parse() throws(Failure) -> PatternNode {
        let node = try alternatives()
        if at < pattern.count { throw Failure(reason: "unexpected )", part: text(0, pattern.count)) }
        return node
    }

    private func text(_ from: Int, _ to: Int) -> String {
        var out = String.UnicodeScalarView()
        out.append(contentsOf: pattern[from..<min(to, pattern.count)])
        return String(out)
    }
    private var next: Unicode.Scalar? { at < pattern.count ? pattern[at] : nil }
    private func follows(_ prefix: String) -> Bool {
        var index = at
        for scalar in prefix.unicodeScalars {
            guard index < pattern.count, pattern[index] == scalar else { return false }
            index += 1
        }
        return true
    }

    // MARK: Structure

    private mutating func alternatives() throws(Failure) -> PatternNode {
        depth += 1
        defer { depth -= 1 }
        if depth > PatternParser.deepest { throw Failure(reason: "expression nests too deeply", part: text(0, pattern.count)) }
        let outer = flags
        var branches = [try sequence()]
        while next == "|" {
            at += 1
            branches.append(try sequence())
        }
        flags = outer
        return branches.count == 1 ? branches[0] : .alternatives(branches)
    }

    private mutating func sequence() throws(Failure) -> PatternNode {
        var items: [PatternNode] = []
        /// Where the last repetition operator began, when nothing came since.
        var lastRepeat: Int?
        while let character = next, character != "|", character != ")" {
            let start = at
            if let (low, high) = try repetition() {
                guard let item = items.popLast() else {
                    throw Failure(reason: "missing argument to repetition operator", part: text(start, at))
                }
                var isGreedy = !flags.isUngreedy
                if next == "?" {
                    at += 1
                    isGreedy.toggle()
                }
                if let lastRepeat { throw Failure(reason: "invalid nested repetition operator", part: text(lastRepeat, at)) }
                items.append(.loop(item, min: low, max: high, isGreedy: isGreedy))
                lastRepeat = start
                continue
            }
            lastRepeat = nil
            if let item = try atom() { items.append(item) }
        }
        return items.count == 1 ? items[0] : (items.isEmpty ? .empty : .sequence(items))
    }

    private mutating func repetition() throws(Failure) -> (Int, Int?)? {
        switch next {
        case "*":
            at += 1
            return (0, nil)
        case "+":
            at += 1
            return (1, nil)
        case "?":
            at += 1
            return (0, 1)
        case "{":
            let start = at
            guard let bounds = counted() else {
                at = start
                return nil
            }
            if bounds.0 > PatternParser.mostRepeats || (bounds.1 ?? 0) > PatternParser.mostRepeats || bounds.1.map({ $0 < bounds.0 }) == true {
                throw Failure(reason: "invalid repeat count", part: text(start, at))
            }
            return bounds
        default: return nil
        }
    }

    /// `{2}`, `{2,}`, `{2,5}`; anything else is literal text.
    private mutating func counted() -> (Int, Int?)? {
        at += 1
        guard let low = number() else { return nil }
        var high: Int? = low
        if next == "," {
            at += 1
            high = next == "}" ? nil : number()
            if high == nil, next != "}" { return nil }
        }
        guard next == "}" else { return nil }
        at += 1
        return (low, high)
    }

    private mutating func number() -> Int? {
        let start = at
        var value = 0
        while let digit = next, ("0"..."9").contains(digit) {
            value = min(value * 10 + Int(digit.value - 48), 100_000)
            at += 1
        }
        return at == start || (at - start > 1 && pattern[start] == "0") ? nil : value
    }

    // MARK: Atoms

    private mutating func atom() throws(Failure) -> PatternNode? {
        guard let character = next else { return nil }
        switch character {
        case "(": return try group()
        case "[": return .set(try characterClass())
        case ".":
            at += 1
            return .set(flags.dotTakesNewline ? .anything : .notNewline)
        case "^":
            at += 1
            return .assertion(flags.isMultiline ? .lineStart : .textStart)
        case "$":
            at += 1
            return .assertion(flags.isMultiline ? .lineEnd : .textEnd)
        case "\\": return try escape()
        default:
            at += 1
            return .set(literal(character.value))
        }
    }

    private func literal(_ value: UInt32) -> PatternSet {
        var set = PatternSet([value...value])
        if flags.foldsCase, let scalar = Unicode.Scalar(value), scalar.properties.isCased { set.foldsCase = true }
        return set
    }

    private mutating func group() throws(Failure) -> PatternNode? {
        let start = at
        let outer = flags
        at += 1
        if next == "?" {
            if follows("?P<") || follows("?<") {
                try groupName(start)
            } else if try groupFlags(start) {
                return nil
            }
        }
        let inside = try alternatives()
        guard next == ")" else { throw Failure(reason: "missing closing )", part: text(0, pattern.count)) }
        at += 1
        flags = outer
        return inside
    }

    private mutating func groupName(_ start: Int) throws(Failure) {
        at += follows("?P<") ? 3 : 2
        let begin = at
        while let character = next, PatternSet.isWord(character) { at += 1 }
        let name = text(begin, at)
        guard next == ">", !name.isEmpty else {
            while let character = next, character != ">" { at += 1 }
            throw Failure(reason: "invalid named capture", part: text(start, next == ">" ? at + 1 : pattern.count))
        }
        at += 1
        if !names.insert(name).inserted { throw Failure(reason: "duplicate capture group name", part: name) }
    }

    /// `(?i)` changes the flags for the rest of the group and is true; `(?i:` opens a group.
    private mutating func groupFlags(_ start: Int) throws(Failure) -> Bool {
        at += 1
        var isOff = false
        var seen = false
        while let character = next {
            at += 1
            switch character {
            case "i": flags.foldsCase = !isOff
            case "m": flags.isMultiline = !isOff
            case "s": flags.dotTakesNewline = !isOff
            case "U": flags.isUngreedy = !isOff
            case "-" where !isOff:
                isOff = true
                seen = false
                continue
            case ":" where seen || !isOff: return false
            case ")" where seen || !isOff: return true
            default: throw Failure(reason: "invalid or unsupported Perl syntax", part: text(start, at))
            }
            seen = true
        }
        throw Failure(reason: "missing closing )", part: text(0, pattern.count))
    }

    // MARK: Escapes

    private mutating func escape() throws(Failure) -> PatternNode? {
        let start = at
        guard at + 1 < pattern.count else { throw Failure(reason: "trailing backslash at end of expression", part: "") }
        switch pattern[at + 1] {
        case "A":
            at += 2
            return .assertion(.textStart)
        case "z":
            at += 2
            return .assertion(.textEnd)
        case "b":
            at += 2
            return .assertion(.wordBoundary)
        case "B":
            at += 2
            return .assertion(.notWordBoundary)
        case "Q":
            at += 2
            var items: [PatternNode] = []
            while at < pattern.count, !follows("\\E") {
                items.append(.set(literal(pattern[at].value)))
                at += 1
            }
            if at < pattern.count { at += 2 }
            return .sequence(items)
        case "E":
            at += 2
            return nil
        default: break
        }
        if let set = try classEscape() { return .set(set) }
        return .set(literal(try characterEscape(start)))
    }

    /// `\d`, `\pL`, `\p{Greek}` and their opposites.
    private mutating func classEscape() throws(Failure) -> PatternSet? {
        let start = at
        let letter = pattern[at + 1]
        switch letter {
        case "d", "D": return took(2, .digits, negated: letter == "D")
        case "w", "W": return took(2, .words, negated: letter == "W")
        case "s", "S": return took(2, .spaces, negated: letter == "S")
        case "p", "P":
            at += 2
            var name = ""
            if next == "{" {
                at += 1
                let begin = at
                while let character = next, character != "}" { at += 1 }
                guard next == "}" else { throw Failure(reason: "invalid character class range", part: text(start, pattern.count)) }
                name = text(begin, at)
                at += 1
            } else if let character = next {
                at += 1
                name = String(character)
            }
            var isNegated = letter == "P"
            if name.hasPrefix("^") {
                isNegated.toggle()
                name.removeFirst()
            }
            guard let category = PatternCategory(name) else { throw Failure(reason: "invalid character class range", part: text(start, at)) }
            var set = PatternSet()
            set.categories = [(category, isNegated)]
            set.foldsCase = flags.foldsCase
            return set
        default: return nil
        }
    }

    private mutating func took(_ count: Int, _ set: PatternSet, negated: Bool) -> PatternSet {
        at += count
        var set = negated ? set.negated : set
        set.foldsCase = flags.foldsCase && set.ranges.count > 1
        return set
    }

    private mutating func characterEscape(_ start: Int) throws(Failure) -> UInt32 {
        at += 1
        guard let character = next else { throw Failure(reason: "trailing backslash at end of expression", part: "") }
        at += 1
        switch character {
        case "a": return 7
        case "f": return 12
        case "n": return 10
        case "r": return 13
        case "t": return 9
        case "v": return 11
        case "0"..."7":
            // A digit but 0 alone would be a back reference.
            if character != "0", !(next.map { ("0"..."7").contains($0) } ?? false) { break }
            var value = character.value - 48
            var count = 1
            while count < 3, let digit = next, ("0"..."7").contains(digit) {
                value = value * 8 + digit.value - 48
                at += 1
                count += 1
            }
            return value
        case "x":
            if let value = hex() { return value }
        default:
            if character.value < 128, !PatternSet.isWord(character) || character == "_" { return character.value }
        }
        throw Failure(reason: "invalid escape sequence", part: text(start, at))
    }

    private mutating func hex() -> UInt32? {
        func digit(_ scalar: Unicode.Scalar?) -> UInt32? { scalar.flatMap { Character($0).hexDigitValue.map(UInt32.init) } }
        if next == "{" {
            at += 1
            var value: UInt32 = 0
            var count = 0
            while let part = digit(next) {
                value = value * 16 + part
                count += 1
                at += 1
                if value > 0x10FFFF { return nil }
            }
            guard next == "}", count > 0 else { return nil }
            at += 1
            return value
        }
        guard let high = digit(next) else { return nil }
        at += 1
        guard let low = digit(next) else { return nil }
        at += 1
        return high * 16 + low
    }

    // MARK: Classes

    private mutating func characterClass() throws(Failure) -> PatternSet {
        let start = at
        at += 1
        var set = PatternSet()
        set.foldsCase = flags.foldsCase
        if next == "^" {
            at += 1
            set.isNegated = true
        }
        var isFirst = true
        while let character = next, character != "]" || isFirst {
            if character == "-", !isFirst, at + 1 < pattern.count, pattern[at + 1] != "]" {
                // A range without a start.
                let end = at + (pattern[at + 1] == "\\" ? 3 : 2)
                throw Failure(reason: "invalid character class range", part: text(at, end))
            }
            isFirst = false
            if follows("[:"), let name = try posixClass() {
                set.parts.append(name)
                continue
            }
            if character == "\\", at + 1 < pattern.count, let part = try classEscape() {
                set.parts.append(part)
                continue
            }
            let begin = at
            let low = try classCharacter(start)
            var high = low
            if next == "-", at + 1 < pattern.count, pattern[at + 1] != "]" {
                at += 1
                high = try classCharacter(start)
                if high < low { throw Failure(reason: "invalid character class range", part: text(begin, at)) }
            }
            set.ranges.append(low...high)
        }
        guard next == "]" else { throw Failure(reason: "missing closing ]", part: text(start, pattern.count)) }
        at += 1
        return set
    }

    private mutating func classCharacter(_ start: Int) throws(Failure) -> UInt32 {
        guard let character = next else { throw Failure(reason: "missing closing ]", part: text(start, pattern.count)) }
        if character == "\\" { return try characterEscape(at) }
        at += 1
        return character.value
    }

    private mutating func posixClass() throws(Failure) -> PatternSet? {
        guard at + 2 < lastClassEnd else { return nil }
        var end = at + 2
        while end + 1 < pattern.count, !(pattern[end] == ":" && pattern[end + 1] == "]") { end += 1 }
        guard end + 1 < pattern.count else {
            lastClassEnd = at + 2
            return nil
        }
        var name = text(at + 2, end)
        let isNegated = name.hasPrefix("^")
        if isNegated { name.removeFirst() }
        let whole = text(at, end + 2)
        let ranges: [ClosedRange<UInt32>]
        switch name {
        case "alnum": ranges = [48...57, 65...90, 97...122]
        case "alpha": ranges = [65...90, 97...122]
        case "ascii": ranges = [0...127]
        case "blank": ranges = [9...9, 32...32]
        case "cntrl": ranges = [0...31, 127...127]
        case "digit": ranges = [48...57]
        case "graph": ranges = [33...126]
        case "lower": ranges = [97...122]
        case "print": ranges = [32...126]
        case "punct": ranges = [33...47, 58...64, 91...96, 123...126]
        case "space": ranges = [9...13, 32...32]
        case "upper": ranges = [65...90]
        case "word": ranges = [48...57, 65...90, 95...95, 97...122]
        case "xdigit": ranges = [48...57, 65...70, 97...102]
        default: throw Failure(reason: "invalid character class range", part: whole)
        }
        at = end + 2
        var set = PatternSet(ranges)
        set.isNegated = isNegated
        set.foldsCase = flags.foldsCase
        return set
    }
}
