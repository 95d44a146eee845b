/// What an expression may refer to: variables with their types, objects with declared fields, functions.
package struct Environment: Sendable {
    /// In the order in which evaluation gets their values.
    package private(set) var variables: [(name: String, type: CELType)] = []
    private var schemas: [String: any SchemaType] = [:]
    /// The schema of a variable's value: sizes are estimated by it.
    private(set) var variableSchemas: [String: any SchemaType] = [:]
    /// Objects that expressions may make (`Object{…}`), by name.
    private var makers: (@Sendable (String) -> (any ObjectMaker)?)?
    var functions: FunctionTable
    /// Whether `cel.bind` is a macro.
    private(set) var bindsNames = false

    package init(functions: FunctionTable) { self.functions = functions }

    /// The language with every library of this target.
    package static let standard = Environment(functions: Environment.standardFunctions)

    private static let standardFunctions: FunctionTable = {
        var table = FunctionTable()
        for library in Environment.libraries { library.declare(&table) }
        return table
    }()

    private static let libraries: [any FunctionLibrary.Type] = [
        OperatorLibrary.self, ConversionLibrary.self, TextLibrary.self, TimeLibrary.self, StringsLibrary.self, ListsLibrary.self, SetsLibrary.self,
        PatternLibrary.self, URLLibrary.self, AddressLibrary.self, SemverLibrary.self, OptionalLibrary.self, AuthorizerLibrary.self,
    ]

    package func adding(_ library: any FunctionLibrary.Type) -> Environment {
        var out = self
        library.declare(&out.functions)
        return out
    }

    package func declaring(_ name: String, _ type: CELType) -> Environment {
        var out = self
        out.variables.removeAll { $0.name == name }
        out.variables.append((name, type))
        return out
    }

    /// A variable whose value a schema describes.
    package func declaring(_ name: String, _ schema: any SchemaType) -> Environment {
        var out = declaring(name, schema.celType)
        out.variableSchemas[name] = schema
        out.learn(schema, depth: 0)
        return out
    }

    /// The language with the macro `cel.bind`.
    package func bindingNames() -> Environment {
        var out = self
        out.bindsNames = true
        return out
    }

    package func making(_ makers: @escaping @Sendable (String) -> (any ObjectMaker)?) -> Environment {
        var out = self
        out.makers = makers
        return out
    }

    func maker(_ name: String) -> (any ObjectMaker)? { makers?(name) }

    /// Objects inside a schema are found on the way when the checker asks; their names are kept for it here.
    private mutating func learn(_ schema: any SchemaType, depth: Int) {
        switch schema.form {
        case .scalar, .dyn: return
        case .list(let element, _): learn(element, depth: depth + 1)
        case .map(let value): learn(value, depth: depth + 1)
        case .object(let name):
            guard schemas[name] == nil else { return }
            schemas[name] = schema
            for property in schema.propertyNames { if let inner = schema.property(property) { learn(inner, depth: depth + 1) } }
        }
    }

    // MARK: Lookups

    func variable(_ name: String) -> (index: Int, type: CELType)? {
        variables.firstIndex { $0.name == name }.map { ($0, variables[$0].type) }
    }

    /// A name that stands for a type: `int`, `google.protobuf.Timestamp`.
    func typeNamed(_ name: String) -> CELType? {
        switch name {
        case "bool": .bool
        case "int": .int
        case "uint": .uint
        case "double": .double
        case "string": .string
        case "bytes": .bytes
        case "null_type": .null
        case "list": .list(.dyn)
        case "map": .map(.dyn, .dyn)
        case "type": .type(nil)
        case "google.protobuf.Timestamp": .timestamp
        case "google.protobuf.Duration": .duration
        case "optional_type": .optional(.dyn)
        case "net.IP", "net.CIDR", "kubernetes.URL", "kubernetes.Quantity", "kubernetes.Semver", "kubernetes.NamedFormat": .opaque(name, [])
        default: schemas[name] != nil || maker(name) != nil ? .object(name) : nil
        }
    }

    /// The type of an object's field as expressions write it.
    func fieldType(_ type: String, _ field: String) -> CELType? {
        if let schema = schemas[type] {
            let name = FieldEscape.unescape(field)
            guard FieldEscape.escape(name) == field else { return nil }
            return schema.property(name)?.celType
        }
        return maker(type)?.fieldType(field)
    }
}

/// Lets expressions make objects of a type: what a mutating policy's result is.
package protocol ObjectMaker: Sendable {
    func fieldType(_ name: String) -> CELType?
    /// The value of a finished object.
    func make(_ fields: [(String, Value)]) throws -> Value
}
