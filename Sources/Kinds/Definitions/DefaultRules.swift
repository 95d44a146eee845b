import Machinery
import Tree

/// Defaults of a schema keep to it.
enum DefaultRules {
    static func errors(_ schema: Node, at path: NodePath, isRoot: Bool = true, _ depth: Int = 0) -> [FieldError] {
        guard case .map = schema, depth < 100 else { return [] }
        var out: [FieldError] = []
        if !schema["default"].isNull {
            let at = path.child("default")
            if hasUnknown(schema["default"], schema, isObject: isRoot || schema["x-kubernetes-embedded-resource"].bool == true) {
                out.append(.invalid("\(at)", schema["default"].jsonText, "must not have unknown fields"))
            }
            out += SchemaCheck.errors(schema["default"], schema, at: "\(at)")
        }
        out += errors(schema["items"], at: path.child("items"), isRoot: false, depth + 1)
        for (name, property) in schema["properties"].fields.map({ ($0.key, $0.value) }).sorted(by: { $0.0 < $1.0 }) {
            out += errors(property, at: path.child("properties").entry(name), isRoot: false, depth + 1)
        }
        return out
    }

    /// Whether pruning would take something away.
    private static func hasUnknown(_ value: Node, _ schema: Node, isObject: Bool, _ depth: Int = 0) -> Bool {
        guard depth < 100 else { return false }
        switch value {
        case .list(let items):
            return items.contains { hasUnknown($0, schema["items"], isObject: schema["items"]["x-kubernetes-embedded-resource"].bool == true, depth + 1) }
        case .map(let fields):
            if schema["x-kubernetes-preserve-unknown-fields"].bool == true { return false }
            for (key, item) in fields {
                if isObject, ["apiVersion", "kind", "metadata"].contains(key) { continue }
                var inner = schema["properties"][key]
                if inner.isNull {
                    if schema["additionalProperties"] == .bool(true) { continue }
                    inner = schema["additionalProperties"]
                }
                guard case .map = inner else { return true }
                if hasUnknown(item, inner, isObject: inner["x-kubernetes-embedded-resource"].bool == true, depth + 1) { return true }
            }
            return false
        default: return false
        }
    }
}
