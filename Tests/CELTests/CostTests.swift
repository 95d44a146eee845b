import Testing
import Tree

@testable import CEL

/// What expressions cost, by upstream's own tables: they decide which definitions are accepted and which objects can be checked.
struct CostTests {
    /// A schema for tests: `int`, `string`, `[int]`, `{string}`, `(a: int, b: string)` as objects.
    private static let types: [String: FixedSchema] = {
        let string = FixedSchema.string
        let int = FixedSchema(.int)
        let item = FixedSchema(object: "item", ["k": string, "v": string, "v2": string])
        let lists = FixedSchema(listOf: FixedSchema(listOf: FixedSchema(object: "pair", ["k": string, "v": string])))
        let nested = FixedSchema(object: "a1", ["b1": FixedSchema(object: "b1", ["c1": int]), "d2": FixedSchema(object: "d2", ["e2": int])])
        return [
            "text": string, "text2": string, "number": int, "numbers": FixedSchema(listOf: int), "numbers2": FixedSchema(listOf: int),
            "val": FixedSchema(mapOf: int), "list": FixedSchema(listOf: item), "array": FixedSchema(listOf: int), "set": FixedSchema(listOf: int),
            "objs": lists, "enumStr": string, "a": FixedSchema(object: "a", ["b": int, "c": int]), "a1": nested, "time": FixedSchema(.timestamp),
        ]
    }()

    private static let object: Node = [
        "text": "Rook takes 👑", "text2": "Rook takes 👑", "number": 10, "numbers": [1, 2, 3], "numbers2": [1, 2, 3], "val": ["b": 1, "d": 2],
        "list": [["k": "a1", "v": "b1"], ["k": "a2", "v": "b2"], ["k": "a3", "v": "b3", "v2": "z"]], "array": [1, 1, 2, 2, 3, 3, 4, 5], "set": [1, 2, 3, 4, 5],
        "objs": [[["k": "a", "v": "1"], ["k": "b", "v": "2"]], [["k": "b", "v": "2"], ["k": "a", "v": "1"]]], "enumStr": "Pending", "a": ["b": 1], "a1": ["b1": ["c1": 4]],
        "time": "2011-08-18T19:03:37.01+01:00",
    ]

