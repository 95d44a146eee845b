/// A regular expression of RE2's language, as Go compiles it: no back references, no look-around, and time linear in the text
/// whatever the pattern, so that patterns may come from clients.
///
/// Matches are leftmost-first, as Perl's and Go's: among those that start first, the alternative written first wins.
package struct RegularExpression: Sendable {
    package let pattern: String
    private let program: PatternProgram

    /// What is wrong with a pattern, worded as Go words it.
    package struct Failure: Error, Equatable, CustomStringConvertible {
        package let reason: String
        package let part: String
        package var description: String { "error parsing regexp: \(reason): `\(part)`" }
    }

    package init(_ pattern: String) throws(Failure) {
        self.pattern = pattern
        var parser = PatternParser(pattern)
        program = try PatternProgram(try parser.parse(), pattern)
    }

    /// Whether the pattern is found anywhere in the text.
    package func matches(_ text: String) -> Bool { program.search(Array(text.unicodeScalars), from: 0, wantsBounds: false) != nil }

    /// The first match's text; nil for none.
    package func first(in text: String) -> String? {
        let scalars = Array(text.unicodeScalars)
        return program.search(scalars, from: 0, wantsBounds: true).map { RegularExpression.text(scalars[$0]) }
    }

    /// The matches that do not overlap, in order; an empty match right after a match does not count. At most `limit`, when given.
    package func all(in text: String, limit: Int? = nil) -> [String] {
        let scalars = Array(text.unicodeScalars)
        var out: [String] = []
        var position = 0
        var last = -1
        while position <= scalars.count, limit.map({ out.count < $0 }) ?? true {
            guard let found = program.search(scalars, from: position, wantsBounds: true) else { break }
            if !(found.isEmpty && found.lowerBound == last) { out.append(RegularExpression.text(scalars[found])) }
            last = found.upperBound
            position = found.isEmpty ? found.upperBound + 1 : found.upperBound
        }
        return out
    }

    private static func text(_ scalars: ArraySlice<Unicode.Scalar>) -> String {
        var out = String.UnicodeScalarView()
        out.append(contentsOf: scalars)
        return String(out)
    }
}

/// What a pattern is made of, after parsing.
indirect enum PatternNode: Sendable {
    case empty
    case set(PatternSet)
    case assertion(PatternAssertion)
    case sequence([PatternNode])
    case alternatives([PatternNode])
    case loop(PatternNode, min: Int, max: Int?, isGreedy: Bool)
}

/// What holds at a position without taking a character.
enum PatternAssertion: Sendable {
    case textStart, textEnd, lineStart, lineEnd, wordBoundary, notWordBoundary

    func holds(_ text: [Unicode.Scalar], _ at: Int) -> Bool {
        switch self {
        case .textStart: return at == 0
        case .textEnd: return at == text.count
        case .lineStart: return at == 0 || text[at - 1] == "\n"
        case .lineEnd: return at == text.count || text[at] == "\n"
        case .wordBoundary, .notWordBoundary:
            let before = at > 0 && PatternSet.isWord(text[at - 1])
            let after = at < text.count && PatternSet.isWord(text[at])
            return (before != after) == (self == .wordBoundary)
        }
    }
}
