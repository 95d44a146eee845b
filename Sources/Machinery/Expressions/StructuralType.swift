package import CEL
package import Tree

/// A custom resource's schema as the expression language sees it. Built once from the schema's text; what the language cannot see
/// (unknown fields, untyped lists) is left out.
package final class StructuralType: SchemaType {
    package let form: SchemaForm
    package let largestSize: UInt64
    /// The least bytes that a value takes in JSON: what bounds how often it can occur in one request.
    package let smallestText: UInt64
    private let properties: [String: StructuralType]
    let element: StructuralType?

    package func property(_ name: String) -> (any SchemaType)? { properties[name] }
    package var propertyNames: [String] { Array(properties.keys) }
    func field(_ name: String) -> StructuralType? { properties[name] }

    private static let largestRequest: UInt64 = 3 * 1024 * 1024
    private static let deepest = 100

    /// Nil for a schema that no expression can see.
    package static func make(_ schema: Node, isResource: Bool, name: String) -> StructuralType? { make(schema, isResource, name, 0) }

    private static func make(_ schema: Node, _ isResource: Bool, _ name: String, _ depth: Int) -> StructuralType? {
        if depth > deepest { return nil }
        if schema["x-kubernetes-int-or-string"].bool == true {
            return StructuralType(.dyn, size: textSize(schema, isIntOrString: true), text: 1)
        }
        switch schema["type"].string {
        case "array": return list(schema, name, depth)
        case "object": return object(isResource ? withMetadata(schema) : schema, name, depth)
        case "string": return string(schema)
        case "boolean": return StructuralType(.scalar(.bool), size: 0, text: 4)
        case "number": return StructuralType(.scalar(.double), size: 0, text: 1)
        case "integer": return StructuralType(.scalar(.int), size: 0, text: 1)
        default: return nil
        }
    }

    private init(
        _ form: SchemaForm, size: UInt64, text: UInt64, properties: [String: StructuralType] = [:], element: StructuralType? = nil
    ) {
        self.form = form
        largestSize = size
        smallestText = text
        self.properties = properties
        self.element = element
    }

    private static func limit(_ node: Node) -> UInt64? { node.int.map { UInt64(max(0, $0)) } }

    private static func list(_ schema: Node, _ name: String, _ depth: Int) -> StructuralType? {
        let items = schema["items"]
        guard !items.isNull, let element = make(items, items["x-kubernetes-embedded-resource"].bool == true, "\(name).@idx", depth + 1) else { return nil }
        let size = limit(schema["maxItems"]) ?? (largestRequest - 2) / (element.smallestText + 1)
        let semantics: ListSemantics =
            switch schema["x-kubernetes-list-type"].string {
            case "set": .set
            case "map": .map(keys: schema["x-kubernetes-list-map-keys"].stringList)
            default: .atomic
            }
        return StructuralType(.list(element, semantics), size: size, text: 2, element: element)
    }

    private static func object(_ schema: Node, _ name: String, _ depth: Int) -> StructuralType? {
        let values = schema["additionalProperties"]
        if case .map = values {
            guard let element = make(values, values["x-kubernetes-embedded-resource"].bool == true, "\(name).@elem", depth + 1) else { return nil }
            let size = limit(schema["maxProperties"]) ?? (largestRequest - 2) / (element.smallestText + 6)
            return StructuralType(.map(element), size: size, text: 2, element: element)
        }
        let required = Set(schema["required"].stringList)
        var properties: [String: StructuralType] = [:]
        var text: UInt64 = 2
        for (key, property) in schema["properties"].fields {
            guard let type = make(property, property["x-kubernetes-embedded-resource"].bool == true, "\(name).\(key)", depth + 1) else { continue }
            if FieldEscape.escape(key) != nil { properties[key] = type }
            if required.contains(key), !property.has("default") { text += UInt64(key.utf8.count) + type.smallestText + 4 }
        }
        return StructuralType(.object(name: name), size: 0, text: text, properties: properties)
    }

    private static func string(_ schema: Node) -> StructuralType {
        switch schema["format"].string {
        case "byte": StructuralType(.scalar(.bytes), size: limit(schema["maxLength"]) ?? largestRequest - 2, text: 2)
        case "duration": StructuralType(.scalar(.duration), size: 32, text: 3)
        case "date": StructuralType(.scalar(.timestamp), size: 12, text: 12)
        case "date-time": StructuralType(.scalar(.timestamp), size: 32, text: 21)
        default: StructuralType(.scalar(.string), size: textSize(schema, isIntOrString: false), text: 2)
        }
    }

    /// Lengths count code points, sizes bytes.
    private static func textSize(_ schema: Node, isIntOrString: Bool) -> UInt64 {
        if let length = limit(schema["maxLength"]) {
            let (size, over) = length.multipliedReportingOverflow(by: 4)
            return over ? .max : size
        }
        let allowed = schema["enum"].list
        if !isIntOrString, !allowed.isEmpty { return UInt64(allowed.compactMap { $0.string?.utf8.count }.max() ?? 0) }
        return largestRequest - 2
    }

    /// Every object has a version, a kind and a name, said or not.
    private static func withMetadata(_ schema: Node) -> Node {
        var out = schema
        let text: Node = ["type": "string"]
        out["properties"]["apiVersion"] = text
        out["properties"]["kind"] = text
        out["properties"]["metadata"] = ["type": "object", "properties": ["name": text, "generateName": text]]
        return out
    }
}
