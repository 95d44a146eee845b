import Core
import Schema
package import Tree

/// `allOf`, `anyOf`, `oneOf` and `not` of a custom resource's schema, and all that the branches say of a value: they are schemas
/// without types, so they are read as written.
struct SchemaLogic {
    /// What a whole schema finds wrong with a value, whose place the findings name as the root.
    static func errors(_ node: Node, schema: Node) -> [FieldError] { check(node, schema, [], 0).errors }

    /// What one schema finds, and how much of it matched: the branch that matches most tells what is wrong.
    private struct Result {
        var errors: [FieldError] = []
        var matches = 0
        mutating func merge(_ other: Result) {
            errors += other.errors
            matches += other.matches
        }
    }

    private static let deepest = 50

    /// What the branches of `logic` find wrong with a value at a path.
    static func errors(_ node: Node, _ logic: Node, at path: [NodePath.Step]) -> [FieldError] { branches(node, logic, path, 0).errors }

    private static func name(_ path: [NodePath.Step]) -> String { NodePath(path).description }

    private static func composite(_ path: [NodePath.Step], _ words: String) -> FieldError {
        .invalid(FieldError.rootPath, quoted: "", "\(FieldError.quoted(name(path))) must \(words)")
    }

    private static func branches(_ node: Node, _ logic: Node, _ path: [NodePath.Step], _ depth: Int) -> Result {
        var out = Result()
        if depth > deepest { return out }
        func best(_ results: [Result]) -> Result? { results.reduce(nil) { best, next in next.matches > (best?.matches ?? -1) ? next : best } }
        let any = logic["anyOf"].list
        if !any.isEmpty {
            let results = any.map { check(node, $0, path, depth + 1) }
            if let success = results.first(where: { $0.errors.isEmpty }) {
                out.merge(success)
            } else {
                out.errors.append(composite(path, "validate at least one schema (anyOf)"))
                if let best = best(results) { out.merge(best) }
            }
        }
        let one = logic["oneOf"].list
        if !one.isEmpty {
            let results = one.map { check(node, $0, path, depth + 1) }
            let valid = results.filter { $0.errors.isEmpty }
            if valid.count == 1 {
                out.merge(valid[0])
            } else {
                let words = valid.isEmpty ? "Found none valid" : "Found \(valid.count) valid alternatives"
                out.errors.append(composite(path, "validate one and only one schema (oneOf). \(words)"))
                if valid.isEmpty, let best = best(results) { out.merge(best) }
            }
        }
        let all = logic["allOf"].list
        if !all.isEmpty {
            let results = all.map { check(node, $0, path, depth + 1) }
            for result in results { out.merge(result) }
            let valid = results.filter { $0.errors.isEmpty }.count
            if valid != all.count { out.errors.append(composite(path, "validate all the schemas (allOf)\(valid == 0 ? ". None validated" : "")")) }
        }
        if case .map = logic["not"], check(node, logic["not"], path, depth + 1).errors.isEmpty {
            out.errors.append(composite(path, "not validate the schema (not)"))
        }
        if case .map(let fields) = node, !(logic["required"].isNull) { required(fields, logic, path, &out) }
        out.matches += 1
        return out
    }

    private static func required(_ fields: Fields, _ schema: Node, _ path: [NodePath.Step], _ out: inout Result) {
        for key in schema["required"].stringList {
            if fields.index(of: key) == nil { out.errors.append(.required(name(path + [.key(key)]))) } else { out.matches += 1 }
        }
    }

