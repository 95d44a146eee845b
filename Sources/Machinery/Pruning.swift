package import Schema
package import Tree

/// Removes from a custom resource what its schema does not know, and tells where. Root fields that every object has
/// (`apiVersion`, `kind`, `metadata`) stay whatever the schema says.
package struct Pruning {
    private let graph: Graph
    package private(set) var unknown: [NodePath] = []
    private var path: [NodePath.Step] = []
    private static let maxUnknown = 100

    private init(_ graph: Graph) { self.graph = graph }

    /// Returns the paths of what was removed.
    package static func prune(_ node: inout Node, as id: MessageID, in graph: Graph) -> [NodePath] {
        var walk = Pruning(graph)
        walk.message(&node, id, keepsUnknown: false, isRoot: true)
        return walk.unknown
    }

    private mutating func message(_ node: inout Node, _ id: MessageID, keepsUnknown: Bool, isRoot: Bool) {
        guard case .map(let fields) = node else { return }
        let keeps = keepsUnknown || graph[id].flags.contains(.preservesUnknown)
        let hasMeta = isRoot || graph[id].flags.contains(.embedded)
        var out = Fields()
        out.reserve(fields.count)
        for (key, value) in fields {
            var value = value
            if let field = graph.field(key, in: id) {
                path.append(.key(key))
                self.value(&value, field.shape, field.flags)
                path.removeLast()
            } else if !keeps, !(hasMeta && (key == "apiVersion" || key == "kind" || key == "metadata")) {
                if unknown.count < Pruning.maxUnknown { unknown.append(NodePath(path + [.key(key)])) }
                continue
            }
            out.appendUnique(key, value)
        }
        node = .map(out)
    }

    private mutating func value(_ node: inout Node, _ shape: Shape, _ flags: Field.Flags) {
        switch shape {
        case .scalar: return
        case .message(let id): message(&node, id, keepsUnknown: flags.contains(.preservesUnknown), isRoot: flags.contains(.embedded))
        case .list(let id):
            guard case .list(var items) = node else { return }
            for index in items.indices {
                path.append(.index(index))
                value(&items[index], graph[id].shape, graph[id].flags)
                path.removeLast()
            }
            node = .list(items)
        case .map(let id):
            guard case .map(let fields) = node else { return }
            var out = Fields()
            out.reserve(fields.count)
            for (key, item) in fields {
                var item = item
                path.append(.entry(key))
                value(&item, graph[id].shape, graph[id].flags)
                path.removeLast()
                out.appendUnique(key, item)
            }
            node = .map(out)
        }
    }
}
