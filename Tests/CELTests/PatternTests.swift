import Core
import Testing

/// Regular expressions of RE2's language.
struct PatternTests {
    @Test(arguments: [
        ("a", "bab", "a"), ("^a", "ba", nil), ("a$", "ba", "a"), ("a|ab", "ab", "a"), ("ab|a", "ab", "ab"), ("a*", "aaa", "aaa"), ("a*?", "aaa", ""),
        ("a+?b", "aab", "aab"), ("(a+)(b+)", "xaabbx", "aabb"), ("[a-c]+", "xxabcd", "abc"), ("[^a-c]+", "abcde", "de"), ("\\d{2,3}", "12345", "123"),
        ("\\d{2,3}?", "12345", "12"), ("\\d{2,}", "1 23456", "23456"), ("x{0}y", "xy", "y"), ("(?i)AbC", "xabcx", "abc"), ("(?s).+", "a\nb", "a\nb"),
        (".+", "a\nb", "a"), ("(?m)^b$", "a\nb\nc", "b"), ("\\bfoo\\b", "a foo b", "foo"), ("\\bfoo\\b", "afoo", nil), ("[[:alpha:]]+", "12ab3", "ab"),
        ("[\\d\\-x]+", "ab1-x", "1-x"), ("\\p{Lu}+", "abÄÖcd", "ÄÖ"), ("\\pL+", "12åb", "åb"), ("\\P{L}+", "ab12", "12"), ("\\p{Greek}+", "abγδ", "γδ"),
        ("\\x41\\x{42}", "AB", "AB"), ("\\Qa.b\\E", "a.b", "a.b"), ("\\Qa.b\\E", "axb", nil), ("a{,2}", "a{,2}", "a{,2}"), ("(?P<year>\\d{4})", "in 2026", "2026"),
        ("(?:ab)+", "ababa", "abab"), ("(a|b)*c", "ababc", "ababc"), ("", "abc", ""), ("é", "café", "é"), ("[]a]+", "]a", "]a"), ("(?i)[k]", "\u{212A}", "\u{212A}"),
        ("^(a?){30}a{30}$", String(repeating: "a", count: 30), String(repeating: "a", count: 30)), ("a(?i)b|c", "C", "C"), ("(a(?i)b)c", "aBC", nil),
        ("[a-z0-9]([-a-z0-9]*[a-z0-9])?", "my-name", "my-name"), ("\\s+", "a \t\n b", " \t\n "), ("\\A\\z", "", ""), ("[\\x00-\\x7F]+", "ab\u{e9}", "ab"),
    ] as [(String, String, String?)])
    func theFirstMatchIsGos(_ pattern: String, _ text: String, _ expected: String?) throws {
        let regular = try RegularExpression(pattern)
        #expect(regular.first(in: text) == expected)
        #expect(regular.matches(text) == (expected != nil))
    }

    @Test(arguments: [
        ("a(b", "error parsing regexp: missing closing ): `a(b`"), ("a)b", "error parsing regexp: unexpected ): `a)b`"),
        ("*a", "error parsing regexp: missing argument to repetition operator: `*`"), ("a**", "error parsing regexp: invalid nested repetition operator: `**`"),
        ("[a", "error parsing regexp: missing closing ]: `[a`"), ("[z-a]", "error parsing regexp: invalid character class range: `z-a`"),
        ("a\\", "error parsing regexp: trailing backslash at end of expression: ``"), ("(?=a)", "error parsing regexp: invalid or unsupported Perl syntax: `(?=`"),
        ("\\8", "error parsing regexp: invalid escape sequence: `\\8`"), ("a{1001}", "error parsing regexp: invalid repeat count: `{1001}`"),
        ("\\p{Nothing}", "error parsing regexp: invalid character class range: `\\p{Nothing}`"),
    ]) func whatCannotBeReadIsToldAsGoTellsIt(_ pattern: String, _ expected: String) {
        do {
            _ = try RegularExpression(pattern)
            Issue.record("no failure")
        } catch { #expect(error.description == expected) }
    }

    @Test(arguments: [
        ("a", "banana", ["a", "a", "a"]), ("a*", "baac", ["", "aa", ""]), ("", "ab", ["", "", ""]), ("[0-9]+", "1 22 333", ["1", "22", "333"]), ("x", "abc", []),
    ]) func allMatchesAreGos(_ pattern: String, _ text: String, _ expected: [String]) throws {
        #expect(try RegularExpression(pattern).all(in: text) == expected)
        #expect(try RegularExpression(pattern).all(in: text, limit: 1) == Array(expected.prefix(1)))
    }

    @Test func patternsThatExplodeElsewhereEnd() throws {
        let regular = try RegularExpression("(a+)+$")
        #expect(!regular.matches(String(repeating: "a", count: 2000) + "b"))
        #expect(throws: RegularExpression.Failure.self) { try RegularExpression("((a{1000}){1000}){1000}") }
        #expect(throws: RegularExpression.Failure.self) { try RegularExpression(String(repeating: "(", count: 5000)) }
    }
}
