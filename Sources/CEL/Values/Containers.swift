package import Tree

/// A list: of a tree, or made by an expression.
package struct ListValue: Sendable {
    enum Storage: Sendable {
        case nodes([Node])
        case values([Value])
    }
    var storage: Storage
    let element: (any SchemaType)?
    var semantics: ListSemantics = .atomic

    package init(_ values: [Value]) {
        storage = .values(values)
        element = nil
    }
    package init(nodes: [Node], element: (any SchemaType)?, semantics: ListSemantics) {
        storage = .nodes(nodes)
        self.element = element
        self.semantics = semantics
    }

    package var count: Int {
        switch storage {
        case .nodes(let items): items.count
        case .values(let items): items.count
        }
    }

    package subscript(_ index: Int) -> Value {
        switch storage {
        case .nodes(let items): Value(items[index], element)
        case .values(let items): items[index]
        }
    }

    package var values: [Value] {
        switch storage {
        case .nodes(let items): items.map { Value($0, element) }
        case .values(let items): items
        }
    }

    /// Adds to a list that an expression builds; in place while nobody else holds it.
    mutating func append(_ added: [Value]) {
        var items = values
        storage = .values([])
        items.append(contentsOf: added)
        storage = .values(items)
    }
}

extension ListValue: Sequence {
    package func makeIterator() -> AnyIterator<Value> {
        var index = 0
        return AnyIterator {
            guard index < count else { return nil }
            defer { index += 1 }
            return self[index]
        }
    }
}

/// A map or an object: of a tree, or made by an expression.
package struct MapValue: Sendable {
    enum Storage: Sendable {
        case fields(Fields)
        case table(MapTable)
    }
    var storage: Storage
    /// Of a tree: what its schema says.
    let schema: (any SchemaType)?
    /// Of an object made by an expression.
    private let name: String?

    package init(_ fields: Fields, _ schema: (any SchemaType)?) {
        storage = .fields(fields)
        self.schema = schema
        name = nil
    }
    init(_ table: MapTable, objectName: String? = nil) {
        storage = .table(table)
        schema = nil
        name = objectName
    }

    /// An object that an expression made.
    package init(object name: String, _ fields: [(String, Value)]) {
        var table = MapTable()
        for (key, value) in fields { _ = table.insert(.string(key), value) }
        self.init(table, objectName: name)
    }

    /// A map whose lookups find `fallback` for any other key.
    package init(_ entries: [(String, Value)], fallback: Value? = nil) {
        var table = MapTable()
        for (key, value) in entries { _ = table.insert(.string(key), value) }
        table.fallback = fallback.map { OptionalValue($0) }
        self.init(table)
    }

    func contains(_ key: Value) -> Bool {
        if case .table(let table) = storage { table.index[MapKey(key)] != nil } else { find(key) != nil }
    }

    package var objectName: String? {
        if let name { return name }
        if let schema, case .object(let name) = schema.form { return name }
        return nil
    }

    package var count: Int {
        switch storage {
        case .fields(let fields): fields.count
        case .table(let table): table.keys.count
        }
    }

    private func schema(of key: String) -> (any SchemaType)? {
        guard let schema else { return nil }
        switch schema.form {
        case .map(let value): return value
        case .object: return schema.property(key)
        default: return nil
        }
    }

    private func dataName(_ key: String) -> String {
        if let schema, case .object = schema.form { FieldEscape.unescape(key) } else { key }
    }

    /// The value of a key as an expression writes it; nil for none.
    func find(_ key: Value) -> Value? {
        switch storage {
        case .fields(let fields):
            guard case .string(let text) = key else { return nil }
            let name = dataName(text)
            return fields[name].map { Value($0, schema(of: name)) }
        case .table(let table): return table.index[MapKey(key)].map { table.values[$0] } ?? table.fallback?.value
        }
    }

    package func find(_ key: String) -> Value? {
        if case .fields(let fields) = storage {
            let name = dataName(key)
            return fields[name].map { Value($0, schema(of: name)) }
        }
        return find(.string(key))
    }
}

extension MapValue: Sequence {
    package func makeIterator() -> AnyIterator<(Value, Value)> {
        var index = 0
        let isObject = objectName != nil
        return AnyIterator {
            guard index < count else { return nil }
            defer { index += 1 }
            switch storage {
            case .fields(let fields):
                let (key, value) = fields.entry(at: index)
                return (.string(isObject ? FieldEscape.escape(key) ?? key : key), Value(value, schema(of: key)))
            case .table(let table): return (table.keys[index], table.values[index])
            }
        }
    }
}

extension Fields {
    func entry(at index: Int) -> (String, Node) {
        let entry = storage[index]
        return (entry.key, entry.value)
    }
}

/// The entries of a map that an expression made, in the order made.
struct MapTable: Sendable {
    private(set) var keys: [Value] = []
    private(set) var values: [Value] = []
    private(set) var index: [MapKey: Int] = [:]
    /// What a lookup of a key finds that is not there; `in` does not.
    var fallback: OptionalValue?

    /// False when the key is there already.
    mutating func insert(_ key: Value, _ value: Value) -> Bool {
        let hashed = MapKey(key)
        if index[hashed] != nil { return false }
        index[hashed] = keys.count
        keys.append(key)
        values.append(value)
        return true
    }
}

/// A key by what it equals: whole numbers of any type are one key.
enum MapKey: Hashable {
    case bool(Bool)
    case int(Int64)
    case uint(UInt64)
    case double(Double)
    case string(String)
    case other

    init(_ value: Value) {
        switch value {
        case .bool(let value): self = .bool(value)
        case .int(let value): self = .int(value)
        case .uint(let value): self = Int64(exactly: value).map(MapKey.int) ?? .uint(value)
        case .double(let value): self = Int64(exactly: value).map(MapKey.int) ?? UInt64(exactly: value).map(MapKey.uint) ?? .double(value)
        case .string(let value): self = .string(value)
        default: self = .other
        }
    }
}
