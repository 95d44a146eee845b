import Schema
import Tree

/// A value's type as ownership sees it: what it looks like, and whether it is owned whole or in parts.
struct OwnedType {
    let shape: Shape
    let rules: Rules

    /// Scalars, and what is declared atomic, are owned as a whole.
    func isLeaf(_ graph: Graph) -> Bool {
        switch shape {
        case .scalar: true
        case .message(let id): rules.isAtomic || (graph[graph[id].rulesID].isAtomic && !rules.isGranular)
        case .map: rules.isAtomic
        case .list: rules.listType == nil || rules.listType == .atomic
        }
    }

    /// Nil for what a definition leaves open: such a value is of the type that it looks like, maps in parts and all else whole.
    func element(_ graph: Graph) -> OwnedType? {
        switch shape {
        case .list(let id), .map(let id): OwnedType(graph[id].shape, graph[id].flags, graph.rules(of: graph[id]))
        default: nil
        }
    }

    /// The type of a field or map entry; nil for one that the schema does not know, or leaves open.
    func child(_ key: String, _ graph: Graph) -> OwnedType? {
        switch shape {
        case .message(let id): graph.field(key, in: id).flatMap { OwnedType($0.shape, $0.flags, graph.rules(of: $0)) }
        case .map: element(graph)
        default: nil
        }
    }

    init(shape: Shape, rules: Rules) {
        self.shape = shape
        self.rules = rules
    }

    private init?(_ shape: Shape, _ flags: Field.Flags, _ rules: Rules) {
        if case .scalar(.json) = shape, flags.contains(.preservesUnknown) { return nil }
        self.init(shape: shape, rules: rules)
    }

    func declares(_ key: String, _ graph: Graph) -> Bool {
        if case .message(let id) = shape { graph.fieldIndex(key, in: id) != nil } else { false }
    }

    /// How an item of this list is told from the others.
    func step(of item: Node, at index: Int, _ graph: Graph) -> String {
        switch rules.listType {
        case .set: return "v:" + item.jsonText
        case .map:
            var keys = Fields()
            for key in rules.listMapKeys.sorted() {
                var value = item[key]
                if value.isNull, case .message(let id)? = element(graph)?.shape, let field = graph.field(key, in: id) {
                    value = graph.rules(of: field).defaultValue ?? .null
                }
                if !value.isNull { keys.appendUnique(key, value) }
            }
            return "k:" + Node.map(keys).jsonText
        default: return "i:\(index)"
        }
    }
}

/// The walks of ownership over two trees of one type: which fields there are, what differs, merging, removing.
struct FieldWalk {
    let graph: Graph

    // MARK: Which fields an applied configuration names

    func fields(of node: Node, _ type: OwnedType) -> FieldSet {
        var out = FieldSet()
        collect(node, type, [], &out)
        return out
    }

    private func collect(_ node: Node, _ type: OwnedType?, _ path: [String], _ out: inout FieldSet) {
        if isLeaf(type, node, nil) {
            out.insert(path)
            return
        }
        switch node {
        case .map(let fields):
            for (key, value) in fields {
                let step = path + ["f:" + key]
                collect(value, type?.child(key, graph), step, &out)
                if value.isNull || value == [:] || !(type?.declares(key, graph) ?? false) { out.insert(step) }
            }
        case .list(let items):
            guard let type else { return }
            for (index, item) in items.enumerated() {
                let step = path + [type.step(of: item, at: index, graph)]
                collect(item, type.element(graph), step, &out)
                out.insert(step)
            }
        default: return
        }
    }

    /// Whether two values of a type, of which one may be absent, are owned as a whole.
    private func isLeaf(_ type: OwnedType?, _ one: Node?, _ other: Node?) -> Bool {
        if let type { return type.isLeaf(graph) }
        for case let node? in [one, other] { guard case .map = node else { return true } }
        return one == nil && other == nil
    }

    // MARK: What differs

    struct Difference {
        var added = FieldSet()
        var removed = FieldSet()
        var modified = FieldSet()
    }

    func difference(_ old: Node, _ new: Node, _ type: OwnedType) -> Difference {
        var out = Difference()
        compare(old, new, type, [], &out)
        return out
    }

