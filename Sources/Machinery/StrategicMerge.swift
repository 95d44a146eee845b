package import Schema
package import Tree

/// Strategic merge patch: like a merge patch, but lists that the table gives a merge key are merged by it, and directives in
/// the patch delete, replace, order and retain.
package struct StrategicMerge {
    private static let directive = "$patch"
    private static let retainKeys = "$retainKeys"
    private static let setOrder = "$setElementOrder/"
    private static let deleteFrom = "$deleteFromPrimitiveList/"

    private let graph: Graph

    package init(_ graph: Graph) { self.graph = graph }

    package func apply(_ patch: Node, to original: Node, as id: MessageID) throws(PatchFailure) -> Node {
        guard case .map(let changes) = patch else { throw .malformed("invalid JSON document") }
        return .map(try merge(original.fields, changes, .message(id)))
    }

    /// What the table says of a field: its shape and, for lists, how to merge. Nothing for what it does not know.
    private struct Meta {
        var shape: Shape?
        var strategy: PatchStrategy = []
        var mergeKey = ""
    }

    private func meta(_ key: String, in shape: Shape?) -> Meta {
        switch shape {
        case .message(let id):
            guard let field = graph.field(key, in: id) else { return Meta() }
            let rules = graph.rules(of: field)
            return Meta(shape: field.shape, strategy: rules.patchStrategy, mergeKey: rules.patchMergeKey)
        case .map(let id): return Meta(shape: graph[id].shape)
        default: return Meta()
        }
    }

    // MARK: Maps

    private func merge(_ original: Fields, _ patch: Fields, _ shape: Shape?) throws(PatchFailure) -> Fields {
        var patch = patch
        if let directive = patch[StrategicMerge.directive] {
            switch directive.string {
            case "replace":
                patch.remove(StrategicMerge.directive)
                return patch
            case "delete": return Fields()
            default: throw unknownType(directive, patch)
            }
        }
        var out = original
        try retain(&out, &patch)
        try order(&out, &patch, shape)
        for (name, value) in patch {
            let isDeletion = name.hasPrefix(StrategicMerge.deleteFrom)
            if name.hasPrefix("$deleteFromPrimitiveList"), !isDeletion { throw .malformed("invalid patch format of primitive list") }
            let key = isDeletion ? String(name.dropFirst(StrategicMerge.deleteFrom.count)) : name
            if value.isNull {
                out.remove(key)
                continue
            }
            let meta = meta(key, in: shape)
            switch (out[key], value) {
            case (.map(let before)?, .map(let change)):
                out[key] = .map(meta.strategy.contains(.replace) ? change : try merge(before, change, meta.shape))
            case (.list(let before)?, .list(let change)):
                if isDeletion {
                    out[key] = .list(before.filter { !change.contains($0) })
                } else {
                    out[key] = meta.strategy.contains(.merge) ? .list(try merge(before, change, meta)) : value
                }
            default:
                if isDeletion { continue }
                out[key] = withoutDirectives(withoutNulls(value))
            }
        }
        return out
    }

    /// `$retainKeys`: fields that it does not name go, which is how a union switches its member.
    private func retain(_ original: inout Fields, _ patch: inout Fields) throws(PatchFailure) {
        guard let directive = patch[StrategicMerge.retainKeys] else { return }
        guard case .list(let keys) = directive else { throw .malformed("invalid patch format of retainKeys") }
        patch.remove(StrategicMerge.retainKeys)
        let kept = Set(keys.compactMap(\.string))
        for (key, value) in patch where !value.isNull && !key.hasPrefix("$") && !kept.contains(key) {
            throw .malformed("invalid patch format of retainKeys")
        }
        original = Fields(unique: original.compactMap { kept.contains($0.key) ? .init(key: $0.key, value: $0.value) : nil })
    }

    /// `$setElementOrder/x`: merges list x here and orders it as told; what only the server has keeps its relative place.
    private func order(_ original: inout Fields, _ patch: inout Fields, _ shape: Shape?) throws(PatchFailure) {
        for (name, directive) in patch where name.hasPrefix("$setElementOrder") {
            guard name.hasPrefix(StrategicMerge.setOrder), case .list(let order) = directive else {
                throw .malformed("invalid patch format of setElementOrder list")
            }
            patch.remove(name)
            let key = String(name.dropFirst(StrategicMerge.setOrder.count))
            let meta = meta(key, in: shape)
            let before = original[key]
            let change = patch[key]
            if let change, !change.isNull { try check(change.list, order, meta.mergeKey) }
            let merged: [Node]
            switch (before, change) {
            case (nil, nil): continue
            case (let before?, nil): merged = before.list
            case (nil, .list?): merged = withoutDirectives(change ?? .null).list
            case (.list(let before)?, .list(let change)?): merged = meta.strategy.contains(.merge) ? try merge(before, change, meta) : change
            default: continue
            }
            original[key] = .list(arranged(merged, order: order, server: before?.list ?? [], meta.mergeKey))
            patch.remove(key)
        }
    }

    /// The patch's items must come in the order that the directive names.
    private func check(_ items: [Node], _ order: [Node], _ mergeKey: String) throws(PatchFailure) {
        var rest = order[...]
        for item in items where !item.has(StrategicMerge.directive) {
            guard let at = rest.firstIndex(where: { same($0, item, mergeKey) }) else {
                throw .malformed("The order in patch list:\n\(Node.list(items).jsonText)\n doesn't match $setElementOrder list:\n\(Node.list(order).jsonText)\n")
            }
            rest = rest[(at + 1)...]
        }
    }

    // MARK: Lists

    private func merge(_ original: [Node], _ patch: [Node], _ meta: Meta) throws(PatchFailure) -> [Node] {
        if original.isEmpty, patch.isEmpty { return original }
        guard (patch + original).contains(where: { if case .map = $0 { true } else { false } }) else {
            var out = original
            for item in patch where !out.contains(item) { out.append(item) }
            return arranged(out, order: patch, server: original, "")
        }
        let mergeKey = meta.mergeKey
        if mergeKey.isEmpty { throw .inapplicable("cannot merge lists without merge key") }
        var element: Shape?
        if case .list(let id) = meta.shape { element = graph[id].shape }
        var out = original
        var changes: [Node] = []
        var replaces = false
        for item in patch {
            guard case .map(let fields) = item else { throw .malformed("expected a map[string]interface {}, but received a \(item.jsonText)") }
            guard let directive = fields[StrategicMerge.directive] else {
                changes.append(item)
                continue
            }
            switch directive.string {
            case "delete":
                guard let key = fields[mergeKey] else { throw noMergeKey(item, mergeKey) }
                out.removeAll { $0[mergeKey] == key }
            case "replace": replaces = true
            case "merge": throw .malformed("merging lists cannot yet be specified in the patch")
            default: throw unknownType(directive, fields)
            }
        }
        if replaces { return changes }
        for change in changes {
            guard change.has(mergeKey) else { throw noMergeKey(change, mergeKey) }
            if let at = out.firstIndex(where: { $0.has(mergeKey) && $0[mergeKey] == change[mergeKey] }) {
                out[at] = .map(try merge(out[at].fields, change.fields, element))
            } else {
                out.append(withoutDirectives(change))
            }
        }
        return arranged(out, order: changes, server: original, mergeKey)
    }

    private func same(_ a: Node, _ b: Node, _ mergeKey: String) -> Bool { mergeKey.isEmpty ? a == b : a[mergeKey] == b[mergeKey] }

    /// Items that `order` names in its order, the others where they stood before among them.
    private func arranged(_ items: [Node], order: [Node], server: [Node], _ mergeKey: String) -> [Node] {
        func place(_ item: Node, _ list: [Node]) -> Int? { list.firstIndex { same($0, item, mergeKey) } }
        var named: [(place: Int, item: Node)] = []
        var others: [(place: Int, item: Node)] = []
        for item in items {
            if let at = place(item, order) { named.append((at, item)) } else { others.append((place(item, server) ?? .max, item)) }
        }
        named.sort { $0.place < $1.place }
        others.sort { $0.place < $1.place }
        var out: [Node] = []
        var left = others[...]
        for (_, item) in named {
            if let at = place(item, server) {
                while let first = left.first, first.place < at { out.append(left.removeFirst().item) }
            }
            out.append(item)
        }
        return out + left.map(\.item)
    }

    // MARK: Values that are new

    private func withoutNulls(_ node: Node) -> Node {
        switch node {
        case .map(let fields):
            .map(Fields(unique: fields.compactMap { $0.value.isNull ? nil : .init(key: $0.key, value: withoutNulls($0.value)) }))
        case .list(let items): .list(items.map(withoutNulls))
        default: node
        }
    }

    private func withoutDirectives(_ node: Node) -> Node {
        switch node {
        case .map(let fields):
            .map(Fields(unique: fields.compactMap { key, value in
                if value.has(StrategicMerge.directive) || key.hasPrefix("$setElementOrder") || key.hasPrefix("$deleteFromPrimitiveList")
                    || key == StrategicMerge.retainKeys || key == StrategicMerge.directive
                { return nil }
                return .init(key: key, value: withoutDirectives(value))
            }))
        case .list(let items): .list(items.filter { !$0.has(StrategicMerge.directive) }.map(withoutDirectives))
        default: node
        }
    }

    // MARK: Errors

    private func noMergeKey(_ item: Node, _ key: String) -> PatchFailure {
        PatchFailure(code: 500, description: "map: \(item.jsonText) does not contain declared merge key: \(key)")
    }
    private func unknownType(_ type: Node, _ map: Fields) -> PatchFailure {
        PatchFailure(code: 500, description: "unknown patch type: \(type.string ?? type.jsonText) in map: \(Node.map(map).goText)")
    }
}
