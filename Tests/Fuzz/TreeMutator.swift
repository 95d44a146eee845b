import Tree

/// Changes objects at one place: what is there becomes something else, goes, comes twice or is another object's.
struct TreeMutator {
    let corpus: [Node]

    private static let scalars: [Node] = [
        .null, .bool(true), .bool(false), .int(0), .int(-1), .int(1), .int(65536), .int(.max), .int(.min), .double(0.5), .double(1e300), .double(-1e-300), "", " ", "0", "-1", "1e9", "9223372036854775808",
        "1h", "100Mi", "-5n", "1e-30", "50%", "-1%", "*", "a/b", "../..", "\u{0}", "é", "*.example.com", "2026-01-02T03:04:05Z", "0000-00-00T00:00:00Z", "::1", "10.0.0.0/33", "fe80::/10", "/", "//",
        "YWJj", "***", "$(A)$(", "((((", "[a-", "{a}", "{.items[*]", "@every 1s", "*/0 * * * *", "0 0 31 2 *", "TZ=Nowhere/City 0 0 * * *", "self.x", "object.spec.replicas <= 5", .emptyMap, .list([]),
        .list([.null]), .list(["a", "a"]), .list([.emptyMap, .emptyMap]), "https://user:pw@[::1]:99999/%zz?#", "sha256:00", "registry:5000/x@sha256:", "Never", "RollingUpdate", "ClusterIP", "None",
    ]
    private static let keys = ["", "a", "name", "kind", "metadata", "spec", "status", "$patch", "$retainKeys", "$setElementOrder/containers", "$deleteFromPrimitiveList/finalizers", "x-kubernetes-validations", "type", "f:a", "k:{\"name\":1}", "a.b/c", "é", "~1", "default"]

    func make(_ random: inout Random) -> Node {
        var node = random.pick(corpus, or: .null)
        for _ in 0...random.below(3) { node = changed(node, &random, depth: 0) }
        return node
    }

    func changed(_ node: Node, _ random: inout Random, depth: Int) -> Node {
        switch node {
        case .map(let fields) where !fields.isEmpty && random.chance(7, of: 8): return changedMap(fields, &random, depth)
        case .list(let items) where !items.isEmpty && random.chance(7, of: 8): return changedList(items, &random, depth)
        default: return replacement(node, &random)
        }
    }

    private func changedMap(_ fields: Fields, _ random: inout Random, _ depth: Int) -> Node {
        var entries = fields.map { Fields.Entry(key: $0.key, value: $0.value) }
        let at = random.below(entries.count)
        switch random.below(10) {
        case 0: entries.remove(at: at)
        case 1, 2:
            let key = random.chance(1, of: 2) ? random.pick(Self.keys, or: "") : String(entries[at].key.reversed())
            if !entries.contains(where: { $0.key == key }) { entries.append(.init(key: key, value: entries[at].value)) }
        case 3:
            // A field of another object.
            for (key, value) in random.pick(corpus, or: .null).fields where !entries.contains(where: { $0.key == key }) { entries.append(.init(key: key, value: value)) }
        default: entries[at].value = changed(entries[at].value, &random, depth: depth + 1)
        }
        return .map(Fields(unique: entries))
    }

    private func changedList(_ items: [Node], _ random: inout Random, _ depth: Int) -> Node {
        var items = items
        let at = random.below(items.count)
        switch random.below(8) {
        case 0: items.remove(at: at)
        case 1: items.insert(items[at], at: random.below(items.count))
        case 2 where random.chance(1, of: 8): items += Array(repeating: items[at], count: 300)
        case 3: items.swapAt(at, random.below(items.count))
        default: items[at] = changed(items[at], &random, depth: depth + 1)
        }
        return .list(items)
    }

    private func replacement(_ node: Node, _ random: inout Random) -> Node {
        switch random.below(12) {
        case 0: return .list([node])
        case 1: return ["a": node]
        case 2: return part(of: random.pick(corpus, or: .null), &random)
        case 3 where random.chance(1, of: 4): return nested(&random)
        case 4: if case .string(let text) = node { return .string(text + text) }
        case 5:
            guard case .string(let text) = node else { break }
            var bytes = Array(text.utf8)
            ByteMutator(corpus: [bytes], words: [], largest: 2000).change(&bytes, &random)
            return .string(String(decoding: bytes, as: UTF8.self))
        default: break
        }
        return random.pick(Self.scalars, or: .null)
    }

    private func part(of node: Node, _ random: inout Random) -> Node {
        var node = node
        for _ in 0..<random.below(6) {
            switch node {
            case .map(let fields) where !fields.isEmpty: node = random.pick(fields.map(\.value), or: .null)
            case .list(let items): node = random.pick(items, or: .null)
            default: return node
            }
        }
        return node
    }

    private func nested(_ random: inout Random) -> Node {
        var node: Node = "x"
        let list = random.chance(1, of: 2)
        for _ in 0..<random.below(500) { node = list ? .list([node]) : ["a": node] }
        return node
    }
}
