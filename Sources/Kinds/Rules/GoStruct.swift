import Machinery
import Schema
import Tree

/// An object as Go prints its internal type, which a few of upstream's findings show: all fields under their Go names, also those that
/// are not set.
enum GoStruct {
    /// `first` are the fields that the internal type has in another order than the table.
    static func shown(_ node: Node, _ message: String, order first: [String] = []) -> Node {
        guard let id = Graph.builtIn.message(named: message) else { return node }
        return shown(node, id, first)
    }

    private static func shown(_ node: Node, _ id: MessageID, _ first: [String] = []) -> Node {
        let graph = Graph.builtIn
        // Types of the meta group have no internal ones.
        if graph[id].name.hasPrefix("meta/") { return node }
        var fields = Array(graph.fields(of: id))
        if !first.isEmpty { fields = first.compactMap { name in fields.first { $0.name == name } } + fields.filter { !first.contains($0.name) } }
        var out = Fields()
        for field in fields { out.appendUnique(goName(field.name), value(node[field.name], field)) }
        return .map(out)
    }

    private static func value(_ node: Node, _ field: Field) -> Node {
        switch (field.shape, node) {
        case (.message(let id), .map): return shown(node, id)
        case (.message(let id), _): return field.presence == .pointer || field.presence == .pointerOrNull ? .null : shown(.emptyMap, id)
        case (.list(let id), .list(let items)):
            guard case .message(let inner) = Graph.builtIn[id].shape else { return node }
            return .list(items.map { shown($0, inner) })
        case (.scalar(let scalar), .null) where field.presence != .pointer && field.presence != .pointerOrNull:
            switch scalar {
            case .string: return ""
            case .bool: return false
            case .int32, .int64, .double: return 0
            default: return .null
            }
        default: return node
        }
    }

    private static let others = ["seLinuxOptions": "SELinuxOptions", "uid": "UID"]

    private static func goName(_ name: String) -> String { others[name] ?? name.prefix(1).uppercased() + name.dropFirst() }
}
