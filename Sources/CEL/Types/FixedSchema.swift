/// A schema written in code: objects with fields of known types.
package final class FixedSchema: SchemaType {
    package let form: SchemaForm
    private let fields: [String: FixedSchema]
    package let largestSize: UInt64
    package let largestKey: UInt64
    package let boundsEntries: Bool

    package init(_ type: CELType, largest: UInt64 = .max) {
        form = type == .dyn ? .dyn : .scalar(type)
        fields = [:]
        (largestSize, largestKey, boundsEntries) = (largest, 0, false)
    }
    package init(listOf element: FixedSchema) {
        form = .list(element, .atomic)
        fields = [:]
        (largestSize, largestKey, boundsEntries) = (.max, 0, false)
    }
    package init(mapOf value: FixedSchema, largest: UInt64 = .max, largestKey: UInt64 = 0, boundsEntries: Bool = false) {
        form = .map(value)
        fields = [:]
        (largestSize, self.largestKey, self.boundsEntries) = (largest, largestKey, boundsEntries)
    }
    package init(object name: String, _ fields: [String: FixedSchema]) {
        form = .object(name: name)
        self.fields = fields
        (largestSize, largestKey, boundsEntries) = (.max, 0, false)
    }
    package static let string = FixedSchema(.string)
    package static let dyn = FixedSchema(.dyn)

    package func property(_ name: String) -> (any SchemaType)? { fields[name] }
    package var propertyNames: [String] { Array(fields.keys) }
}