    private func compare(_ old: Node?, _ new: Node?, _ type: OwnedType?, _ path: [String], _ out: inout Difference) {
        if !path.isEmpty {
            if old == nil, new != nil { out.added.insert(path) }
            if old != nil, new == nil { out.removed.insert(path) }
        }
        if isLeaf(type, old, new) || ((old?.isEmpty ?? true) && (new?.isEmpty ?? true)) {
            if let old, let new, old != new { out.modified.insert(path) }
            return
        }
        switch type?.shape {
        case .message, .map, nil:
            let (before, after) = (old?.fields ?? Fields(), new?.fields ?? Fields())
            // Most of an object is as it was: of that neither type nor path is asked.
            for (key, value) in before where after[key] != value { compare(value, after[key], type?.child(key, graph), path + ["f:" + key], &out) }
            for (key, value) in after where before.index(of: key) == nil { compare(nil, value, type?.child(key, graph), path + ["f:" + key], &out) }
        case .list:
            guard let type else { return }
            let (before, after) = (steps(old, type), steps(new, type))
            let (earlier, later) = (Dictionary(before, uniquingKeysWith: { first, _ in first }), Dictionary(after, uniquingKeysWith: { first, _ in first }))
            for (step, item) in earlier { compare(item, later[step], type.element(graph), path + [step], &out) }
            for (step, item) in later where earlier[step] == nil { compare(nil, item, type.element(graph), path + [step], &out) }
        case .scalar: return
        }
    }

    private func steps(_ node: Node?, _ type: OwnedType) -> [(String, Node)] {
        (node?.list ?? []).enumerated().map { (type.step(of: $0.element, at: $0.offset, graph), $0.element) }
    }

    // MARK: Merging

    /// `live` with all that `config` says.
    func merge(_ live: Node, _ config: Node, _ type: OwnedType?) -> Node {
        if isLeaf(type, live, config) { return config }
        switch (live, config) {
        case (.map(let before), .map(let changes)):
            var out = before
            for (key, value) in changes { out[key] = before[key].map { merge($0, value, type?.child(key, graph)) } ?? value }
            return .map(out)
        case (.list, .list): return type.map { .list(mergeItems(live, config, $0)) } ?? config
        default: return config
        }
    }

    /// Items of the configuration in its order, the others among them: upstream's walk of both lists at once.
    private func mergeItems(_ live: Node, _ config: Node, _ type: OwnedType) -> [Node] {
        let (left, right) = (steps(live, type), steps(config, type))
        let (ours, theirs) = (Dictionary(left) { first, _ in first }, Dictionary(right) { first, _ in first })
        var shared = right.map(\.0).filter { ours[$0] != nil }[...]
        var merged: Set<String> = []
        var out: [Node] = []
        var (l, r) = (0, 0)
        func take(_ step: String) {
            merged.insert(step)
            guard let item = theirs[step] else { return }
            out.append(ours[step].map { merge($0, item, type.element(graph)) } ?? item)
            if shared.first == step { shared.removeFirst() }
        }
        while l < left.count || r < right.count {
            if l < left.count, r < right.count {
                let step = left[l].0
                if step == right[r].0 {
                    take(step)
                    (l, r) = (l + 1, r + 1)
                    continue
                }
                // One of both, but not the one whose turn it is.
                if theirs[step] != nil, let next = shared.first, next != step {
                    l += 1
                    continue
                }
            }
            if l < left.count {
                let (step, item) = left[l]
                if theirs[step] == nil {
                    out.append(item)
                    l += 1
                    continue
                }
                if merged.contains(step) { l += 1 }
            }
            if r < right.count {
                take(right[r].0)
                r += 1
            }
        }
        return out
    }

    // MARK: Removing

    /// Removes what `last` names and `kept` does not, whole branches where nobody keeps anything of them.
    func prune(_ node: Node, _ last: FieldSet, kept: FieldSet, _ type: OwnedType?) -> Node {
        if isLeaf(type, node, nil) { return node }
        switch node {
        case .map(let fields):
            return .map(
                Fields(
                    unique: fields.compactMap { key, value in
                        guard let entry = last["f:" + key] else { return .init(key: key, value: value) }
                        guard let keep = kept["f:" + key] else { return nil }
                        return .init(key: key, value: prune(value, entry.below, kept: keep.below, type?.child(key, graph)))
                    }))
        case .list(let items):
            guard let type else { return node }
            return .list(
                items.enumerated().compactMap { index, item in
                    let step = type.step(of: item, at: index, graph)
                    guard let entry = last[step] else { return item }
                    guard let keep = kept[step] else { return nil }
                    return prune(item, entry.below, kept: keep.below, type.element(graph))
                })
        default: return node
        }
    }
}
