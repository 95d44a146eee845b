import Testing
import Tree

struct JSONTests {
    private func read(_ text: String) throws(SyntaxError) -> Node { try JSONReader.read(Array(text.utf8)) }

    private func message(_ text: String) -> String {
        do throws(SyntaxError) {
            _ = try read(text)
            return "read without an error"
        } catch {
            return error.message
        }
    }

    @Test(arguments: [
        "null", "true", "false", "0", "-1", "9223372036854775807", "-9223372036854775808", "0.5", "1e+21", "1.5e-7", "\"\"", "[]", "{}", "[[],{}]",
        #"{"a":{"b":[1,2,{"c":null}]},"d":"é\n\"\\ \u0001"}"#,
    ]) func whatIsReadIsWrittenTheSame(_ text: String) throws {
        #expect(try read(text).jsonText == text)
    }

    @Test func numbersKeepIntegersApartFromFloatingPoint() throws {
        #expect(try read("12").int == 12)
        #expect(try read("1.0").int == nil)
        #expect(try read("1.0").double == 1)
        #expect(try read("1e3").double == 1000)
        #expect(try read("9223372036854775808").double == 9_223_372_036_854_775_808)
        #expect(try read("-0").int == 0)
    }

    @Test func escapesAndSurrogatesBecomeText() throws {
        #expect(try read(#""\u00e9\ud83d\ude00\/\b\f\n\r\t""#).string == "é😀/\u{8}\u{c}\n\r\t")
        #expect(try read(#""\ud83d""#).string == "\u{FFFD}")
        #expect(try read(#""\ud83dx""#).string == "\u{FFFD}x")
        #expect(try read(#""\ud83d\u0041""#).string == "\u{FFFD}A")
        #expect(try JSONReader.read([0x22, 0x61, 0xFF, 0x22]).string == "a\u{FFFD}")
    }

    @Test(arguments: [
        ("", "unexpected end of JSON input"),
        ("{", "unexpected end of JSON input"),
        ("[1,", "unexpected end of JSON input"),
        ("\"abc", "unexpected end of JSON input"),
        ("tru", "unexpected end of JSON input"),
        ("}", "invalid character '}' looking for beginning of value"),
        ("{a", "invalid character 'a' looking for beginning of object key string"),
        ("{\"a\" 1}", "invalid character '1' after object key"),
        ("{\"a\":1 \"b\"", "invalid character '\"' after object key:value pair"),
        ("{\"a\":1,}", "invalid character '}' looking for beginning of object key string"),
        ("[1 2]", "invalid character '2' after array element"),
        ("[1,]", "invalid character ']' looking for beginning of value"),
        ("1 2", "invalid character '2' after top-level value"),
        ("01", "invalid character '1' after top-level value"),
        ("-x", "invalid character 'x' in numeric literal"),
        ("1.x", "invalid character 'x' after decimal point in numeric literal"),
        ("1ex", "invalid character 'x' in exponent of numeric literal"),
        ("trux", "invalid character 'x' in literal true (expecting 'e')"),
        ("\"a\nb\"", "invalid character '\\n' in string literal"),
        ("\"\\x\"", "invalid character 'x' in string escape code"),
        ("\"\\u00g0\"", "invalid character 'g' in \\u hexadecimal character escape"),
        ("'", "invalid character '\\'' looking for beginning of value"),
        ("1e999", "json: cannot unmarshal number 1e999 into Go value of type float64"),
    ]) func errorsCarryGosWords(_ text: String, _ expected: String) {
        #expect(message(text) == expected)
    }

    @Test func nestingIsBounded() {
        let deep = String(repeating: "[", count: 100_000)
        #expect(message(deep) == "invalid character '[' exceeded max depth")
        let fine = String(repeating: "[", count: 500) + String(repeating: "]", count: 500)
        #expect(message(fine) == "read without an error")
    }

    @Test func ofEqualKeysTheLastWinsAndStrictReadingTellsTheirPaths() throws {
        let text = #"{"a":1,"spec":{"x":[{"n":1,"n":2}],"\u0078":3},"a":4}"#
        let (node, duplicates) = try JSONReader.readStrict(Array(text.utf8))
        #expect(node["a"].int == 4)
        #expect(node["spec"]["x"].int == 3)
        #expect(duplicates.map(\.description) == ["spec.x[0].n", "spec.x", "a"])
    }

    @Test func wideMapsFindTheirDuplicatesToo() throws {
        let pairs = (0..<500).map { "\"key-number-\($0)\":\($0)" } + ["\"key-number-3\":-3", "\"key-number-400\":-4"]
        let node = try read("{" + pairs.joined(separator: ",") + "}")
        #expect(node.fields.count == 500)
        #expect(node["key-number-3"].int == -3)
        #expect(node["key-number-400"].int == -4)
    }

    @Test func everyTruncationIsRefused() {
        let text = #"{"kind":"Pod","spec":{"containers":[{"name":"é\n","ports":[{"containerPort":80.5e1}],"tty":true,"x":null}]}}"#
        let bytes = Array(text.utf8)
        for length in 0..<bytes.count {
            #expect(throws: SyntaxError.self) { try JSONReader.read(Array(bytes[..<length])) }
        }
    }

    @Test func prettyFormIndentsByTwo() throws {
        let node = try read(#"{"a":[1,{}],"b":{},"c":[]}"#)
        #expect(String(decoding: JSONWriter.writePretty(node), as: UTF8.self) == "{\n  \"a\": [\n    1,\n    {}\n  ],\n  \"b\": {},\n  \"c\": []\n}")
    }

    @Test(arguments: [
        (0.1, "0.1"), (100.0, "100"), (1e20, "100000000000000000000"), (1e21, "1e+21"), (1.5e300, "1.5e+300"), (1e-6, "0.000001"), (1e-7, "1e-7"),
        (-2.5, "-2.5"), (123456.789, "123456.789"),
    ]) func floatingPointIsWrittenAsGoWritesIt(_ value: Double, _ expected: String) {
        #expect(JSONWriter.number(value) == expected)
    }
}
