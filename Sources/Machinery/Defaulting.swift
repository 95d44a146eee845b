package import Schema
package import Tree

/// Fills in the constant defaults of the table, also inside objects and lists that are there. Conditional defaults are hooks'.
///
/// Only messages with defaults below them are entered, so an object without any costs one look. A list of objects that is
/// absent stays absent; an absent object gets no defaults of its own, as upstream leaves nil pointers alone.
package struct Defaulting {
    private let graph: Graph

    package init(_ graph: Graph) { self.graph = graph }

    /// `id` is a whole object's message: what holds for its kind alone comes first, as it does upstream.
    package func apply(to node: inout Node, as id: MessageID) {
        for entry in graph[graph[id].rulesID].pathDefaults { set(entry.value, at: entry.path[...], of: id, in: &node) }
        walk(&node, id)
    }

    /// Absent plain messages on the way are made; absent pointers end it.
    private func set(_ value: Node, at path: ArraySlice<String>, of id: MessageID, in node: inout Node) {
        guard let name = path.first, let field = graph.field(name, in: id) else { return }
        if path.count == 1 {
            if isAbsent(node.has(name) ? node[name] : nil, field) { node[name] = value }
        } else if case .message(let inner) = field.shape {
            if node[name].isNull, field.presence == .pointer || field.presence == .pointerOrNull { return }
            set(value, at: path.dropFirst(), of: inner, in: &node[name])
        }
    }

    private func walk(_ node: inout Node, _ id: MessageID) {
        guard graph[id].flags.contains(.defaults), case .map(var fields) = node else { return }
        node = .null  // one reference, so that the edit happens in place
        for field in graph.fields(of: id) where field.flags.contains(.defaults) {
            apply(field, &fields)
        }
        node = .map(fields)
    }

    private func apply(_ field: Field, _ fields: inout Fields) {
        if let value = graph.rules(of: field).defaultValue, isAbsent(fields[field.name], field), !isLeftOut(value, field) { fields[field.name] = value }
        guard var value = fields[field.name] else {
            // A struct that is no pointer is always there to be defaulted.
            if case .message(let id) = field.shape, field.presence != .pointer, field.presence != .pointerOrNull {
                var made = Node.emptyMap
                walk(&made, id)
                if !made.isEmpty { fields[field.name] = made }
            }
            return
        }
        guard enters(field.shape) else { return }
        fields[field.name] = .null  // moved out while it is edited
        apply(to: &value, field.shape)
        fields[field.name] = value
    }

    /// A default that Go leaves out again: it is there for documents.
    private func isLeftOut(_ value: Node, _ field: Field) -> Bool {
        guard field.presence == .omitEmpty, case .scalar(let scalar) = field.shape else { return false }
        return value.isEmpty && scalar != .quantity && scalar != .intOrString && scalar != .duration
    }

    /// Null means absent, unless null is a value there; "" and 0 mean absent where Go cannot tell them apart.
    private func isAbsent(_ value: Node?, _ field: Field) -> Bool {
        guard let value else { return true }
        switch field.presence {
        case .pointer, .pointerOrNull: return value.isNull && !field.flags.contains(.nullable)
        case .omitEmpty, .always, .omitZero: return value.isEmpty
        }
    }

    private func enters(_ shape: Shape) -> Bool {
        switch shape {
        case .scalar: return false
        case .message(let id): return graph[id].flags.contains(.defaults)
        case .list(let id), .map(let id): return graph.rules(of: graph[id]).defaultValue != nil || enters(graph[id].shape)
        }
    }

    private func apply(to node: inout Node, _ shape: Shape) {
        switch shape {
        case .scalar: return
        case .message(let id): walk(&node, id)
        case .list(let id):
            guard case .list(var items) = node else { return }
            node = .null
            for index in items.indices { element(&items[index], graph[id]) }
            node = .list(items)
        case .map(let id):
            guard case .map(var fields) = node else { return }
            node = .null
            fields = Fields(
                unique: fields.map { key, value in
                    var value = value
                    element(&value, graph[id])
                    return Fields.Entry(key: key, value: value)
                })
            node = .map(fields)
        }
    }

    private func element(_ node: inout Node, _ element: Element) {
        if node.isNull, !element.flags.contains(.nullable), let value = graph.rules(of: element).defaultValue { node = value }
        apply(to: &node, element.shape)
    }
}
