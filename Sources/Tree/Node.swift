/// A value of the API: what JSON can say, with integers kept apart from floating point.
///
/// It knows no schema. Reading a path that is not there gives `.null`, so `pod["spec"]["nodeName"].string` is nil for an
/// unscheduled pod; writing makes the maps on the way. `.null` in a map and an absent key differ: ask `has`.
package enum Node: Sendable {
    case null
    case bool(Bool)
    case int(Int64)
    case double(Double)
    case string(String)
    case list([Node])
    case map(Fields)

    package static let emptyMap = Node.map(Fields())
}

// MARK: - Reading

extension Node {
    package var isNull: Bool { if case .null = self { true } else { false } }
    package var bool: Bool? { if case .bool(let value) = self { value } else { nil } }
    package var int: Int64? { if case .int(let value) = self { value } else { nil } }
    package var string: String? { if case .string(let value) = self { value } else { nil } }
    package var double: Double? {
        switch self {
        case .double(let value): value
        case .int(let value): Double(value)
        default: nil
        }
    }
    /// The elements; empty for anything that is no list.
    package var list: [Node] { if case .list(let value) = self { value } else { [] } }
    /// The fields; empty for anything that is no map.
    package var fields: Fields { if case .map(let value) = self { value } else { Fields() } }
    /// Null, "", [], {}, 0 and false: what Go's `omitempty` leaves out.
    package var isEmpty: Bool {
        switch self {
        case .null: true
        case .bool(let value): !value
        case .int(let value): value == 0
        case .double(let value): value == 0
        case .string(let value): value.isEmpty
        case .list(let value): value.isEmpty
        case .map(let value): value.isEmpty
        }
    }

    package func has(_ key: String) -> Bool {
        if case .map(let fields) = self { fields.index(of: key) != nil } else { false }
    }

    /// A map of strings, as labels, annotations and selectors are. Other values are left out.
    package var stringMap: [String: String] {
        guard case .map(let fields) = self else { return [:] }
        var out: [String: String] = [:]
        out.reserveCapacity(fields.count)
        for (key, value) in fields { if case .string(let text) = value { out[key] = text } }
        return out
    }

    package var stringList: [String] { list.compactMap(\.string) }
}

// MARK: - Paths

extension Node {
    /// The value at a key. Writing to a `.null` makes a map of it; writing `.null` removes the key.
    package subscript(_ key: String) -> Node {
        get {
            guard case .map(let fields) = self else { return .null }
            return fields[key] ?? .null
        }
        _modify {
            var fields: Fields
            if case .map(let existing) = self { fields = existing } else { fields = Fields() }
            self = .null  // keep one reference, so that the edit happens in place
            let index = fields.index(of: key)
            var value = Node.null
            if let index { swap(&value, &fields.storage[index].value) }
            defer {
                if case .null = value {
                    if let index { fields.storage.remove(at: index) }
                } else if let index {
                    fields.storage[index].value = value
                } else {
                    fields.storage.append(.init(key: key, value: value))
                }
                self = .map(fields)
            }
            yield &value
        }
    }

    package subscript(_ index: Int) -> Node {
        get {
            guard case .list(let items) = self, items.indices.contains(index) else { return .null }
            return items[index]
        }
        _modify {
            guard case .list(var items) = self else { preconditionFailure("element \(index) of what is no list") }
            self = .null
            defer { self = .list(items) }
            yield &items[index]
        }
    }

    /// Sets a key to an explicit null, which the subscript would remove.
    package mutating func setNull(_ key: String) {
        var fields = self.fields
        fields[key] = .null
        self = .map(fields)
    }

    package mutating func remove(_ key: String) {
        guard case .map(var fields) = self else { return }
        self = .null
        fields.remove(key)
        self = .map(fields)
    }

    package mutating func append(_ item: Node) {
        guard case .list(var items) = self else {
            self = .list([item])
            return
        }
        self = .null
        items.append(item)
        self = .list(items)
    }
}

// MARK: - Literals

extension Node: ExpressibleByStringLiteral, ExpressibleByStringInterpolation, ExpressibleByIntegerLiteral, ExpressibleByBooleanLiteral,
    ExpressibleByArrayLiteral, ExpressibleByDictionaryLiteral
{
    package init(stringLiteral value: String) { self = .string(value) }
    package init(integerLiteral value: Int64) { self = .int(value) }
    package init(booleanLiteral value: Bool) { self = .bool(value) }
    package init(arrayLiteral elements: Node...) { self = .list(elements) }
    package init(dictionaryLiteral elements: (String, Node)...) {
        self = .map(Fields(elements))
    }

    /// A map of strings in key order, as labels are.
    package init(_ strings: [String: String]) {
        self = .map(Fields(strings.sorted { $0.key < $1.key }.map { ($0.key, .string($0.value)) }))
    }
    package init(_ strings: [String]) { self = .list(strings.map(Node.string)) }
    /// A string, or null for nil.
    package init(_ string: String?) { self = string.map(Node.string) ?? .null }
    package init(_ int: Int?) { self = int.map { .int(Int64($0)) } ?? .null }
}

// MARK: - Equality

/// Maps are equal whatever the order of their keys; an integer equals a floating-point number of the same value.
extension Node: Hashable {
    package static func == (a: Node, b: Node) -> Bool {
        switch (a, b) {
        case (.null, .null): true
        case (.bool(let x), .bool(let y)): x == y
        case (.int(let x), .int(let y)): x == y
        case (.double(let x), .double(let y)): x == y
        case (.int(let x), .double(let y)), (.double(let y), .int(let x)): Double(x) == y
        case (.string(let x), .string(let y)): x == y
        case (.list(let x), .list(let y)): x == y
        case (.map(let x), .map(let y)): x == y
        default: false
        }
    }

    package func hash(into hasher: inout Hasher) {
        switch self {
        case .null: hasher.combine(0)
        case .bool(let value): hasher.combine(value)
        case .int(let value): hasher.combine(Double(value))
        case .double(let value): hasher.combine(value)
        case .string(let value): hasher.combine(value)
        case .list(let value): hasher.combine(value)
        case .map(let value): hasher.combine(value.count)
        }
    }
}