    /// One schema without structure: what it says of the value, and of the values within.
    private static func check(_ node: Node, _ schema: Node, _ path: [NodePath.Step], _ depth: Int) -> Result {
        var out = Result()
        if depth > deepest { return out }
        if let type = wanted(schema), !fits(node, type, schema) {
            let found = typeName(node)
            let words = "\(name(path)) in body must be of type \(type): \(FieldError.quoted(found))"
            out.errors.append(.typeInvalid(name(path), FieldError.quoted(found), words))
            out.errors += mistyped(node, schema, name(path))
            return out
        }
        out.errors += bounds(node, schema, name(path))
        out.matches += 1
        var rules = branches(node, schema.without("required"), path, depth)
        let own = Validation.findings(node, SchemaLogic.rules(schema), at: path)
        rules.errors += own
        if own.isEmpty { rules.matches += 1 }
        out.merge(rules)
        switch node {
        case .map(let fields):
            required(fields, schema, path, &out)
            let properties = schema["properties"]
            for (key, value) in fields {
                if properties.has(key) {
                    out.merge(check(value, properties[key], path + [.key(key)], depth + 1))
                } else if case .map = schema["additionalProperties"] {
                    out.merge(check(value, schema["additionalProperties"], path + [.key(key)], depth + 1))
                } else if schema["additionalProperties"] == .bool(false) {
                    out.errors.append(.invalid(name(path), quoted: "", "\(name(path)).\(key) in body is a forbidden property"))
                }
            }
        case .list(let items):
            if case .map = schema["items"] {
                for (index, item) in items.enumerated() { out.merge(check(item, schema["items"], path + [.index(index)], depth + 1)) }
            }
        default: break
        }
        return out
    }

    private static func wanted(_ schema: Node) -> String? {
        schema["x-kubernetes-int-or-string"].bool == true ? "integer,string" : schema["type"].string.flatMap { $0.isEmpty ? nil : $0 }
    }

    /// Upstream goes on with a value of the wrong type.
    static func mistyped(_ node: Node, _ schema: Node, _ place: String) -> [FieldError] {
        var out: [FieldError] = []
        if schema["type"].string == "integer", case .double = node { out.append(inexact("Checked", place)) }
        let allowed = schema["enum"].list
        if !allowed.isEmpty, !allowed.contains(node) {
            out.append(.notSupported(place, ObjectMeta.shown(node), supported: allowed.map { $0.string ?? $0.jsonText }))
        }
        return out
    }

    /// Bounds of integers are integers.
    private static func bounds(_ node: Node, _ schema: Node, _ place: String) -> [FieldError] {
        guard schema["type"].string == "integer", case .int = node else { return [] }
        return [("maximum", "Maximum boundary"), ("minimum", "Minimum boundary")].compactMap { key, words in
            guard case .double(let bound) = schema[key], bound != bound.rounded() else { return nil }
            return inexact(words, place)
        }
    }

    static func inexact(_ what: String, _ place: String) -> FieldError {
        .invalid(FieldError.rootPath, quoted: "", "\(what) value must be of type integer (default format) in \(place)")
    }

    private static func fits(_ node: Node, _ type: String, _ schema: Node) -> Bool {
        switch (type, node) {
        case (_, .null): schema["nullable"].bool == true
        case ("string", .string), ("boolean", .bool), ("integer", .int), ("number", .int), ("number", .double), ("array", .list), ("object", .map): true
        case ("integer", .double(let value)): value == value.rounded()
        case ("integer,string", .int), ("integer,string", .string): true
        default: false
        }
    }

    private static func typeName(_ node: Node) -> String {
        switch node {
        case .null: "null"
        case .bool: "boolean"
        case .int: "integer"
        case .double: "number"
        case .string: "string"
        case .list: "array"
        case .map: "object"
        }
    }

    private static func rules(_ schema: Node) -> Rules {
        var rules = Rules()
        rules.enumValues = schema["enum"].list
        rules.format = schema["format"].string ?? ""
        rules.pattern = schema["pattern"].string ?? ""
        rules.bounds = Bounds(schema)
        return rules
    }
}

/// Checks values against schemas as they are written, such as the defaults of a definition.
package enum SchemaCheck {
    package static func errors(_ value: Node, _ schema: Node, at place: String) -> [FieldError] {
        SchemaLogic.errors(value, schema: schema).map { $0.moved(to: place) }
    }
}

extension Node {
    fileprivate func without(_ key: String) -> Node {
        guard has(key) else { return self }
        var out = self
        out.remove(key)
        return out
    }
}