    @Test(arguments: [
        ("self.number == 10", 3), ("self.number == self.number", 5), ("type(self.number) == int", 4), ("double(self.number) < 10.0", 4), ("double(5) < 10.0", 1),
        ("self.text == 'Rook takes 👑'", 4), ("self.text == self.text2", 6), ("self.text.startsWith('Rook')", 4), ("!self.text.startsWith('knight')", 5),
        ("self.text.matches('^[^0-9]*$')", 8), ("!self.text.matches('^[0-9]*$')", 7), ("size(self.text) == 12", 4), ("self.text.charAt(3) == 'k'", 4),
        ("self.text.indexOf('o') == 1", 4), ("self.text.replace(' ', 'x') == 'Rookxtakesx👑'", 7), ("self.text.split(' ') == ['Rook', 'takes', '👑']", 6),
        ("self.text.substring(5) == 'takes 👑'", 5), ("self.text.substring(4, 10).trim() == 'takes'", 6), ("self.text.upperAscii() == 'ROOK TAKES 👑'", 6),
        ("'%d %s %f %s %s'.format([dyn(1), 'abc', 1.0, duration('1m'), timestamp('2000-01-01T00:00:00.000Z')]) == '1 abc 1.000000 60s 2000-01-01T00:00:00Z'", 6),
        ("'%e'.format([3.14]) == '3.140000×10⁰⁰'", 3), ("'%o %o %o'.format([7, 8, 9]) == '7 10 11'", 2), ("self.time.getDate('01:00') == 18", 4),
        ("self.enumStr in ['Pending', 'Available']", 2), ("1 in self.numbers", 5), ("self.numbers2[0] in self.numbers", 8), ("!(0 in self.numbers)", 6),
        ("self.numbers + self.numbers2 == [1, 2, 3, 1, 2, 3]", 6), ("self.numbers + [4, 5] == [1, 2, 3, 4, 5]", 4), ("has(self.numbers)", 1),
        ("has(self.numbers) && has(self.numbers2)", 2), ("self.objs[0] == [self.objs[0][0], self.objs[0][1]]", 22), ("sets.contains(self.numbers, [1])", 6),
        ("sets.equivalent(self.numbers, [1, 2, 3])", 21), ("has(self.a.b)", 2), ("has(self.a1.b1.c1)", 3), ("!(has(self.a1.d2) && has(self.a1.d2.e2))", 3),
        ("!('a' in self.val)", 4), ("'b' in self.val", 3), ("has(self.val.b)", 2), ("self.val.all(k, self.val[k] > 0)", 17), ("!self.val.exists(k, self.val[k] == 3)", 20),
        ("self.val.exists_one(k, self.val[k] == 2)", 14), ("!self.val.exists_one(k, self.val[k] > 0)", 17), ("size(self.val.filter(k, self.val[k] > 1)) == 1", 26),
        ("self.val.all(k, v, v > 0)", 13), ("!self.val.exists(k, v, v == 3)", 16), ("self.val.existsOne(k, v, v == 2)", 10),
        ("self.val.transformMap(k, v, v > 1, v + 1).size() == 1", 14), ("self.val.transformMap(k, v, v + 1).size() == 2", 15),
        ("self.val.transformMapEntry(k, v, v > 1, {k + '2': v + 1}).size() == 1", 45), ("self.val.transformMapEntry(k, v, {k + '2': v + 1}).size() == 2", 77),
        ("has(self.list[0].v)", 3), ("self.list.all(m, m.k.startsWith('a'))", 21), ("self.list.all(m, !has(m.v2) || m.v2 == 'z')", 21),
        ("self.list.exists(m, m.k.endsWith('1'))", 13), ("self.list.exists_one(m, m.k == 'a3')", 15), ("!self.list.all(m, m.k.endsWith('1'))", 18),
        ("!self.list.exists(m, m.v == 'x')", 25), ("size(self.list.filter(m, m.k == 'a1')) == 1", 27), ("self.list.exists(m, m.k == 'a1' && m.v == 'b1')", 16),
        ("self.list.map(m, m.v).exists(v, v == 'b1')", 55), ("self.list.exists(m, has(m.v2) && m.v2 == 'z')", 21), ("!self.list.all(m, has(m.v2) && m.v2 != 'z')", 10),
        ("self.list.exists_one(m, has(m.v2) && m.v2 == 'z')", 12), ("self.list.map(m, has(m.v2) && m.v2 == 'z', m.v2).size() == 1", 25),
        ("self.list.exists(m, m.v2 == 'z')", 24), ("!self.list.all(m, m.v2 != 'z')", 22), ("self.list.transformList(i, m, m.v).size() == 3", 47),
        ("2 in self.array", 10), ("self.array.all(e, e > 0)", 43), ("self.array.exists(e, e > 2)", 36), ("self.array.exists_one(e, e > 4)", 22),
        ("!self.array.all(e, e < 2)", 21), ("!self.array.exists(e, e < 0)", 52), ("size(self.array.filter(e, e%2 == 0)) == 3", 68),
        ("self.array.map(e, e * 20).filter(e, e > 50).exists(e, e == 60)", 194), ("self.array.transformList(i, e, e > 2, e * 2).size() > 0", 77),
        ("self.set.exists(e, e > 3)", 30), ("self.set.map(e, e * 20).filter(e, e > 50).exists_one(e, e == 60)", 133),
        ("url('https:://kubernetes.io/').getScheme() == ''", 4), ("ip('192.168.0.1').family() == 4", 4), ("ip('192.168.0.1') == ip('192.168.0.1')", 5),
        ("cidr('192.168.0.0/16').containsIP('192.169.0.1')", 5), ("cidr('192.168.0.0/16').containsCIDR('192.0.0.0/30')", 7),
    ] as [(String, UInt64)]) func runsCostWhatUpstreamsDo(_ text: String, _ expected: UInt64) throws {
        let schema = FixedSchema(object: "self", CostTests.types)
        let program = try Program.compile(text, in: Environment.standard.declaring("self", schema))
        let outcome = program.run([Value(CostTests.object, schema)])
        #expect(outcome.cost == expected, "\(outcome.result)")
    }

    @Test(arguments: [
        ("[1, 2, 3, 4, 5].sum()", 15, 15), ("[uint(1), uint(2), uint(3), uint(4), uint(5)].sum()", 20, 20),
        ("[1, 2, 3, 4, 5].indexOf(3)", 15, 15),
        ("'01234567890123456789012345678901234567890123456789'.indexOf('123')", 5, 5), ("url('https:://kubernetes.io/').getHost()", 4, 4),
        ("url('https:://kubernetes.io/') == url('https:://kubernetes.io/')", 7, 9), ("url('https:://kubernetes.io/') == url('http://x.b')", 5, 5),
        ("ip('192.168.0.1')", 2, 2), ("ip('2001:db8:3333:4444:5555:6666:7777:8888').family()", 5, 5), ("ip.isCanonical('2001:db8::abcd')", 3, 3),
        ("cidr('192.168.0.0/16').containsCIDR(cidr('192.0.0.0/30'))", 7, 11), ("cidr('192.168.0.0/16').containsIP(ip('192.0.0.1'))", 4, 7),
    ] as [(String, UInt64, UInt64)]) func estimatesAreUpstreams(_ text: String, _ least: UInt64, _ most: UInt64) throws {
        #expect(try Program.compile(text, in: .standard).estimatedCost == CostEstimate(least, most))
    }

    @Test func aRunEndsAtItsLimit() throws {
        let environment = Environment.standard.declaring("xs", .list(.int))
        let program = try Program.compile("xs.all(x, xs.all(y, x + y > 0)) || true", in: environment)
        let outcome = program.run([.list((1..<2000).map(Value.int))])
        guard case .failure(let error) = outcome.result else {
            Issue.record("no failure")
            return
        }
        #expect(error.isOverBudget)
        #expect(error.message == "operation cancelled: actual cost limit exceeded")
    }
}
