import Machinery
import Tree

/// What makes a schema structural: every value has a type outside of logic, and logic says nothing of structure.
struct StructuralRules {
    private enum Level { case root, item, field }

    private var findings = Findings()

    /// The findings in upstream's order, which is that of their texts.
    static func errors(_ schema: Node, at path: NodePath) -> [FieldError] {
        var rules = StructuralRules()
        rules.check(schema, .root, path, 0)
        rules.spoken(schema, schema, path, path, 0)
        return (rules.findings.errors + DefinitionRules.patternErrors(schema, path: "\(path)")).sorted { $0.description.utf8.lexicographicallyPrecedes($1.description.utf8) }
    }

    /// What no structural schema can carry; nil where there is nothing of it.
    static func unsupported(_ schema: Node, _ depth: Int = 0) -> String? {
        guard case .map = schema, depth < 100 else { return nil }
        let texts = [("id", "id"), ("$schema", "schema"), ("$ref", "$ref")]
        for (key, name) in texts where !(schema[key].string ?? "").isEmpty { return "OpenAPIV3Schema '\(name)' is not supported" }
        for key in ["patternProperties", "dependencies"] where !schema[key].fields.isEmpty { return "OpenAPIV3Schema '\(key)' is not supported" }
        if !schema["additionalItems"].isNull { return "OpenAPIV3Schema 'additionalItems' is not supported" }
        if !schema["definitions"].fields.isEmpty { return "OpenAPIV3Schema 'definitions' is not supported" }
        if schema["x-kubernetes-preserve-unknown-fields"].bool == false {
            return "internal error: 'x-kubernetes-preserve-unknown-fields' must be true or undefined"
        }
        if !schema["items"].list.isEmpty { return "OpenAPIV3Schema 'items' must be a schema, but is an array" }
        let inner =
            [schema["not"], schema["items"], schema["additionalProperties"]] + ["allOf", "anyOf", "oneOf"].flatMap { schema[$0].list }
            + schema["properties"].fields.map(\.value)
        for part in inner { if let found = unsupported(part, depth + 1) { return found } }
        return nil
    }

    private static func isOn(_ schema: Node, _ name: String) -> Bool { schema["x-kubernetes-\(name)"].bool == true }

    private mutating func check(_ schema: Node, _ level: Level, _ path: NodePath, _ depth: Int) {
        guard case .map = schema, depth < 100 else { return }
        let type = schema["type"].string ?? ""
        if type == "array", schema["items"].isNull || schema["items"] == [] { findings.required(path.child("items"), "must be specified") }
        check(schema["items"], .item, path.child("items"), depth + 1)
        for (name, property) in schema["properties"].fields { check(property, .field, path.child("properties").entry(name), depth + 1) }
        if !schema["additionalProperties"].isNull {
            if level == .root { findings.forbidden(path.child("additionalProperties"), "must not be used at the root") }
            check(schema["additionalProperties"], .field, path.child("additionalProperties"), depth + 1)
        }
        extensions(schema, path)
        values(schema, path, level, depth)
        self.type(schema, type, level, path)
        metadata(schema, level, path)
        let isEmbedded = Self.isOn(schema, "embedded-resource")
        if isEmbedded, !Self.isOn(schema, "preserve-unknown-fields"), schema["properties"].fields.isEmpty {
            findings.required(
                path.child("properties"), "must not be empty if x-kubernetes-embedded-resource is true without x-kubernetes-preserve-unknown-fields")
        }
    }

    private mutating func extensions(_ schema: Node, _ path: NodePath) {
        guard Self.isOn(schema, "int-or-string") else { return }
        for name in ["preserve-unknown-fields", "embedded-resource"] where Self.isOn(schema, name) {
            findings.invalid(path.child("x-kubernetes-\(name)"), true, "must be false if x-kubernetes-int-or-string is true")
        }
    }

    private mutating func type(_ schema: Node, _ type: String, _ level: Level, _ path: NodePath) {
        let at = path.child("type")
        let isEmbedded = Self.isOn(schema, "embedded-resource")
        if isEmbedded, type != "object" {
            let words = "must be object if x-kubernetes-embedded-resource is true"
            if type.isEmpty { findings.required(at, words) } else { findings.invalid(at, .string(type), words) }
        } else if type.isEmpty, !Self.isOn(schema, "int-or-string"), !Self.isOn(schema, "preserve-unknown-fields") {
            switch level {
            case .root: findings.required(at, "must not be empty at the root")
            case .item: findings.required(at, "must not be empty for specified array items")
            case .field: findings.required(at, "must not be empty for specified object fields")
            }
        }
        if isEmbedded, !schema["additionalProperties"].isNull {
            findings.forbidden(path.child("additionalProperties"), "must not be used if x-kubernetes-embedded-resource is set")
        }
        if level == .root, !type.isEmpty, type != "object" { findings.invalid(at, .string(type), "must be object at the root") }
    }

