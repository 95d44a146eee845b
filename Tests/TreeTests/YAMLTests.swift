import Testing
import Tree

struct YAMLTests {
    private func message(_ text: String) -> String {
        do throws(SyntaxError) {
            _ = try Node(yaml: text)
            return "read without an error"
        } catch {
            return error.message
        }
    }

    @Test(arguments: [
        ("yes", Node.bool(true)), ("No", .bool(false)), ("on", .bool(true)), ("OFF", .bool(false)), ("y", .bool(true)), ("~", .null), ("null", .null),
        ("", .null), ("010", .int(8)), ("0o17", .int(15)), ("0x1F", .int(31)), ("0b101", .int(5)), ("-0b11", .int(-3)), ("1_000", .int(1000)),
        ("+12", .int(12)), ("089", .double(89)), ("1.5", .double(1.5)), ("0.5", .double(0.5)), ("-0.25", .double(-0.25)), ("0e1", .double(0)), ("00", .int(0)), (".5", .double(0.5)), ("1e3", .double(1000)), ("1e", .string("1e")),
        ("2026-01-02", .string("2026-01-02")), ("2026-01-02T03:04:05Z", .string("2026-01-02T03:04:05Z")), ("12:30:45", .string("12:30:45")),
        ("1.2.3", .string("1.2.3")), ("100m", .string("100m")), ("\"yes\"", .string("yes")), ("'1'", .string("1")), ("!!str 1", .string("1")),
        ("!!float 1", .double(1)), ("!!binary aGk=", .string("hi")), ("-", .list([.null])), ("0x", .string("0x")), ("nope", .string("nope")),
    ]) func scalarsMeanWhatKubernetesClientsTakeThemFor(_ text: String, _ expected: Node) throws {
        let node = try Node(yaml: text)
        #expect(node == expected)
        if case .string = expected { #expect(node.string != nil) }
        if case .bool = expected { #expect(node.bool != nil) }
    }

    @Test func keysBecomeText() throws {
        let node = try Node(yaml: "1: a\ntrue: b\n1.5: c\n0x10: d\n")
        #expect(node.fields.map(\.key) == ["1", "true", "1.5", "16"])
    }

    @Test func aliasesExpandAndMergeKeysYieldToExplicitOnes() throws {
        let node = try Node(yaml: "base: &b {a: 1, b: 2}\nuse:\n  <<: *b\n  b: 3\nlist: [*b, *b]\nboth:\n  <<: [{x: 1}, {x: 2, z: 3}]\n")
        #expect(node["use"] == ["a": 1, "b": 3])
        #expect(node["list"] == [["a": 1, "b": 2], ["a": 1, "b": 2]])
        #expect(node["both"] == ["x": 1, "z": 3])
    }

    @Test func aliasesThatExplodeAreRefused() {
        var text = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n"
        for level in 1...9 { text += "a\(level): &a\(level) [" + Array(repeating: "*a\(level - 1)", count: 10).joined(separator: ",") + "]\n" }
        #expect(message(text) == "yaml: document contains excessive aliasing")
        #expect(message("a: &x [*x]") == "yaml: anchor 'x' value contains itself")
        #expect(message("a: *nope") == "yaml: unknown anchor 'nope' referenced")
    }

    @Test(arguments: [
        ("a: b: c", "yaml: mapping values are not allowed in this context"),
        ("a: 1\nb: c: d\n", "yaml: line 2: mapping values are not allowed in this context"),
        ("a:\n\t- b", "yaml: line 2: found character that cannot start any token"),
        ("a: [1, 2", "yaml: line 1: did not find expected ',' or ']'"),
        ("a: .inf", "json: unsupported value: +Inf"),
        ("? [a]\n: b", "yaml: invalid map key"),
    ]) func errorsCarryUpstreamsWords(_ text: String, _ expected: String) {
        #expect(message(text) == expected)
    }

    @Test func nestingIsBounded() {
        #expect(message(String(repeating: "[", count: 5000)).contains("max depth"))
    }

    @Test func duplicateKeysAreToldWithTheirLine() throws {
        let (node, duplicates) = try YAMLReader.readStrict(Array("a: 1\nb:\n  c: 1\n  c: 2\na: 3\n".utf8))
        #expect(node == ["a": 3, "b": ["c": 2]])
        #expect(duplicates.map(\.description) == ["line 4: key \"c\" already set in map", "line 5: key \"a\" already set in map"])
    }

    @Test func aStreamGivesItsDocuments() throws {
        #expect(try YAMLReader.readAll(Array("---\na: 1\n---\n---\nb: 2\n...\n".utf8)) == [["a": 1], ["b": 2]])
        #expect(try YAMLReader.read([]) == .null)
        #expect(try YAMLReader.read(Array("# nothing\n".utf8)) == .null)
    }

    @Test func jsonIsYAML() throws {
        let text = #"{"a": {"b": [1, 2.5, "x\u00e9\n", null, true]}, "c": {}}"#
        #expect(try Node(yaml: text) == Node(json: text))
    }

    @Test func writingLooksLikeKubectl() throws {
        let node: Node = [
            "apiVersion": "v1", "data": ["a": "yes", "b": "1", "c": "line 1\nline 2\n", "d": "", "e": "12:30", "f": "x: y", "g": "no newline\nat the end"],
            "empty": [], "items": [["name": "a", "n": 1], "b"], "none": .null, "nothing": [:], "t": "2026-01-02T03:04:05Z",
        ]
        let expected = """
            apiVersion: v1
            data:
              a: "yes"
              b: "1"
              c: |
                line 1
                line 2
              d: ""
              e: "12:30"
              f: 'x: y'
              g: |-
                no newline
                at the end
            empty: []
            items:
            - name: a
              "n": 1
            - b
            none: null
            nothing: {}
            t: "2026-01-02T03:04:05Z"

            """
        #expect(String(decoding: YAMLWriter.write(node), as: UTF8.self) == expected)
    }

    @Test func whatIsWrittenReadsBackTheSame() throws {
        let texts = [
            "", " ", "a b", "yes", "1", "0x1", "1e3", "-", "- a", "a: b", "#c", "a #c", "\n", "a\n", " a\nb", "a\n\n", "tab\there", "é😀", "\u{7}", "<<", "~",
            "null", "2026-01-02", "12:30:45", "'q'", "\"q\"", "{a}", "[a]", "&a", "*a", "!a", "|", ">", "%", "@", "`", "a\u{85}b", "trailing ", "1_000", ".5",
            ".inf", "+1", "0o7", "=", "a\r\nb", String(repeating: "long words in a row ", count: 20) + "end",
        ]
        let node: Node = .map(Fields(texts.enumerated().map { ("k\($0.offset)", ["v": .string($0.element), $0.element: .int(1)]) }))
        let text = String(decoding: YAMLWriter.write(node), as: UTF8.self)
        #expect(try Node(yaml: text) == node)
    }
}
