import Schema
import Tree

/// Whether an applied configuration is of its schema's types, in the words of upstream's typed values. What the schema does not know
/// is not looked at.
struct AppliedTypes {
    let graph: Graph

    /// Nil for a configuration without a fault.
    func problem(_ config: Node, _ type: OwnedType) -> String? {
        var found: [String] = []
        check(config, type, "", &found)
        guard let first = found.first else { return nil }
        return found.count == 1 ? first : (["errors:"] + found.map { "  \($0)" }).joined(separator: "\n")
    }

    private func check(_ node: Node, _ type: OwnedType, _ path: String, _ found: inout [String]) {
        if node.isNull { return }
        func fault(_ text: String) { found.append(path.isEmpty ? text : "\(path): \(text)") }
        switch type.shape {
        case .scalar(let scalar):
            if let text = AppliedTypes.mismatch(node, scalar) { fault(text) }
        case .message, .map:
            guard case .map(let fields) = node else { return fault("expected map, got \(AppliedTypes.boxed(node))") }
            for (key, value) in fields {
                if let child = type.child(key, graph) { check(value, child, "\(path).\(key)", &found) }
            }
        case .list:
            guard case .list(let items) = node else { return fault("expected list, got \(AppliedTypes.boxed(node))") }
            guard let element = type.element(graph) else { return }
            var seen: Set<String> = []
            for (index, item) in items.enumerated() {
                if type.rules.listType == .map, !AppliedTypes.isMap(item) {
                    return fault("element \(index): associative list with keys may not have non-map elements")
                }
                let step = type.step(of: item, at: index, graph)
                let shown = FieldSet.describe([step])
                if !seen.insert(step).inserted { fault("duplicate entries for key \(shown)") }
                check(item, element, path + shown, &found)
            }
        }
    }

    private static func isMap(_ node: Node) -> Bool { if case .map = node { true } else { false } }

    private static func mismatch(_ node: Node, _ scalar: Scalar) -> String? {
        switch (scalar, node) {
        case (.int32, .int), (.int64, .int), (.double, .int), (.int32, .double), (.int64, .double), (.double, .double): nil
        case (.int32, _), (.int64, _), (.double, _): "expected numeric (int or float), got \(goType(node))"
        case (.string, .string), (.bytes, .string), (.bool, .bool): nil
        case (.string, _), (.bytes, _): "expected string, got &value.valueUnstructured{Value:\(literal(node))}"
        case (.bool, _): "expected boolean, got \(boxed(node))"
        case (.quantity, .map), (.quantity, .list), (.intOrString, .map), (.intOrString, .list), (.time, .map), (.time, .list):
            "expected any scalar, got \(boxed(node))"
        default: nil
        }
    }

    private static func goType(_ node: Node) -> String {
        switch node {
        case .null: "<nil>"
        case .bool: "bool"
        case .int: "int64"
        case .double: "float64"
        case .string: "string"
        case .list: "[]interface {}"
        case .map: "map[string]interface {}"
        }
    }

    /// Go's `%v` of a pointer to what holds the value.
    private static func boxed(_ node: Node) -> String { "&{\(text(node))}" }

    private static func text(_ node: Node) -> String {
        switch node {
        case .map(let fields): "map[" + fields.keys.sorted().map { "\($0):\(text(node[$0]))" }.joined(separator: " ") + "]"
        case .list(let items): "[" + items.map(text).joined(separator: " ") + "]"
        case .null: "<nil>"
        case .string(let text): text
        default: node.jsonText
        }
    }

    /// Go's `%#v`.
    private static func literal(_ node: Node) -> String {
        switch node {
        case .map(let fields): "map[string]interface {}{" + fields.keys.sorted().map { "\(FieldError.quoted($0)):\(literal(node[$0]))" }.joined(separator: ", ") + "}"
        case .list(let items): "[]interface {}{" + items.map(literal).joined(separator: ", ") + "}"
        case .null: "interface {}(nil)"
        case .string(let text): FieldError.quoted(text)
        default: node.jsonText
        }
    }
}
