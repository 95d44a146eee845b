import Core
import Testing
import Tree

@testable import CEL

/// Runs expressions as tables: what they give, printed as `Rendering` prints values, or how they fail.
struct EvaluationTests {
    static func run(_ text: String, _ environment: Environment = .standard, _ values: [Value] = []) throws -> String {
        switch try Program.compile(text, in: environment).run(values).result {
        case .success(let value): Rendering.text(value)
        case .failure(let error): "error: \(error.message)"
        }
    }

    @Test(arguments: [
        ("1 + 2 * 3", "7"), ("(1 + 2) * 3", "9"), ("7 / 2", "3"), ("-7 / 2", "-3"), ("-7 % 3", "-1"), ("7u % 4u", "3"), ("1.5 * 2.0", "3"), ("2 - -3", "5"),
        ("--5", "5"), ("-(-5)", "5"), ("0x1F", "31"), ("0xFFu", "255"), ("1e3", "1000"), (".5", "0.5"), ("1.0 / 0.0", "+Inf"), ("-9223372036854775808", "-9223372036854775808"),
        ("9223372036854775807 + 1", "error: integer overflow"), ("-9223372036854775808 - 1", "error: integer overflow"),
        ("9223372036854775807 * 2", "error: integer overflow"), ("-(-9223372036854775808)", "error: integer overflow"), ("1 / 0", "error: division by zero"),
        ("1 % 0", "error: modulus by zero"), ("0u - 1u", "error: unsigned integer overflow"), ("18446744073709551615u + 1u", "error: unsigned integer overflow"),
        ("-9223372036854775808 / -1", "error: integer overflow"),
    ]) func arithmetic(_ text: String, _ expected: String) throws { #expect(try EvaluationTests.run(text) == expected) }

    @Test(arguments: [
        ("1 == 1.0", nil), ("1u == 1", nil), ("dyn(1) == 1.0", "true"), ("dyn(1) == 'a'", "false"), ("1 < 1.5", "true"), ("2u > 1", "true"), ("-1 < 0u", "true"),
        ("dyn(1.5) in [1, 2]", "false"), ("dyn(2.0) in [1, 2]", "true"), ("'a' < 'b'", "true"), ("b'a' < b'b'", "true"), ("false < true", "true"),
        ("[1, 2] == [1, 2]", "true"), ("[1, 2] == [2, 1]", "false"), ("{'a': 1} == {'a': 1}", "true"), ("{1: 'a'} == {1: 'b'}", "false"),
        ("dyn([1]) == dyn([1.0])", "true"), ("0.0 / 0.0 == 0.0 / 0.0", "false"), ("null == null", "true"), ("type(1) == int", "true"), ("type(type(1)) == type", "true"),
        ("type('') == string && type(b'') == bytes && type(1u) == uint && type(1.0) == double", "true"), ("type(null) == null_type", "true"),
        ("type([]) == list && type({}) == map", "true"), ("type(timestamp('2026-01-01T00:00:00Z')) == google.protobuf.Timestamp", "true"), ("'é' == 'e\u{301}'", "false"),
        ("18446744073709551615u == 18446744073709551615u", "true"), ("dyn(9223372036854775807) == dyn(9223372036854775808.0)", "false"),
    ] as [(String, String?)]) func comparison(_ text: String, _ expected: String?) throws {
        if let expected { #expect(try EvaluationTests.run(text) == expected) } else { #expect(throws: CompilationError.self) { try EvaluationTests.run(text) } }
    }

    @Test(arguments: [
        ("true || 1 / 0 == 1", "true"), ("1 / 0 == 1 || true", "true"), ("false && 1 / 0 == 1", "false"), ("1 / 0 == 1 && false", "false"),
        ("1 / 0 == 1 || false", "error: division by zero"), ("1 / 0 == 1 && true", "error: division by zero"), ("true ? 1 : 1 / 0", "1"), ("false ? 1 / 0 : 2", "2"),
        ("!true", "false"), ("!!true", "true"), ("true && true && true && false", "false"), ("dyn('a') && false", "false"),
    ]) func logic(_ text: String, _ expected: String) throws { #expect(try EvaluationTests.run(text) == expected) }

    @Test(arguments: [
        ("'a' + \"b\"", "ab"), ("r'\\n'", "\\n"), ("'\\n' == '''\n'''", "true"), ("'\\x41\\u00e9\\U0001F600\\101'", "Aé😀A"), ("'''a'b'''", "a'b"), ("\"\"\"x\"\"\"", "x"),
        ("b'\\xff' == b'\\377'", "true"), ("size(b'é')", "2"), ("size('é😀')", "2"), ("'tacocat'.size()", "7"), ("rb'\\x' == b'\\\\x'", "true"),
        ("'hello'.contains('ell')", "true"), ("'hello'.startsWith('he') && 'hello'.endsWith('lo')", "true"), ("'hello'.matches('^h.*o$')", "true"),
        ("matches('abc', 'b')", "true"), ("'abc'.matches('[')", nil), ("'abc'.matches('a' + '[')", "error: error parsing regexp: missing closing ]: `[`"),
    ] as [(String, String?)]) func text(_ text: String, _ expected: String?) throws {
        if let expected { #expect(try EvaluationTests.run(text) == expected) } else { #expect(throws: CompilationError.self) { try EvaluationTests.run(text) } }
    }

    @Test(arguments: [
        ("int('42')", "42"), ("int(4.9)", "4"), ("int(-4.9)", "-4"), ("int('x')", "error: type conversion error from 'string' to 'int'"), ("int(1e99)", "error: integer overflow"),
        ("int(timestamp('1970-01-01T00:01:00Z'))", "60"), ("uint(-1)", "error: unsigned integer overflow"), ("uint('7')", "7"), ("double('1.5')", "1.5"),
        ("string(1)", "1"), ("string(1.5)", "1.5"), ("string(1e100)", "1e+100"), ("string(true)", "true"), ("string(b'abc')", "abc"),
        ("string(b'\\xff')", "error: invalid UTF-8 in bytes, cannot convert to string"), ("string(duration('1h30m'))", "5400s"), ("string(duration('1500ms'))", "1.5s"),
        ("string(timestamp('2026-01-02T03:04:05.120Z'))", "2026-01-02T03:04:05.12Z"), ("bool('true')", "true"), ("bool('yes')", "error: type conversion error from 'string' to 'bool'"),
        ("bytes('ab') == b'ab'", "true"), ("string(1u)", "1"), ("int(9223372036854775808u)", "error: integer overflow"), ("dyn('a')", "a"),
    ]) func conversions(_ text: String, _ expected: String) throws { #expect(try EvaluationTests.run(text) == expected) }

    @Test(arguments: [
        ("timestamp('2026-03-01T10:20:30.5Z').getFullYear()", "2026"), ("timestamp('2026-03-01T10:20:30Z').getMonth()", "2"), ("timestamp('2026-03-01T10:20:30Z').getDate()", "1"),
        ("timestamp('2026-03-01T10:20:30Z').getDayOfMonth()", "0"), ("timestamp('2026-03-01T10:20:30Z').getDayOfYear()", "59"), ("timestamp('2024-03-01T00:00:00Z').getDayOfYear()", "60"),
        ("timestamp('2026-03-01T10:20:30Z').getDayOfWeek()", "0"), ("timestamp('2026-03-01T10:20:30Z').getHours('+02:30')", "12"), ("timestamp('2026-03-01T10:20:30.5Z').getMilliseconds()", "500"),
        ("duration('90m').getHours()", "1"), ("duration('90m').getMinutes()", "90"), ("duration('1.5s').getMilliseconds()", "1500"),
        ("timestamp('2026-01-01T00:00:00Z') + duration('24h') == timestamp('2026-01-02T00:00:00Z')", "true"),
        ("timestamp('2026-01-02T00:00:00Z') - timestamp('2026-01-01T00:00:00Z') == duration('24h')", "true"), ("duration('1h') > duration('59m')", "true"),
        ("timestamp('9999-12-31T23:59:59Z') + duration('1s')", "error: timestamp overflow"),
        ("duration('2562047h') + duration('2562047h')", "error: duration overflow"), ("timestamp('2026-01-01T02:00:00+02:00') == timestamp('2026-01-01T00:00:00Z')", "true"),
    ]) func time(_ text: String, _ expected: String) throws { #expect(try EvaluationTests.run(text) == expected) }

    @Test(arguments: [
        ("[1, 2, 3].all(x, x > 0)", "true"), ("[1, 2, 3].all(x, x > 1)", "false"), ("[1, 2, 3].exists(x, x == 2)", "true"), ("[].exists(x, true)", "false"),
        ("[1, 2, 2].exists_one(x, x == 2)", "false"), ("[1, 2].exists_one(x, x == 2)", "true"), ("[1, 2, 3].map(x, x * 2)", "[2, 4, 6]"),
        ("[1, 2, 3].map(x, x > 1, x * 2)", "[4, 6]"), ("[1, 2, 3].filter(x, x != 2)", "[1, 3]"), ("{'a': 1, 'b': 2}.all(k, k in ['a', 'b'])", "true"),
        ("{'a': 1}.map(k, k + '!')", "[a!]"), ("[[1], [2, 3]].map(l, l.map(x, x + 1))", "[[2], [3, 4]]"), ("[1, 0, 2].exists(x, 4 / x == 2)", "true"),
        ("[1, 0].all(x, 4 / x == 2)", "false"), ("[2, 0].all(x, 4 / x == 2)", "error: division by zero"), ("[0, 1].map(x, 1 / x)", "error: division by zero"),
        ("[1, 2, 3].all(i, v, i + 1 == v)", "true"), ("{'a': 1}.exists(k, v, k == 'a' && v == 1)", "true"), ("[1, 2].existsOne(i, v, v == 2)", "true"),
        ("[10, 20].transformList(i, v, i + v)", "[10, 21]"), ("[10, 20].transformList(i, v, i > 0, v)", "[20]"), ("{'a': 1, 'b': 2}.transformMap(k, v, v + 1)", "{a: 2, b: 3}"),
        ("{'a': 1, 'b': 2}.transformMap(k, v, v > 1, v)", "{b: 2}"), ("['x', 'y'].transformMapEntry(i, v, {v: i})", "{x: 0, y: 1}"),
        ("['x', 'x'].transformMapEntry(i, v, {v: i})", "error: insert failed: key x already exists"), ("[1, 2, 3].map(x, [4, 5].filter(y, y > x)).size()", "3"),
    ]) func macros(_ text: String, _ expected: String) throws { #expect(try EvaluationTests.run(text) == expected) }

    @Test(arguments: [
        ("[1, 2][1]", "2"), ("[1, 2][2]", "error: index out of bounds: 2"), ("[1][-1]", "error: index out of bounds: -1"), ("{'a': 1}['a']", "1"), ("{'a': 1}.a", "1"),
        ("{'a': 1}['b']", "error: no such key: b"), ("{'a': 1}.b", "error: no such key: b"), ("has({'a': 1}.a)", "true"), ("has({'a': 1}.b)", "false"), ("'a' in {'a': 1}", "true"),
        ("{1: 'a'}[dyn(1.0)]", "a"), ("{1: 'a', 1: 'b'}", "error: insert failed: key 1 already exists"), ("[1, 2] + [3]", "[1, 2, 3]"), ("size([1, 2])", "2"), ("{'a': 1}.size()", "1"),
        ("[1] in [[1], [2]]", "true"), ("dyn({'a': 1}).b.c", "error: no such key: b"), ("dyn(1) + dyn('a')", "error: no such overload: _+_(int, string)"),
        ("dyn('a').size() + size(dyn([1]))", "2"), ("dyn(1).contains('a')", "error: no such overload: contains(int, string)"),
    ]) func containers(_ text: String, _ expected: String) throws { #expect(try EvaluationTests.run(text) == expected) }

    @Test(arguments: [
        ("{'a': 1}.?a", "optional(1)"), ("{'a': 1}.?b", "optional.none()"), ("{'a': 1}.?b.orValue(5)", "5"), ("{'a': {'b': 2}}.?a.b.value()", "2"), ("{'a': 1}[?'a'].hasValue()", "true"),
        ("[1][?3].hasValue()", "false"), ("optional.none().value()", "error: optional.none() dereference"), ("optional.of(1).or(optional.of(2)).value()", "1"),
        ("optional.ofNonZeroValue(0).hasValue()", "false"), ("[?optional.of(1), ?optional.none(), 3]", nil), ("[?optional.of(1), ?{'a': 1}.?b, 3]", "[1, 3]"),
        ("{?'a': optional.of(1), ?'b': {'x': 1}.?y}", "{a: 1}"), ("optional.of(2).optMap(x, x * 2).value()", "4"), ("{'a': 1}.?b.optMap(x, x * 2).hasValue()", "false"),
        ("optional.of(2).optFlatMap(x, optional.of(x + 1)).value()", "3"), ("optional.unwrap([optional.of(1), {'a': 2}.?b])", "[1]"), ("[1, 2].first().value()", "1"),
        ("[1, 2].last().value()", "2"), ("optional.of(1) == optional.of(1)", "true"), ("has({'a': {'b': 1}}.?a.b)", "true"),
    ] as [(String, String?)]) func optionals(_ text: String, _ expected: String?) throws {
        if let expected { #expect(try EvaluationTests.run(text) == expected) } else { _ = try? EvaluationTests.run(text) }
    }
}
