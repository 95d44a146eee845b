import CAssets
package import Tree

/// The order in which Go writes the fields of a value: that of their declaration, which is the table's but for the types that the
/// text names. Needed only where upstream shows a whole object to people, so the text is read when that happens.
package struct DeclarationOrder {
    private var places: [String: [String: Int]] = [:]

    package init() {
        let asset = jangada_declaration_order()
        let text = String(decoding: UnsafeBufferPointer(start: asset.bytes, count: asset.length), as: UTF8.self)
        for line in text.split(separator: "\n") where !line.hasPrefix("#") {
            let words = line.split(separator: " ").map(String.init)
            places[words[0]] = Dictionary(uniqueKeysWithValues: words.dropFirst().enumerated().map { ($1, $0) })
        }
    }

    package var types: [String] { places.keys.sorted() }

    /// Where a field of such a type stands; nil for one that the text does not name.
    package func place(of field: String, in type: String) -> Int? { places[type]?[field] }

    /// The same value with its fields in that order, unknown ones last and maps as they are.
    package func arranged(_ node: Node, as id: MessageID, in graph: Graph) -> Node {
        guard case .map(let fields) = node else { return node }
        let declared = places[graph[id].name]
        var known: [(place: Int, key: String, value: Node)] = []
        var rest: [(key: String, value: Node)] = []
        for (key, value) in fields {
            guard let index = graph.fieldIndex(key, in: id) else {
                rest.append((key, value))
                continue
            }
            let field = graph.fields[index]
            // What says which kind an object is of has no number and comes first.
            let place = field.tag == 0 && key == "kind" ? -2 : field.tag == 0 && key == "apiVersion" ? -1 : declared.map { $0[key] ?? .max } ?? index
            known.append((place, key, arranged(value, field.shape, graph)))
        }
        known.sort { $0.place < $1.place }
        var out = Fields()
        for entry in known { out.appendUnique(entry.key, entry.value) }
        for entry in rest { out.appendUnique(entry.key, entry.value) }
        return .map(out)
    }

    private func arranged(_ node: Node, _ shape: Shape, _ graph: Graph) -> Node {
        switch (shape, node) {
        case (.message(let id), _): arranged(node, as: id, in: graph)
        case (.list(let id), .list(let items)): .list(items.map { arranged($0, graph[id].shape, graph) })
        case (.map(let id), .map(let fields)):
            .map(Fields(unique: fields.map { .init(key: $0.key, value: arranged($0.value, graph[id].shape, graph)) }))
        default: node
        }
    }
}
