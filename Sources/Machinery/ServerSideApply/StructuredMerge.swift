package import Schema
package import Tree

/// Merges a configuration into an object by its schema, without owners: what mutating policies do.
package struct StructuredMerge {
    private let graph: Graph
    private let type: OwnedType

    package init(_ graph: Graph, as id: MessageID) {
        self.graph = graph
        type = OwnedType(shape: .message(id), rules: .none)
    }

    package func merge(_ live: Node, _ config: Node) -> Node { FieldWalk(graph: graph).merge(live, config, type) }

    /// The lists, maps and objects of a configuration that could only be replaced whole, as upstream prints their paths.
    package func atomics(_ config: Node) -> [String] {
        var out: [String] = []
        collect(config, type, "", &out)
        return out
    }

    private func collect(_ node: Node, _ type: OwnedType?, _ path: String, _ out: inout [String]) {
        guard let type else { return }
        switch node {
        case .map(let fields):
            if isContainer(type), type.isLeaf(graph) { out.append(path) }
            for (key, value) in fields { collect(value, type.child(key, graph), "\(path).\(key)", &out) }
        case .list(let items):
            if isContainer(type), type.isLeaf(graph) { out.append(path) }
            for (index, item) in items.enumerated() { collect(item, type.element(graph), "\(path)[\(index)]", &out) }
        default: return
        }
    }

    private func isContainer(_ type: OwnedType) -> Bool { if case .scalar = type.shape { false } else { true } }
}
