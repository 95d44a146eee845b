import Machinery
import Tree

/// What makes a schema structural: every value has a type outside of logic, lists say how they merge.
enum StructuralRules {
    static func check(_ schema: Node, _ path: NodePath, _ findings: inout Findings) {
        let type = schema["type"].string ?? ""
        if type.isEmpty {
            findings.required(path.child("type"), "must not be empty at the root")
        } else if type != "object" {
            findings.invalid(path.child("type"), .string(type), "must be object at the root")
        }
        walk(schema, path, &findings)
    }

    private static func isFree(_ schema: Node) -> Bool {
        schema["x-kubernetes-int-or-string"].bool == true || schema["x-kubernetes-preserve-unknown-fields"].bool == true
    }

    private static func typed(_ schema: Node, _ path: NodePath, _ what: String, _ findings: inout Findings) {
        if schema["type"].isEmpty, !isFree(schema) { findings.required(path.child("type"), "must not be empty for specified \(what)") }
        walk(schema, path, &findings)
    }

    private static func walk(_ schema: Node, _ path: NodePath, _ findings: inout Findings) {
        for (name, property) in schema["properties"].fields { typed(property, path.child("properties").entry(name), "object fields", &findings) }
        if case .map = schema["additionalProperties"] {
            typed(schema["additionalProperties"], path.child("additionalProperties"), "object fields", &findings)
        }
        let items = schema["items"]
        if !items.isNull { typed(items, path.child("items"), "array items", &findings) }
        if schema["type"].string == "array", items.isNull { findings.required(path.child("items"), "must be specified") }
        list(schema, path, &findings)
        if !schema["$ref"].isNull { findings.forbidden(path.child("$ref"), "$ref is not supported") }
        if schema["uniqueItems"].bool == true { findings.forbidden(path.child("uniqueItems"), "uniqueItems cannot be set to true since the runtime complexity becomes quadratic") }
    }

    private static func list(_ schema: Node, _ path: NodePath, _ findings: inout Findings) {
        guard let type = schema["x-kubernetes-list-type"].string else { return }
        let (at, keys) = (path.child("x-kubernetes-list-map-keys"), schema["x-kubernetes-list-map-keys"].stringList)
        if !["atomic", "set", "map"].contains(type) {
            findings.notSupported(path.child("x-kubernetes-list-type"), type, ["atomic", "set", "map"])
        }
        guard type == "map" else { return }
        if keys.isEmpty { return findings.required(at, "must not be empty if x-kubernetes-list-type is map") }
        let (items, required) = (schema["items"], schema["items"]["required"].stringList)
        if keys.contains(where: { !items["properties"].has($0) }) {
            return findings.invalid(at, Node(keys), "entries must all be names of item properties")
        }
        for key in keys where items["properties"][key]["default"].isNull && !required.contains(key) {
            findings.required(
                path.child("items").child("properties").entry(key).child("default"),
                "this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property")
        }
    }
}
