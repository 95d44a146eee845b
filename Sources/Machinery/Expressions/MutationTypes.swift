package import CEL
import Tree

/// The objects that mutating policies make: `Object{…}` with whatever fields, and `JSONPatch{…}`.
package enum MutationTypes {
    package static let object = CELType.object("Object")
    package static let patches = CELType.list(.object("JSONPatch"))

    static let maker: @Sendable (String) -> (any ObjectMaker)? = { name in
        if name == "JSONPatch" { return PatchMaker() }
        return name == "Object" || name.hasPrefix("Object.") ? AnyObjectMaker(name: name) : nil
    }

    private struct AnyObjectMaker: ObjectMaker {
        let name: String
        func fieldType(_ field: String) -> CELType? { .dyn }
        func make(_ fields: [(String, Value)]) -> Value { .map(MapValue(object: name, fields)) }
    }

    private struct PatchMaker: ObjectMaker {
        func fieldType(_ field: String) -> CELType? {
            switch field {
            case "op", "path", "from": .string
            case "value": .dyn
            default: nil
            }
        }
        func make(_ fields: [(String, Value)]) -> Value { .map(MapValue(object: "JSONPatch", fields)) }
    }

    /// Objects must be named after the fields that they are the values of: `Object.spec` at `spec`.
    package static func mismatches(_ value: Value) -> [String] {
        var out: [String] = []
        check(value, "Object", &out)
        return out
    }

    private static func check(_ value: Value, _ name: String, _ out: inout [String]) {
        switch value {
        case .map(let map):
            if let own = map.objectName {
                if own != name {
                    out.append(
                        "unexpected type name \(FieldError.quoted(own)), expected \(FieldError.quoted(name)), which matches field name path from root Object type")
                }
                for (key, item) in map { check(item, key.string.map { "\(name).\($0)" } ?? name, &out) }
            } else {
                for (_, item) in map { check(item, name, &out) }
            }
        case .list(let list): for item in list { check(item, name, &out) }
        default: return
        }
    }
}
