import Machinery
import Tree

/// What upstream's validation says of a schema besides its structure.
struct SchemaRules {
    private var findings = Findings()

    static func errors(_ schema: Node, at path: NodePath) -> [FieldError] {
        var rules = SchemaRules()
        rules.check(schema, path, Place(isRoot: true))
        return rules.findings.errors
    }

    /// Where a schema stands.
    private struct Place {
        var isRoot = false
        /// Within `metadata`, `apiVersion` or `kind` of an object.
        var isMeta = false
        /// Why no default can stand here.
        var noDefault: String?
        var depth = 0

        func inner() -> Place { Place(isMeta: isMeta, noDefault: noDefault, depth: depth + 1) }
    }

    private static let types = ["array", "boolean", "integer", "number", "object", "string"]

    private mutating func check(_ schema: Node, _ path: NodePath, _ place: Place) {
        guard case .map = schema, place.depth < 100 else { return }
        standard(schema, path, place)
        if schema["uniqueItems"].bool == true {
            findings.forbidden(path.child("uniqueItems"), "uniqueItems cannot be set to true since the runtime complexity becomes quadratic")
        }
        let properties = schema["properties"]
        let additional = schema["additionalProperties"]
        if !additional.isNull {
            if !properties.fields.isEmpty, additional != .bool(true) {
                findings.forbidden(path.child("additionalProperties"), "additionalProperties and properties are mutual exclusive")
            }
            var inner = place.inner()
            if place.isMeta { inner.noDefault = "inside additionalProperties applying to object metadata" }
            check(additional, path.child("additionalProperties"), inner)
        }
        for (name, property) in properties.fields.map({ ($0.key, $0.value) }).sorted(by: { $0.0 < $1.0 }) {
            var inner = place.inner()
            if place.isRoot || schema["x-kubernetes-embedded-resource"].bool == true, ["metadata", "kind", "apiVersion"].contains(name) {
                inner.isMeta = true
                if place.isRoot { inner.noDefault = "in top-level \(name)" }
            }
            check(property, path.child("properties").entry(name), inner)
        }
        check(schema["not"], path.child("not"), place.inner())
        for field in ["allOf", "oneOf", "anyOf"] {
            for (index, part) in schema[field].list.enumerated() { check(part, path.child(field).element(index), place.inner()) }
        }
        for (name, part) in schema["definitions"].fields { check(part, path.child("definitions").entry(name), place.inner()) }
        check(schema["items"], path.child("items"), place.inner())
        for (index, part) in schema["items"].list.enumerated() { check(part, path.child("items").element(index), place.inner()) }
        for (name, part) in schema["dependencies"].fields { check(part, path.child("dependencies").entry(name), place.inner()) }
        merging(schema, path)
        mapKeys(schema, path)
    }

    /// What version 3 of OpenAPI has and definitions have not.
    private mutating func standard(_ schema: Node, _ path: NodePath, _ place: Place) {
        let type = schema["type"].string ?? ""
        if !type.isEmpty, !Self.types.contains(type) { findings.notSupported(path.child("type"), type, Self.types) }
        if !schema["default"].isNull, let why = place.noDefault { findings.forbidden(path.child("default"), "must not be set \(why)") }
        if !(schema["id"].string ?? "").isEmpty { findings.forbidden(path.child("id"), "id is not supported") }
        if !schema["additionalItems"].isNull { findings.forbidden(path.child("additionalItems"), "additionalItems is not supported") }
        for key in ["patternProperties", "definitions"] where !schema[key].fields.isEmpty { findings.forbidden(path.child(key), "\(key) is not supported") }
        if !schema["dependencies"].isNull { findings.forbidden(path.child("dependencies"), "dependencies is not supported") }
        if !schema["$ref"].isNull { findings.forbidden(path.child("$ref"), "$ref is not supported") }
        if type == "null" { findings.forbidden(path.child("type"), "type cannot be set to null, use nullable as an alternative") }
        if !schema["items"].list.isEmpty { findings.forbidden(path.child("items"), "items must be a schema object and not an array") }
        if place.isMeta, schema["x-kubernetes-embedded-resource"].bool == true {
            findings.forbidden(path.child("x-kubernetes-embedded-resource"), "must not be used inside of resource meta")
        }
    }

