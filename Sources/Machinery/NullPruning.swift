package import Schema
package import Tree

/// Takes nulls out of a custom resource that its schema does not allow, once defaults had their chance to stand in for them. Those
/// in lists stay, for validation to name.
package enum NullPruning {
    package static func prune(_ node: inout Node, as id: MessageID, in graph: Graph) {
        guard case .map(let fields) = node else { return }
        var out = Fields()
        out.reserve(fields.count)
        for (key, value) in fields {
            var value = value
            if let field = graph.field(key, in: id) {
                if value.isNull, !field.flags.contains(.nullable) { continue }
                prune(&value, field.shape, graph)
            }
            out.appendUnique(key, value)
        }
        node = .map(out)
    }

    private static func prune(_ node: inout Node, _ shape: Shape, _ graph: Graph) {
        switch (shape, node) {
        case (.message(let id), .map): prune(&node, as: id, in: graph)
        case (.list(let id), .list(var items)):
            for index in items.indices { prune(&items[index], graph[id].shape, graph) }
            node = .list(items)
        case (.map(let id), .map(let fields)):
            var out = Fields()
            for (key, value) in fields {
                var value = value
                if value.isNull, !graph[id].flags.contains(.nullable) { continue }
                prune(&value, graph[id].shape, graph)
                out.appendUnique(key, value)
            }
            node = .map(out)
        default: return
        }
    }
}
