package import Tree

/// The usual mischief: every field of an object taken away, made empty, null, too long, out of range or of another type.
package enum Sweep {
    /// Texts of mutations, in the order of the object's fields.
    package static func mutations(of object: Node) -> [String] {
        var out: [String] = []
        for (key, value) in object.fields where key != "apiVersion" && key != "kind" { walk(value, key, &out) }
        return out
    }

    private static let long = "\"" + String(repeating: "a", count: 300) + "\""

    private static func walk(_ node: Node, _ path: String, _ out: inout [String]) {
        out.append("-\(path)")
        let values: [String] =
            switch node {
            case .bool: ["\"x\"", "null"]
            case .int, .double: ["-1", "0", "99999", "5000000000", "\"x\"", "1.5", "null"]
            case .string: ["\"\"", "\"Bad_Value!\"", "7", long, "null"]
            case .list: ["\"x\"", "{}", "[]", "[null]", "null"]
            case .map, .null: ["\"x\"", "[]", "{}", "null"]
            }
        out += values.map { "\(path)=\($0)" }
        switch node {
        case .map(let fields):
            out.append("\(path).nope=1")
            for (key, value) in fields { walk(value, path + step(key), &out) }
        case .list(let items):
            for (index, item) in items.enumerated() { walk(item, "\(path)[\(index)]", &out) }
        default: break
        }
    }

    private static func step(_ key: String) -> String {
        key.allSatisfy { $0.isLetter || $0.isNumber || $0 == "_" || $0 == "-" } ? ".\(key)" : "[\"\(key)\"]"
    }
}
