/// A schema written in code: objects with fields of known types.
package final class FixedSchema: SchemaType {
    package let form: SchemaForm
    private let fields: [String: FixedSchema]
    package var largestSize: UInt64 { .max }

    package init(_ type: CELType) {
        form = .scalar(type)
        fields = [:]
    }
    package init(listOf element: FixedSchema) {
        form = .list(element, .atomic)
        fields = [:]
    }
    package init(mapOf value: FixedSchema) {
        form = .map(value)
        fields = [:]
    }
    package init(object name: String, _ fields: [String: FixedSchema]) {
        form = .object(name: name)
        self.fields = fields
    }
    package static let string = FixedSchema(.string)
    package static let dyn = FixedSchema(.dyn)

    package func property(_ name: String) -> (any SchemaType)? { fields[name] }
    package var propertyNames: [String] { Array(fields.keys) }
}
