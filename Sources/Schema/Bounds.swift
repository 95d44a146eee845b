package import Tree

/// How large, long or many a value may be.
package struct Bounds: Sendable, Equatable, Emptiable {
    package var minimum: Double?
    package var maximum: Double?
    package var exclusiveMinimum = false
    package var exclusiveMaximum = false
    package var multipleOf: Double?
    package var minLength: Int?
    package var maxLength: Int?
    package var minItems: Int?
    package var maxItems: Int?
    package var minProperties: Int?
    package var maxProperties: Int?
    package var uniqueItems = false

    package init() {}

    /// Those of a JSON schema.
    package init(_ schema: Node) {
        minimum = schema["minimum"].double
        maximum = schema["maximum"].double
        exclusiveMinimum = schema["exclusiveMinimum"].bool ?? false
        exclusiveMaximum = schema["exclusiveMaximum"].bool ?? false
        multipleOf = schema["multipleOf"].double
        minLength = schema["minLength"].int.map { Int($0) }
        maxLength = schema["maxLength"].int.map { Int($0) }
        minItems = schema["minItems"].int.map { Int($0) }
        maxItems = schema["maxItems"].int.map { Int($0) }
        minProperties = schema["minProperties"].int.map { Int($0) }
        maxProperties = schema["maxProperties"].int.map { Int($0) }
        uniqueItems = schema["uniqueItems"].bool ?? false
    }
}

/// What a custom resource's schema says in JSON that is kept as it was written.
package struct WrittenRules: Sendable, Equatable, Emptiable {
    /// `oneOf`, `anyOf`, `allOf` and `not`.
    package var logic: Node?
    /// `x-kubernetes-validations`, for documents only: what runs is compiled from the definition.
    package var validations: Node?
    /// Facts for documents only: `title`, `externalDocs`, `example`.
    package var documents: Node?

    package init() {}
}

/// What can say nothing at all.
package protocol Emptiable: Equatable, Sendable {
    init()
}

/// A value that few have: one word where it says nothing, since there are thousands of rules.
@propertyWrapper
package struct Seldom<Value: Emptiable>: Equatable, Sendable {
    private indirect enum Place: Equatable, Sendable { case value(Value) }
    private var place: Place?

    package init(wrappedValue: Value) { self.wrappedValue = wrappedValue }

    package var wrappedValue: Value {
        get { if case .value(let value) = place { value } else { Value() } }
        set { place = newValue == Value() ? nil : .value(newValue) }
    }
}
