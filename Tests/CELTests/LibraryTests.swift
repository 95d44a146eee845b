import Testing

@testable import CEL

/// The extension libraries, by tables.
struct LibraryTests {
    @Test(arguments: [
        ("'tacocat'.charAt(3)", "o"), ("'abc'.charAt(3)", ""), ("'abc'.charAt(4)", "error: index out of range: 4"), ("'hello mellow'.indexOf('ello')", "1"),
        ("'hello mellow'.indexOf('ello', 2)", "7"), ("'hello'.indexOf('')", "0"), ("'hello'.indexOf('x')", "-1"), ("'hello'.indexOf('l', 20)", "error: index out of range: 20"),
        ("'hello mellow'.lastIndexOf('ello')", "7"), ("'hello mellow'.lastIndexOf('ello', 6)", "1"), ("'hello'.lastIndexOf('')", "5"), ("'TacoÉ'.lowerAscii()", "tacoÉ"),
        ("'tacoé'.upperAscii()", "TACOé"), ("'hello hello'.replace('he', 'we')", "wello wello"), ("'hello hello'.replace('he', 'we', 1)", "wello hello"),
        ("'hello'.replace('he', 'we', 0)", "hello"), ("'ab'.replace('', '_')", "_a_b_"), ("'a,b,c'.split(',')", "[a, b, c]"), ("'a,b,c'.split(',', 2)", "[a, b,c]"),
        ("'abc'.split('')", "[a, b, c]"), ("'a'.split(',', 0)", "[]"), ("'tacocat'.substring(4)", "cat"), ("'tacocat'.substring(0, 4)", "taco"),
        ("'tacocat'.substring(4, 3)", "error: invalid substring range. start: 4, end: 3"), ("'abc'.substring(5)", "error: index out of range: 5"), ("' \\t a \\n'.trim()", "a"),
        ("['a', 'b'].join('-')", "a-b"), ("['a', 'b'].join()", "ab"), ("[].join('-')", ""), ("strings.quote('a\"b\\n')", "\"a\\\"b\\n\""),
    ]) func strings(_ text: String, _ expected: String) throws { #expect(try EvaluationTests.run(text) == expected) }

    @Test(arguments: [
        ("'%s %d %s'.format(['a', 2, true])", "a 2 true"), ("'%.2f'.format([3.14159])", "3.14"), ("'%f'.format([2.0])", "2.000000"), ("'%.0f'.format([2.5])", "2"),
        ("'%e'.format([1234.5])", "1.234500×10⁰³"), ("'%x %X'.format([255, 'ab'])", "ff 6162"), ("'%o %b'.format([8, 5])", "10 101"), ("'%%'.format([])", "%"),
        ("'%s'.format([[1, 'a']])", "[1, a]"), ("['%s'.format([1]), 1]", nil), ("'%s'.format([[1, 2]])", "[1, 2]"), ("'%s'.format([{'b': 1, 'a': 2}])", "{a: 2, b: 1}"), ("'%s'.format([1.5])", "1.5"),
        ("'%s'.format([duration('90s')])", "90s"), ("'%d'.format([1, 2])", "1"), ("'%d %d'.format([1])", "error: index 1 out of range"),
        ("'%d'.format(['a'])", "error: error during formatting: decimal clause can only be used on integers, was given string"), ("'%.3e'.format([0.000123456])", "1.235×10⁻⁰⁴"),
        ("'%.1f'.format([0.05])", "0.1"), ("'%.3f'.format([1e21])", "1,000,000,000,000,000,000,000.000"), ("'%.2f'.format([-0.004])", "-0.00"),
    ] as [(String, String?)]) func format(_ text: String, _ expected: String?) throws {
        if let expected { #expect(try EvaluationTests.run(text) == expected) } else { #expect(throws: CompilationError.self) { try EvaluationTests.run(text) } }
    }

    @Test(arguments: [
        ("[1, 2, 2].isSorted()", "true"), ("['b', 'a'].isSorted()", "false"), ("[1, 3].sum()", "4"), ("[1.5, 2.5].sum()", "4"), ("[1, 3, 2].max()", "3"), ("['b', 'a'].min()", "a"),
        ("dyn([]).max()", "error: max called on empty list"), ("[1, 2, 2].indexOf(2)", "1"), ("[1, 2, 2].lastIndexOf(2)", "2"), ("[1].indexOf(9)", "-1"), ("[1, 2, 3, 4].slice(1, 3)", "[2, 3]"),
        ("[1].slice(0, 5)", "error: cannot slice(0, 5), list is length 1"), ("[[1], [2, 3]].flatten()", "[1, 2, 3]"), ("[3, 1, 2].sort()", "[1, 2, 3]"),
        ("['ccc', 'a', 'bb'].sortBy(s, s.size())", "[a, bb, ccc]"), ("lists.range(3)", "[0, 1, 2]"), ("[1, 2, 1].distinct()", "[1, 2]"), ("[1, 2].reverse()", "[2, 1]"),
        ("sets.contains([1, 2, 3], [2, 3])", "true"), ("sets.contains([1], [2])", "false"), ("sets.equivalent([1, 2], [2, 1, 1])", "true"), ("sets.intersects([1, 2], [2, 3])", "true"),
        ("[duration('1s'), duration('2s')].sum() == duration('3s')", "true"),
    ]) func lists(_ text: String, _ expected: String) throws { #expect(try EvaluationTests.run(text) == expected) }

    @Test(arguments: [
        ("'abc 123'.find('[0-9]+')", "123"), ("'abc'.find('[0-9]+')", ""), ("'1 2 3'.findAll('[0-9]')", "[1, 2, 3]"), ("'1 2 3'.findAll('[0-9]', 2)", "[1, 2]"),
        ("url('https://example.com:8080/a%20b?q=1&q=2&r=x+y').getHost()", "example.com:8080"), ("url('https://example.com:8080/').getHostname()", "example.com"),
        ("url('https://[::1]:80/').getHostname()", "::1"), ("url('https://[::1]:80/').getPort()", "80"), ("url('https://example.com/a b').getEscapedPath()", "/a%20b"),
        ("url('https://example.com/?q=1&q=2&r=x+y').getQuery()", "{q: [1, 2], r: [x y]}"), ("url('/path').getScheme()", ""), ("isURL('https://a')", "true"), ("isURL('a b')", "false"),
        ("isURL('../up')", "false"), ("isURL('https://a:b/')", "false"), ("url('https://a/') == url('https://a/')", "true"),
        ("ip('192.168.0.1').family()", "4"), ("ip('::1').isLoopback()", "true"), ("ip('fe80::1').isLinkLocalUnicast()", "true"), ("ip('8.8.8.8').isGlobalUnicast()", "true"),
        ("ip.isCanonical('2001:db8::abcd')", "true"), ("ip.isCanonical('2001:DB8::ABCD')", "false"), ("isIP('1.2.3')", "false"), ("isIP('fe80::1%eth0')", "false"),
        ("isIP('::ffff:1.2.3.4')", "false"), ("string(ip('2001:db8:0:0:1:0:0:1'))", "2001:db8::1:0:0:1"), ("ip('1.2.3.4') == ip('1.2.3.4')", "true"),
        ("cidr('10.0.0.0/8').containsIP('10.1.2.3')", "true"), ("cidr('10.0.0.0/8').containsIP(ip('11.1.2.3'))", "false"), ("cidr('10.0.0.0/8').containsCIDR('10.1.0.0/16')", "true"),
        ("cidr('10.1.0.0/16').containsCIDR(cidr('10.0.0.0/8'))", "false"), ("string(cidr('10.1.2.3/8').masked())", "10.0.0.0/8"), ("cidr('10.0.0.0/8').prefixLength()", "8"),
        ("cidr('10.1.2.3/8').ip() == ip('10.1.2.3')", "true"), ("isCIDR('10.0.0.0/33')", "false"), ("isCIDR('::/0')", "true"),
        ("semver('1.2.3').major()", "1"), ("semver('1.2.3-alpha').isLessThan(semver('1.2.3'))", "true"), ("isSemver('v1.2')", "false"), ("isSemver('v1.2', true)", "true"),
        ("semver('v01.02', true).minor()", "2"), ("semver('1.10.0').compareTo(semver('1.9.0'))", "1"), ("semver('1.0.0+a') == semver('1.0.0+b')", "true"),
        ("jsonpatch.escapeKey('a/b~c')", "a~1b~0c"),
    ]) func kubernetes(_ text: String, _ expected: String) throws { #expect(try EvaluationTests.run(text) == expected) }

    private struct Clerk: ExpressionAuthorizer {
        func decide(_ question: AuthorizationQuestion) -> AuthorizationAnswer {
            let isAllowed = question.resource == "pods" && question.verb == "get" && question.namespace == "a"
            return AuthorizationAnswer(isAllowed: isAllowed || question.serviceAccount?.name == "admin", reason: "because", error: question.path == "/x" ? "no" : nil)
        }
    }

    @Test(arguments: [
        ("authorizer.group('').resource('pods').namespace('a').check('get').allowed()", "true"), ("authorizer.group('').resource('pods').check('get').allowed()", "false"),
        ("authorizer.serviceAccount('ns', 'admin').group('x').resource('y').check('z').allowed()", "true"), ("authorizer.path('/x').check('get').errored()", "true"),
        ("authorizer.path('/x').check('get').reason()", "because"), ("authorizer.path(' ').check('get').allowed()", "error: path must not be empty"),
        ("authorizer.serviceAccount('ns', '-').path('/').check('get').allowed()", "error: Invalid service account name"),
    ]) func authorizer(_ text: String, _ expected: String) throws {
        let environment = Environment.standard.declaring("authorizer", AuthorizerValue.type)
        #expect(try EvaluationTests.run(text, environment, [.opaque(AuthorizerValue(Clerk()))]) == expected)
    }
}
