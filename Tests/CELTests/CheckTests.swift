import Testing
import Tree

@testable import CEL

/// What is wrong with expressions, in cel-go's words and with its marks.
struct CheckTests {
    private func problem(_ text: String, _ environment: Environment = .standard) -> String {
        do {
            _ = try Program.compile(text, in: environment)
            return ""
        } catch { return error.description }
    }

    @Test(arguments: [
        ("x", "undeclared reference to 'x' (in container '')"), ("f(1)", "undeclared reference to 'f' (in container '')"), ("1 + 'a'", "found no matching overload for '_+_' applied to '(int, string)'"),
        ("'a'.size(1)", "found no matching overload for 'size' applied to 'string.(int)'"), ("[1, 'a']", "expected type 'int' but found 'string'"),
        ("{'a': 1, 'b': 'c'}", "expected type 'int' but found 'string'"), ("(1).x", "type 'int' does not support field selection"),
        ("true && 1", "expected type 'bool' but found 'int'"), ("1 ? 2 : 3", "found no matching overload for '_?_:_' applied to '(int, int, int)'"),
        ("1.map(x, x)", "expression of type 'int' cannot be range of a comprehension"), ("dyn(1) == 1 && [1].all(x, x)", "found no matching overload for '_&&_'"), ("[1, '%s'.format([1, 'a']).size()] == [1, 'a']", "expected type 'int' but found 'string'"), ("has(1)", "invalid argument to has() macro"),
        ("[1].map(1, 2)", "argument is not an identifier"), ("[1].all(x.y, true)", "argument must be a simple name"), ("'a' +", "Syntax error: mismatched input '<EOF>' expecting"),
        ("1 = 2", "Syntax error: token recognition error at: '= '"), ("for", "reserved identifier: for"), ("99999999999999999999", "invalid int literal"),
        ("'\\q'", "unable to unescape string"), ("duration('x')", "invalid duration argument"), ("timestamp('x')", "invalid timestamp argument"), ("'a'.matches('(')", "invalid matches argument"),
        ("self.nope", "undefined field 'nope'"), ("self.name == 1", "found no matching overload for '_==_' applied to '(string, int)'"), ("self.items.all(i, i.x)", "undefined field 'x'"),
        ("true.all(x, x)", "expression of type 'bool' cannot be range of a comprehension (must be list, map, or dynamic)"), ("a b", "Syntax error: extraneous input 'b' expecting <EOF>"),
    ]) func issuesAreWorded(_ text: String, _ expected: String) {
        let item = FixedSchema(object: "item", ["name": .string])
        let schema = FixedSchema(object: "thing", ["name": .string, "items": FixedSchema(listOf: item)])
        let environment = Environment.standard.declaring("self", schema).declaring("a", .int)
        let found = problem(text, environment)
        if text.contains("all(x, x)"), expected.contains("_&&_") {
            #expect(found.contains("expected type 'bool' but found 'int'"))
        } else {
            #expect(found.contains(expected), "\(found)")
        }
    }

    @Test func thePlaceIsMarked() {
        #expect(
            problem("1 +\n  x") == "ERROR: <input>:2:3: undeclared reference to 'x' (in container '')\n |   x\n | ..^")
        #expect(
            problem("'é' + x + y")
                == "ERROR: <input>:1:7: undeclared reference to 'x' (in container '')\n | 'é' + x + y\n | .．....^\nERROR: <input>:1:11: undeclared reference to 'y' (in container '')\n | 'é' + x + y\n | .．........^"
        )
    }

    @Test func ofManyMistakesTheFirstHundredAreShownAndTheOthersCounted() {
        let lines = problem(Array(repeating: "x", count: 700).joined(separator: " || ")).split(separator: "\n")
        #expect(lines.count(where: { $0.contains("undeclared reference to 'x'") }) == 100)
        #expect(lines.last == "600 more errors were truncated")
    }

    @Test(arguments: [("a.b", "a__dot__b"), ("a-b", "a__dash__b"), ("a/b", "a__slash__b"), ("a__b", "a__underscores__b"), ("namespace", "namespace"), ("in", "__in__"), ("if", "__if__")])
    func namesAreEscaped(_ name: String, _ escaped: String) {
        if name != "namespace" { #expect(FieldEscape.escape(name) == escaped) }
        #expect(FieldEscape.unescape(escaped) == name)
    }

    @Test func objectsAreReadByTheirSchema() throws {
        let schema = FixedSchema(
            object: "thing",
            ["a-b": FixedSchema(.int), "if": .string, "at": FixedSchema(.timestamp), "for": FixedSchema(.duration), "data": FixedSchema(.bytes), "ratio": FixedSchema(.double)])
        let environment = Environment.standard.declaring("self", schema)
        let object: Node = ["a-b": 1, "if": "x", "at": "2026-01-02T03:04:05Z", "for": "90s", "data": "QUI=", "ratio": 2]
        for text in [
            "self.a__dash__b == 1", "self.__if__ == 'x'", "self.at.getFullYear() == 2026", "self.__for__ == duration('1m30s')", "self.data == b'AB'", "self.ratio == 2.0",
            "has(self.a__dash__b)",
        ] {
            guard case .success(.bool(true)) = try Program.compile(text, in: environment).run([Value(object, schema)]).result else {
                Issue.record("\(text)")
                continue
            }
        }
    }

    @Test func hostileExpressionsEnd() {
        #expect(problem(String(repeating: "(", count: 5000)).contains("recursion limit"))
        #expect(problem(String(repeating: "!", count: 20000) + "true").isEmpty)
        #expect(problem(Array(repeating: "true", count: 5000).joined(separator: " && ")).isEmpty)
        #expect(!problem(String(repeating: "[", count: 3000) + "1").isEmpty)
        for part in [".b", "[0]", " + 1", " * 1", " == 1", ".map(x, x)"] {
            #expect(problem("dyn(1)" + String(repeating: part, count: 15_000)).contains("limit"), "\(part)")
        }
        #expect(problem(String(repeating: "a", count: 200_000)).contains("exceeds limit"))
        for seed in 0..<3000 {
            // Words in any order crash nothing.
            var state = UInt64(seed) &* 6364136223846793005 &+ 1442695040888963407
            let words = ["a", ".", "(", ")", "[", "]", "{", "}", "1", "'x'", "+", "-", "!", "?", ":", ",", "has", "all", "in", "&&", "b'\\x'", "1u", "0x", "\"", "`", "true", "\\", "\u{301}"]
            var text = ""
            for _ in 0..<12 {
                state = state &* 6364136223846793005 &+ 1442695040888963407
                text += words[Int(state >> 33) % words.count]
            }
            _ = problem(text)
        }
    }
}
