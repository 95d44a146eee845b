/// One signature of a function, and what it does.
package struct Overload: Sendable {
    package typealias Body = @Sendable ([Value]) throws -> Value

    package let id: String
    /// Called on its first argument: `x.f(y)`.
    package let isMember: Bool
    package let arguments: [CELType]
    package let result: CELType
    let body: Body
    let parameters: Set<String>

    package init(_ id: String, isMember: Bool = false, _ arguments: [CELType], _ result: CELType, _ body: @escaping Body) {
        self.id = id
        self.isMember = isMember
        self.arguments = arguments
        self.result = result
        self.body = body
        parameters = arguments.reduce(into: result.parameters) { $0.formUnion($1.parameters) }
    }

    /// Whether values at run time are of its types, elements aside.
    func accepts(_ values: [Value]) -> Bool {
        guard values.count == arguments.count else { return false }
        for (value, type) in zip(values, arguments) where !Overload.fits(value, type) { return false }
        return true
    }

    private static func fits(_ value: Value, _ type: CELType) -> Bool {
        switch (type, value) {
        case (.dyn, _), (.parameter, _), (.error, _): true
        case (.null, .null), (.bool, .bool), (.int, .int), (.uint, .uint), (.double, .double), (.string, .string), (.bytes, .bytes): true
        case (.timestamp, .timestamp), (.duration, .duration), (.list, .list), (.map, .map), (.type, .type): true
        case (.opaque("optional_type", _), .optional): true
        case (.opaque(let name, _), .opaque(let opaque)): opaque.type.name == name
        case (.object(let name), .map(let map)): map.objectName == name
        default: false
        }
    }
}

/// The functions that expressions may call, by name.
package struct FunctionTable: Sendable {
    private(set) var overloads: [String: [Overload]] = [:]

    package init() {}

    package mutating func add(_ name: String, _ overload: Overload) { overloads[name, default: []].append(overload) }

    package mutating func global(_ name: String, _ id: String, _ arguments: [CELType], _ result: CELType, _ body: @escaping Overload.Body) {
        add(name, Overload(id, arguments, result, body))
    }
    package mutating func member(_ name: String, _ id: String, _ arguments: [CELType], _ result: CELType, _ body: @escaping Overload.Body) {
        add(name, Overload(id, isMember: true, arguments, result, body))
    }
}

/// A set of functions that belong together.
package protocol FunctionLibrary: Sendable {
    static func declare(_ table: inout FunctionTable)
}

extension [Value] {
    // What bodies read their arguments with: an argument of another type means that no overload fits.
    package func string(_ index: Int) throws(EvaluationError) -> String {
        guard case .string(let value) = self[index] else { throw .noOverload }
        return value
    }
    package func int(_ index: Int) throws(EvaluationError) -> Int64 {
        guard case .int(let value) = self[index] else { throw .noOverload }
        return value
    }
    package func list(_ index: Int) throws(EvaluationError) -> ListValue {
        guard case .list(let value) = self[index] else { throw .noOverload }
        return value
    }
    package func map(_ index: Int) throws(EvaluationError) -> MapValue {
        guard case .map(let value) = self[index] else { throw .noOverload }
        return value
    }
    package func opaque<T: OpaqueValue>(_ index: Int, _ type: T.Type = T.self) throws(EvaluationError) -> T {
        guard case .opaque(let value) = self[index], let value = value as? T else { throw .noOverload }
        return value
    }
    package func optional(_ index: Int) throws(EvaluationError) -> OptionalValue {
        guard case .optional(let value) = self[index] else { throw .noOverload }
        return value
    }
}
