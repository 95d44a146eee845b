/// The type of an expression, as the checker knows it.
package indirect enum CELType: Hashable, Sendable {
    case dyn
    /// What an expression with an issue has: fits everything, so that one mistake is told once.
    case error
    case null, bool, int, uint, double, string, bytes, timestamp, duration
    case list(CELType)
    case map(CELType, CELType)
    /// An object with declared fields, by its name.
    case object(String)
    /// A value with methods only.
    case opaque(String, [CELType])
    case parameter(String)
    case type(CELType?)

    package static func optional(_ value: CELType) -> CELType { .opaque("optional_type", [value]) }
    static let stringMap = CELType.map(.string, .dyn)

    var optionalValue: CELType? {
        if case .opaque("optional_type", let parameters) = self, parameters.count == 1 { parameters[0] } else { nil }
    }

    var isDynOrError: Bool { self == .dyn || self == .error }

    /// The name that `type(x)` prints and messages about values use.
    var name: String {
        switch self {
        case .dyn: "dyn"
        case .error: "error"
        case .null: "null_type"
        case .bool: "bool"
        case .int: "int"
        case .uint: "uint"
        case .double: "double"
        case .string: "string"
        case .bytes: "bytes"
        case .timestamp: "google.protobuf.Timestamp"
        case .duration: "google.protobuf.Duration"
        case .list: "list"
        case .map: "map"
        case .object(let name), .opaque(let name, _), .parameter(let name): name
        case .type: "type"
        }
    }

    /// The names of the type parameters within.
    var parameters: Set<String> {
        switch self {
        case .parameter(let name): [name]
        case .list(let element): element.parameters
        case .map(let key, let value): key.parameters.union(value.parameters)
        case .opaque(_, let inner): inner.reduce(into: []) { $0.formUnion($1.parameters) }
        case .type(let inner?): inner.parameters
        default: []
        }
    }
}

extension CELType: CustomStringConvertible {
    /// As the checker's messages write types.
    package var description: String {
        switch self {
        case .error: "!error!"
        case .null: "null"
        case .timestamp: "timestamp"
        case .duration: "duration"
        case .list(let element): "list(\(element))"
        case .map(let key, let value): "map(\(key), \(value))"
        case .opaque(let name, let inner) where !inner.isEmpty: "\(name)(\(inner.map(\.description).joined(separator: ", ")))"
        case .type(let inner?): "type(\(inner))"
        default: name
        }
    }
}
