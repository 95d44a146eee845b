package import Tree

/// A list or map that a client's object has and that is empty. Stored and shown it is an absent one; defaults and validation tell the
/// two apart, as upstream's do.
package struct EmptyCollection: Sendable, Equatable {
    package let place: NodePath
    /// Empty.
    package let value: Node
}

extension Node {
    /// With empty lists and maps where there is nothing, but what would hold them.
    package func having(_ empties: [EmptyCollection]) -> Node {
        var out = self
        for empty in empties { Node.put(empty.value, into: &out, at: empty.place.steps[...]) }
        return out
    }

    private static func put(_ value: Node, into node: inout Node, at steps: ArraySlice<NodePath.Step>) {
        guard let step = steps.first else {
            if node.isNull { node = value }
            return
        }
        let rest = steps.dropFirst()
        switch (step, node) {
        case (.key(let key), .map(let fields)), (.entry(let key), .map(let fields)):
            var inner = fields[key] ?? .null
            guard rest.isEmpty || !inner.isNull else { return }
            put(value, into: &inner, at: rest)
            node[key] = inner
        case (.index(let index), .list(var items)) where items.indices.contains(index):
            put(value, into: &items[index], at: rest)
            node = .list(items)
        default: return
        }
    }
}