    private mutating func typed(_ schema: Node, _ wanted: String, _ path: NodePath, _ words: String) {
        let type = schema["type"].string ?? ""
        if type.isEmpty { findings.required(path.child("type"), words) } else if type != wanted { findings.invalid(path.child("type"), .string(type), words) }
    }

    private mutating func merging(_ schema: Node, _ path: NodePath) {
        if schema["x-kubernetes-preserve-unknown-fields"].bool == false {
            findings.invalid(path.child("x-kubernetes-preserve-unknown-fields"), false, "must be true or undefined")
        }
        if let map = schema["x-kubernetes-map-type"].string {
            typed(schema, "object", path, "must be object if x-kubernetes-map-type is specified")
            if map != "atomic", map != "granular" { findings.notSupported(path.child("x-kubernetes-map-type"), map, ["atomic", "granular"]) }
        }
        let (list, keys, items) = (schema["x-kubernetes-list-type"], schema["x-kubernetes-list-map-keys"].stringList, schema["items"])
        let at = path.child("x-kubernetes-list-type")
        if !list.isNull {
            if schema["type"].string != "array" {
                typed(schema, "array", path, "must be array if x-kubernetes-list-type is specified")
            } else if list == "set", case .map = items {
                let words = "must be atomic as item of a list with x-kubernetes-list-type=set"
                let inner = items["x-kubernetes-list-type"]
                if items["type"] == "array", !inner.isNull, inner != "atomic" {
                    findings.invalid(path.child("items").child("x-kubernetes-list-type"), inner, words)
                }
                // Upstream shows the list type here too.
                if items["type"] == "object", items["x-kubernetes-map-type"] != "atomic" {
                    findings.invalid(path.child("items").child("x-kubernetes-map-type"), inner, words)
                }
            }
            if let text = list.string, !["atomic", "set", "map"].contains(text) { findings.notSupported(at, text, ["atomic", "set", "map"]) }
        }
        guard !keys.isEmpty, list != "map" else { return }
        let words = "must be map if x-kubernetes-list-map-keys is non-empty"
        if list.isNull { findings.required(at, words) } else { findings.invalid(at, list, words) }
    }

    private mutating func mapKeys(_ schema: Node, _ path: NodePath) {
        let (list, keys, items) = (schema["x-kubernetes-list-type"].string, schema["x-kubernetes-list-map-keys"].stringList, schema["items"])
        let at = path.child("items")
        if list == "map" {
            let place = path.child("x-kubernetes-list-map-keys")
            if keys.isEmpty { findings.required(place, "must not be empty if x-kubernetes-list-type is map") }
            if items.isNull { findings.required(at, "must have a schema if x-kubernetes-list-type is map") }
            if case .list = items { findings.invalid(at, DefinitionView.shown(items: items), "must only have a single schema if x-kubernetes-list-type is map") }
            if case .map = items {
                if items["type"] != "object" {
                    findings.invalid(at.child("type"), .string(items["type"].string ?? ""), "must be object if parent array's x-kubernetes-list-type is map")
                } else {
                    var seen: Set<String> = []
                    for key in keys {
                        let property = items["properties"][key]
                        if property.isNull {
                            findings.invalid(place, Node(keys), "entries must all be names of item properties")
                        } else if property["type"] == "array" || property["type"] == "object" {
                            findings.invalid(
                                at.child("properties").entry(key).child("type"), items["type"], "must be a scalar type if parent array's x-kubernetes-list-type is map")
                        }
                        if !seen.insert(key).inserted { findings.invalid(place, Node(keys), "must not contain duplicate entries") }
                    }
                }
            }
        }
        guard let list, list == "set" || list == "map", case .map = items else { return }
        if items["nullable"].bool == true { findings.forbidden(at.child("nullable"), "cannot be nullable when x-kubernetes-list-type is \(list)") }
        guard list == "map" else { return }
        let required = items["required"].stringList
        for key in keys {
            let (property, place) = (items["properties"][key], at.child("properties").entry(key))
            if property.isNull { continue }
            if !required.contains(key), property["default"].isNull {
                findings.required(place.child("default"), "this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property")
            }
            if property["nullable"].bool == true {
                findings.forbidden(place.child("nullable"), "this property is in x-kubernetes-list-map-keys, so it cannot be nullable")
            }
        }
    }
}
