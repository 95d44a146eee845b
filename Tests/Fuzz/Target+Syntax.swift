import CEL
import Core
import Machinery
import Schema
import Tree

extension Target {
    private static let jsonWords = ["{", "}", "[", "]", "{\"a\":", "[[", "\"", "\\u0000", "\\ud800", "null", ",", ":", "\\", "true", "1e400", "-", "\"a\":1,", "[{"]
    private static let yamlWords = [
        "- ", "{", "[", "&a ", "*a", "<<: *a", "<<: [*a, *a]", "|\n", ">-\n", "\n\n", "---\n", "...\n", "? ", ": ", "!!binary ", "!!set ", "\t", "'", "\"\\x", "%YAML 1.1\n", "&a [*a,*a,*a,*a,*a,*a,*a,*a]\n", "- - - -", "key: &b\n  ", "0o7", "0x", ".inf", "2001-01-01",
    ]

    static func syntaxes(_ corpus: Corpus) -> [Target] {
        [
            bytes("json", share: 8, corpus.json, words: jsonWords) { input in
                guard let node = try? JSONReader.read(input) else { return }
                _ = JSONWriter.write(node)
                _ = try? JSONReader.readStrict(input)
                _ = YAMLWriter.write(node)
            },
            bytes("yaml", share: 8, corpus.yaml + corpus.json, words: yamlWords) { input in
                guard let node = try? YAMLReader.read(input) else { return }
                _ = JSONWriter.write(node)
                _ = try? YAMLReader.readStrict(input)
                _ = try? YAMLReader.readAll(input)
            },
            text("kubeconfig", ["apiVersion: v1\nkind: Config\nclusters:\n- name: a\n  cluster: {server: https://127.0.0.1:6443, certificate-authority-data: YWJj}\nusers: [{name: a, user: {token: x}}]\ncontexts: [{name: a, context: {cluster: a, user: a}}]\ncurrent-context: a\n"], words: yamlWords) { text in
                guard let node = try? YAMLReader.read(Array(text.utf8)) else { return }
                for cluster in node["clusters"].list { _ = cluster["cluster"]["certificate-authority-data"].string.flatMap(Base64.decode) }
                _ = YAMLWriter.write(node)
            },
        ]
    }

    // MARK: - CEL

    private static let expressions = [
        "self.spec.replicas <= self.spec.max && self.metadata.name.startsWith('a')", "self.items.all(i, i.name != '' && i.count > 0)", "self.items.map(i, i.count * 2).filter(x, x > 3).size() == 1",
        "has(self.a) ? self.a : 'b' + \"c\"", "{'a': 1, 'b': [1, 2, 3]}['b'][1] == 2 || 'x' in ['x']", "duration('1h').getSeconds() > 3 && timestamp('2026-01-01T00:00:00Z').getFullYear('+02:00') == 2026",
        "'%s %d %.3f %x'.format(['a', 1, 2.5, 255])", "'abc'.matches('^(a|b)+[c-f]{1,3}$')", "quantity('100Mi').isGreaterThan(quantity('1Gi')) || quantity('1').add(2).asInteger() == 3", "ip('::1').family() == 6 && cidr('10.0.0.0/8').containsIP('10.1.1.1')",
        "url('https://a:80/b?c=d').getHostname() == 'a'", "optional.of(1).orValue(2) + self.?a.?b.orValue(3)", "[3, 1, 2].sort().indexOf(2) + sets.intersects([1], [1, 2]) ? 1 : 0", "b'\\x00\\xff' + bytes('é')", "-9223372036854775808 / -1 + 0x7fffffffffffffff % -1",
        "18446744073709551615u * 2u", "1e308 * 10.0 > double('inf')", "int('x') + uint(-1) + string(1.5).size()", "'a,b,c'.split(',').join('-').replace('-', '', 2).substring(1, 2).upperAscii()", "self.items.exists_one(i, i == self.items[0]) && cel.bind(x, 1, x + x) == 2",
        "format.dns1123Label().validate('A').hasValue()", "[[1, 2], [3]].all(x, x.all(y, y > 0))", "semver('1.2.3').isLessThan(semver('v2.0.0', true))", "'a'.find('[0-9]*') == '' && 'aa'.findAll('a').size() == 2", "type(1) == int && dyn(1) == dyn(1u)", "!(!(!true)) ? 1 : 2 > 1 ? 3 : 4 == 4 ? 5 : 6",
        "self.items.sum() + [1, 2].max() - lists.range(5).reverse()[0]", "'x'.charAt(0).lastIndexOf('x') == strings.quote('a').size()",
    ]
    private static let celWords = [
        "(", ")", "[", "]", "{", "}", "!", "-", "((((((((", "[[[[[[[[", "!!!!!!!!", "--------", "self", ".items", ".map(i, ", ".all(x, ", ".filter(y, y)", " + ", " * ", " / ", " % ", " in ", " ? ", " : ", " && ", " || ", "'", "\"", "r'", "b'", "'''", "\\u", "\\U0010ffff", "0x", "u", "e", ".?a", "[?0]", "has(", "cel.bind(z, ",
        "9223372036854775807", "-9223372036854775808", "duration('", "timestamp('", "matches('(a*)*b')", "(a|a?)+$", "{1000}{1000}", ".format([", "%", "lists.range(", "optional.none()", "// c\n", "\u{e9}", "size()", "self.items.map(a, self.items.map(b, self.items))", "quantity('", "1e99999999999999999999Mi",
    ]

    static func expressions(_ corpus: Corpus) -> [Target] {
        let environment = Environment.kubernetes.declaring("self", .dyn)
        let value: Node = ["metadata": ["name": "abc"], "spec": ["replicas": 3, "max": 5], "a": ["b": "c"], "items": [["name": "x", "count": 2], ["name": "y", "count": .int(.max)], "text", .null, .double(1e300)]]
        return [
            text("cel", share: 10, expressions, words: celWords) { input in
                guard let program = try? Program.compile(input, in: environment) else { return }
                _ = program.run([Value(value)])
            },
            text("pattern", share: 4, ["^(a|b)*c{2,5}$", "[a-z0-9]([-a-z0-9]*[a-z0-9])?", "(?i)x+?y*?|\\d+\\pL[[:alpha:]]\\x{10FFFF}", "(?P<n>a)(?:b)\\bc\\B^$", "[^\\]\\-a-]+"], words: ["(", ")", "*", "+", "?", "{1,1000}", "[", "]", "|", "\\", "(?", "(?P<", "\\p{", "[[:", "(((((", "{999999999999}", "a{1000}"]) { input in
                guard let pattern = try? RegularExpression(input) else { return }
                _ = pattern.matches("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab0é-x\n")
                _ = pattern.all(in: "abcabc é 123", limit: 10)
            },
        ]
    }
}