    private mutating func metadata(_ schema: Node, _ level: Level, _ path: NodePath) {
        let properties = schema["properties"]
        let isObject = level == .root || Self.isOn(schema, "embedded-resource")
        func place(_ name: String) -> NodePath { path.child("properties").entry(name) }
        for name in ["kind", "apiVersion"] where isObject && properties.has(name) && properties[name]["type"].string != "string" {
            findings.invalid(place(name).child("type"), .string(properties[name]["type"].string ?? ""), "must be string")
        }
        guard properties.has("metadata") else { return }
        var meta = properties["metadata"]
        if isObject, meta["type"].string != "object" {
            findings.invalid(place("metadata").child("type"), .string(meta["type"].string ?? ""), "must be object")
        }
        guard level == .root else { return }
        if meta["properties"].fields.allSatisfy({ $0.key == "name" || $0.key == "generateName" }) { meta.remove("properties") }
        for key in ["type", "default"] { meta.remove(key) }
        if !meta.fields.isEmpty {
            findings.forbidden(place("metadata"), "must not specify anything other than name and generateName, but metadata is implicitly specified")
        }
    }

    // MARK: - Logic

    private static let either: Node = [["type": "integer"], ["type": "string"]]

    private mutating func values(_ schema: Node, _ path: NodePath, _ level: Level, _ depth: Int, skipsAny: Bool? = nil, skipsFirst: Bool? = nil) {
        let skipsAny = skipsAny ?? (schema["anyOf"] == Self.either)
        let skipsFirst = skipsFirst ?? (schema["allOf"][0]["anyOf"] == Self.either)
        if !skipsAny { for (index, part) in schema["anyOf"].list.enumerated() { nested(part, path.child("anyOf").element(index), depth + 1) } }
        for (index, part) in schema["allOf"].list.enumerated() {
            nested(part, path.child("allOf").element(index), depth + 1, skipsAny: skipsFirst && index == 0)
        }
        for (index, part) in schema["oneOf"].list.enumerated() { nested(part, path.child("oneOf").element(index), depth + 1) }
        nested(schema["not"], path.child("not"), depth + 1)
    }

    private mutating func nested(_ schema: Node, _ path: NodePath, _ depth: Int, skipsAny: Bool = false) {
        guard case .map = schema, depth < 100 else { return }
        values(schema, path, .field, depth, skipsAny: skipsAny, skipsFirst: false)
        nested(schema["items"], path.child("items"), depth + 1)
        for (name, property) in schema["properties"].fields { nested(property, path.child("properties").entry(name), depth + 1) }
        func forbid(_ key: String, _ isSet: Bool, _ wanted: String) {
            if isSet { findings.forbidden(path.child(key), "must be \(wanted) to be structural") }
        }
        forbid("type", !(schema["type"].string ?? "").isEmpty, "empty")
        forbid("additionalProperties", !schema["additionalProperties"].isNull && schema["additionalProperties"] != .bool(false), "undefined")
        forbid("default", !schema["default"].isNull, "undefined")
        for key in ["title", "description"] { forbid(key, !(schema[key].string ?? "").isEmpty, "empty") }
        forbid("nullable", schema["nullable"].bool == true, "false")
        for key in ["preserve-unknown-fields", "embedded-resource", "int-or-string"] { forbid("x-kubernetes-\(key)", Self.isOn(schema, key), "false") }
        forbid("x-kubernetes-list-map-keys", !schema["x-kubernetes-list-map-keys"].list.isEmpty, "empty")
        for key in ["x-kubernetes-list-type", "x-kubernetes-map-type"] { forbid(key, !schema[key].isNull, "undefined") }
        forbid("x-kubernetes-validations", !schema["x-kubernetes-validations"].list.isEmpty, "empty")
        if schema["properties"].has("metadata") {
            findings.forbidden(path.child("properties").entry("metadata"), "must not be specified in a nested context")
        }
    }

    // MARK: - Completeness

    /// What the root's logic speaks of is there outside of it. (Upstream looks at the root's alone.)
    private mutating func spoken(_ part: Node, _ schema: Node, _ path: NodePath, _ place: NodePath, _ depth: Int) {
        guard case .map = part, depth < 100 else { return }
        for field in ["allOf", "anyOf", "oneOf"] {
            for (index, inner) in part[field].list.enumerated() { spoken(inner, schema, path.child(field).element(index), place, depth + 1) }
        }
        spoken(part["not"], schema, path.child("not"), place, depth + 1)
        guard depth > 0 else { return }
        if case .map = part["items"] { found(part["items"], schema["items"], path.child("items"), place.child("items"), depth) }
        for (name, inner) in part["properties"].fields {
            let step = path.child("properties").entry(name)
            found(inner, schema["properties"][name], step, place.child("properties").entry(name), depth)
        }
    }

    private mutating func found(_ part: Node, _ schema: Node, _ path: NodePath, _ place: NodePath, _ depth: Int) {
        guard !schema.isNull else { return findings.required(place, "because it is defined in \(path)") }
        spoken(part, schema, path, place, depth + 1)
    }
}
