/// Names a message of one `Graph`; ids of different graphs do not mix.
package struct MessageID: Hashable, Sendable {
    package let raw: Int32
    package init(_ raw: Int32) { self.raw = raw }
    package init(_ raw: Int) { self.raw = Int32(truncatingIfNeeded: raw) }
}

/// Names what the items of a list or the values of a map are: ask `graph[element]`.
package struct ElementID: Hashable, Sendable {
    package let raw: Int32
    package init(_ raw: Int) { self.raw = Int32(truncatingIfNeeded: raw) }
}

/// What a value looks like in JSON. Plain bits: switching over it neither retains nor allocates.
package enum Shape: Hashable, Sendable {
    case scalar(Scalar)
    case message(MessageID)
    case list(ElementID)
    /// A map whose keys are strings.
    case map(ElementID)
}

/// The leaves of the graph: each has one JSON form and one protobuf form, and no fields that a walk would enter.
package enum Scalar: UInt8, Hashable, Sendable, CaseIterable {
    case string, bool, int32, int64, double
    /// Base64 in JSON.
    case bytes
    /// A quantity with its suffix as text, also written as a bare number; protobuf `{1: string}`.
    case quantity
    /// Protobuf `{1: 0 for a number or 1 for text, 2: int32, 3: string}`.
    case intOrString
    /// RFC 3339 to the second, null for the zero time; protobuf `{1: seconds, 2: nanoseconds, which are dropped}`.
    case time
    /// RFC 3339 with six decimals; protobuf as `time`, with nanoseconds.
    case microTime
    /// Go's duration text (`1h30m`); protobuf `{1: nanoseconds}`.
    case duration
    /// Any JSON object; protobuf `{1: bytes}`.
    case rawExtension
    /// The set of owned fields, a JSON object kept as it is; protobuf `{1: bytes}`.
    case fieldsV1
    /// Any JSON value; protobuf `{1: JSON text}`.
    case json
    /// A JSON schema or a boolean; protobuf `{1: bool, 2: JSONSchemaProps}`.
    case schemaOrBool
    /// A JSON schema or a list of them; protobuf `{1: JSONSchemaProps, 2: [JSONSchemaProps]}`.
    case schemaOrArray
    /// A JSON schema or a list of strings; protobuf `{1: JSONSchemaProps, 2: [string]}`.
    case schemaOrStringArray
}

/// When a field is written, which is Go's: pointers and JSON options decide it.
package enum Presence: UInt8, Hashable, Sendable {
    /// A pointer: written whenever it is there, also when it holds zero; never otherwise.
    case pointer
    /// A pointer without `omitempty`: JSON writes null when it is not there; protobuf leaves it out.
    case pointerOrNull
    /// A plain value: JSON leaves out zero, "" and empty lists and maps; protobuf writes scalars all the same.
    case omitEmpty
    /// A plain value that is always written. When it is absent JSON has its zero: "", 0, false, "0" for a quantity, 0 for
    /// an integer or string, null for a time, raw object, list, map or byte string, and for a message an object with its own
    /// such fields.
    case always
    /// A plain message or time that JSON leaves out when it is zero; protobuf writes it all the same.
    case omitZero
}
