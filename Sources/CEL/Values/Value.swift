package import Core
package import Tree

/// A value while an expression runs. Lists and maps of API objects stay the trees they are and are read in place.
package enum Value: Sendable {
    case null
    case bool(Bool)
    case int(Int64)
    case uint(UInt64)
    case double(Double)
    case string(String)
    case bytes([UInt8])
    case timestamp(Timestamp)
    /// In nanoseconds, as Go's.
    case duration(Int64)
    case list(ListValue)
    case map(MapValue)
    case type(CELType)
    case optional(OptionalValue)
    case opaque(any OpaqueValue)
    /// What a variable holds whose computing failed: using it fails.
    case failure(EvaluationError)
}

/// A value with methods of its own, such as a quantity or an address.
package protocol OpaqueValue: AnyObject, Sendable {
    var type: CELType { get }
    func equals(_ other: any OpaqueValue) -> Bool
    /// What the estimator counts as its size; nil for what has none.
    var size: Int? { get }
}

extension OpaqueValue { package var size: Int? { nil } }

/// A value or none.
package final class OptionalValue: Sendable {
    package let value: Value?
    package init(_ value: Value?) { self.value = value }
    package static let none = OptionalValue(nil)
}

/// Why an expression has no value.
package struct EvaluationError: Error, Sendable, CustomStringConvertible {
    package let message: String
    /// The budget is spent: `&&` and `||` cannot absorb it.
    package var isOverBudget = false
    package var description: String { message }

    package init(_ message: String) { self.message = message }
    private init(overBudget message: String) {
        self.message = message
        isOverBudget = true
    }

    package static let overBudget = EvaluationError(overBudget: "operation cancelled: actual cost limit exceeded")
    /// Arguments that no overload takes; whoever made the call says which.
    static let noOverload = EvaluationError("no such overload")
    static let divisionByZero = EvaluationError("division by zero")
    static let modulusByZero = EvaluationError("modulus by zero")
    static let intOverflow = EvaluationError("integer overflow")
    static let uintOverflow = EvaluationError("unsigned integer overflow")
    static let durationOverflow = EvaluationError("duration overflow")
    static let timestampOverflow = EvaluationError("timestamp overflow")
    static func noSuchKey(_ key: String) -> EvaluationError { EvaluationError("no such key: \(key)") }
}

extension Value {
    package static let `true` = Value.bool(true)
    package static let `false` = Value.bool(false)
    package static func list(_ values: [Value]) -> Value { .list(ListValue(values)) }
    package static func strings(_ values: [String]) -> Value { .list(ListValue(values.map(Value.string))) }
    package static func some(_ value: Value) -> Value { .optional(OptionalValue(value)) }
    package static let none = Value.optional(.none)

    /// A tree without a schema.
    package init(_ node: Node) { self.init(node, nil) }

    /// A tree, read by its schema: a string may be a time, an integer a floating-point number.
    package init(_ node: Node, _ schema: (any SchemaType)?) {
        switch node {
        case .null: self = .null
        case .bool(let value): self = .bool(value)
        case .int(let value):
            if let schema, case .scalar(.double) = schema.form { self = .double(Double(value)) } else { self = .int(value) }
        case .double(let value):
            if let schema, case .scalar(.int) = schema.form, let whole = Int64(exactly: value) { self = .int(whole) } else { self = .double(value) }
        case .string(let value): self = Value.read(value, schema)
        case .list(let items):
            if let schema, case .list(let element, let semantics) = schema.form {
                self = .list(ListValue(nodes: items, element: element, semantics: semantics))
            } else {
                self = .list(ListValue(nodes: items, element: nil, semantics: .atomic))
            }
        case .map(let fields): self = .map(MapValue(fields, schema))
        }
    }

    private static func read(_ text: String, _ schema: (any SchemaType)?) -> Value {
        guard let schema, case .scalar(let type) = schema.form else { return .string(text) }
        switch type {
        case .timestamp:
            if let time = TimeText.timestamp(text) { return .timestamp(time) }
            if let day = TimeText.timestamp("\(text)T00:00:00Z") { return .timestamp(day) }
            return .failure(EvaluationError("could not decode \(text) as a time"))
        case .duration:
            return TimeText.duration(text).map(Value.duration) ?? .failure(EvaluationError("could not decode \(text) as a duration"))
        case .bytes:
            return Base64.decode(text).map(Value.bytes) ?? .failure(EvaluationError("could not decode \(text) as bytes"))
        default: return .string(text)
        }
    }

    /// The value's type at run time; elements are not looked at.
    package var type: CELType {
        switch self {
        case .null: .null
        case .bool: .bool
        case .int: .int
        case .uint: .uint
        case .double: .double
        case .string: .string
        case .bytes: .bytes
        case .timestamp: .timestamp
        case .duration: .duration
        case .list: .list(.dyn)
        case .map(let map): map.objectName.map(CELType.object) ?? .map(.dyn, .dyn)
        case .type: .type(nil)
        case .optional: .optional(.dyn)
        case .opaque(let value): value.type
        case .failure: .error
        }
    }

    package var bool: Bool? { if case .bool(let value) = self { value } else { nil } }
    package var int: Int64? { if case .int(let value) = self { value } else { nil } }
    package var string: String? { if case .string(let value) = self { value } else { nil } }

    /// The value as a tree, for what is stored; nil for what JSON cannot say.
    package var node: Node? {
        switch self {
        case .null: return .null
        case .bool(let value): return .bool(value)
        case .int(let value): return .int(value)
        case .uint(let value): return Int64(exactly: value).map(Node.int) ?? .double(Double(value))
        case .double(let value): return .double(value)
        case .string(let value): return .string(value)
        case .bytes(let value): return .string(Base64.encode(value))
        case .timestamp(let value): return .string(TimeText.text(value))
        case .duration(let value): return .string(TimeText.text(duration: value))
        case .list(let list):
            if case .nodes(let items) = list.storage { return .list(items) }
            var out: [Node] = []
            for item in list {
                guard let node = item.node else { return nil }
                out.append(node)
            }
            return .list(out)
        case .map(let map):
            if case .fields(let fields) = map.storage { return .map(fields) }
            var out = Fields()
            for (key, value) in map {
                guard case .string(let name) = key, let node = value.node else { return nil }
                out[name] = node
            }
            return .map(out)
        case .optional(let inner): return inner.value.map(\.node) ?? .null
        case .opaque(let value as any TreeConvertible): return value.node
        case .type, .opaque, .failure: return nil
        }
    }
}

/// An opaque value that can be written into an object.
package protocol TreeConvertible: OpaqueValue {
    var node: Node { get }
}
