import Tree

/// What a type token says.
struct TypeUse {
    var shape: Shape
    var flags: Field.Flags = []
    var isPointer = false
    var enumValues: [Node] = []
    /// `v1.Protocol`, of enumerations open and closed.
    var typeName = ""

    /// Whether Go has a struct here, which `omitempty` never leaves out.
    var isStruct: Bool {
        switch shape {
        case .message: true
        case .list, .map: false
        case .scalar(let scalar):
            switch scalar {
            case .string, .bool, .int32, .int64, .double, .bytes: false
            default: true
            }
        }
    }
}

// MARK: - Field lines

extension SchemaText {
    mutating func readTypeLine() throws(SchemaError) {
        let nameToken = try need("field name")
        if nameToken.count == 1, bytes[nameToken.lowerBound] == UInt8(ascii: "=") { return try readPathDefault() }
        let isInline = nameToken.count == 1 && bytes[nameToken.lowerBound] == UInt8(ascii: "-")
        let tag = try tag(try need("protobuf tag"))
        let use = try type(try need("type"))
        let name = isInline ? "" : string(nameToken)
        let said = try attributes(of: use, field: name)
        if said.flags.contains(.inline) != isInline { throw fail("a field is named '-' if and only if it is inline") }
        let presence = said.presence ?? (use.isPointer ? .pointer : use.isStruct ? .always : .omitEmpty)
        open?.draft.fields.append(
            Field(name: name, shape: use.shape, tag: tag, presence: presence, flags: use.flags.union(said.flags), rulesID: said.rulesID))
    }

    private mutating func readPathDefault() throws(SchemaError) {
        let path = string(try need("path")).split(separator: ".").map(String.init)
        let value = try value(try need("value"))
        open?.defaults.append(.init(path: path, value: value))
    }

    private mutating func tag(_ token: Token) throws(SchemaError) -> Int32 {
        if token.count == 1, bytes[token.lowerBound] == UInt8(ascii: "-") { return 0 }
        guard let tag = integer(token), tag > 0, tag < 1 << 12 else { throw fail("protobuf tag or '-' expected, not '\(string(token))'") }
        return Int32(tag)
    }

    func integer(_ token: Token) -> Int? {
        var value = 0
        var digits = token
        let negative = token.first.map { bytes[$0] == UInt8(ascii: "-") } ?? false
        if negative { digits = digits.dropFirst() }
        guard !digits.isEmpty, digits.count < 19 else { return nil }
        for index in digits {
            guard bytes[index] >= UInt8(ascii: "0"), bytes[index] <= UInt8(ascii: "9") else { return nil }
            value = value * 10 + Int(bytes[index] - UInt8(ascii: "0"))
        }
        return negative ? -value : value
    }
}

// MARK: - Attributes

extension SchemaText {
    struct Attributes {
        var presence: Presence?
        var flags: Field.Flags = []
        var rules = Rules()
        /// Says something of this very field, so that an equal line elsewhere may not share it.
        var isOwn = false
    }

    /// What attributes come to. Most lines have none or those of many others, which are read once.
    struct AttributeUse {
        var presence: Presence?
        var flags: Field.Flags
        var rulesID: RulesID
    }

    private mutating func attributes(of use: TypeUse, field: String) throws(SchemaError) -> AttributeUse {
        skipSpaces()
        if cursor == lineEnd { return AttributeUse(flags: [], rulesID: namedRules(use)) }
        let key = Interner.hash(bytes, cursor..<lineEnd)
        if use.typeName.isEmpty, let known = sharedAttributes[key] {
            cursor = lineEnd
            return known
        }
        var attributes = Attributes()
        try readAttributes(&attributes, field: field)
        attributes.rules.enumValues = use.enumValues
        attributes.rules.typeName = use.typeName
        let said = AttributeUse(presence: attributes.presence, flags: attributes.flags, rulesID: builder.add(attributes.rules))
        if use.typeName.isEmpty, !attributes.isOwn { sharedAttributes[key] = said }
        return said
    }

    /// The rules of a type alone, the same for all its uses.
    private mutating func namedRules(_ use: TypeUse) -> RulesID {
        if use.typeName.isEmpty { return .none }
        let key = "\(version.qualifier) \(use.typeName)"
        if let known = typeRules[key] { return known }
        var rules = Rules()
        rules.enumValues = use.enumValues
        rules.typeName = use.typeName
        let id = builder.add(rules)
        typeRules[key] = id
        return id
    }

    /// The attributes in the order in which a line has them.
    static let attributeOrder: [String: Int] = Dictionary(
        uniqueKeysWithValues: [
            "always", "or-null", "omitzero", "inline", "required", "immutable", "patch", "list", "map", "default", "declared", "format", "min", "max", "min-length",
            "max-length", "max-items", "pattern", "discriminator", "member", "description",
        ].enumerated().map { ($1, $0) })

    private mutating func readAttributes(_ attributes: inout Attributes, field: String) throws(SchemaError) {
        var last = -1
        while let token = next() {
            let (keyToken, value) = split(token)
            let key = string(keyToken)
            guard let rank = SchemaText.attributeOrder[key] else { throw fail("unknown attribute '\(key)'") }
            guard rank > last else { throw fail("attribute '\(key)' out of order or twice") }
            last = rank
            if let value {
                try apply(key, value, &attributes)
            } else {
                try apply(key, &attributes, field: field)
            }
        }
    }

    private mutating func apply(_ key: String, _ attributes: inout Attributes, field: String) throws(SchemaError) {
        switch key {
        case "always": attributes.presence = .always
        case "or-null": attributes.presence = .pointerOrNull
        case "omitzero": attributes.presence = .omitZero
        case "inline": attributes.flags.insert(.inline)
        case "required": attributes.flags.insert(.required)
        case "immutable": attributes.flags.insert(.immutable)
        case "declared": attributes.rules.isDefaultDeclared = true
        case "discriminator":
            open?.union.discriminator = field
            attributes.isOwn = true
        case "member":
            open?.union.members.append(.init(field: field, value: field.prefix(1).uppercased() + field.dropFirst()))
            attributes.isOwn = true
        default: throw fail("attribute '\(key)' needs a value")
        }
    }

    private mutating func apply(_ key: String, _ value: Token, _ attributes: inout Attributes) throws(SchemaError) {
        switch key {
        case "patch": try patch(value, &attributes.rules)
        case "list": try listType(value, &attributes.rules)
        case "map":
            switch string(value) {
            case "atomic": attributes.rules.isAtomic = true
            case "granular": attributes.rules.isGranular = true
            case let word: throw fail("unknown map type '\(word)'")
            }
        case "default": attributes.rules.defaultValue = try self.value(value)
        case "format": attributes.rules.format = string(value)
        case "pattern": attributes.rules.pattern = string(value)
        case "description": attributes.rules.description = try text(value)
        default:
            guard let number = integer(value) else { throw fail("attribute '\(key)' needs a number") }
            switch key {
            case "min": attributes.rules.bounds.minimum = Double(number)
            case "max": attributes.rules.bounds.maximum = Double(number)
            case "min-length": attributes.rules.bounds.minLength = number
            case "max-length": attributes.rules.bounds.maxLength = number
            case "max-items": attributes.rules.bounds.maxItems = number
            default: throw fail("attribute '\(key)' takes no value")
            }
        }
    }

    /// `patch=merge,retainKeys:name`
    private mutating func patch(_ token: Token, _ rules: inout Rules) throws(SchemaError) {
        let colon = token.first { bytes[$0] == UInt8(ascii: ":") } ?? token.upperBound
        for word in list(token.lowerBound..<colon) {
            switch word {
            case "merge": rules.patchStrategy.insert(.merge)
            case "replace": rules.patchStrategy.insert(.replace)
            case "retainKeys": rules.patchStrategy.insert(.retainKeys)
            default: throw fail("unknown patch strategy '\(word)'")
            }
        }
        if colon < token.upperBound { rules.patchMergeKey = string(colon + 1..<token.upperBound) }
    }

    /// `list=map:port,protocol`
    private mutating func listType(_ token: Token, _ rules: inout Rules) throws(SchemaError) {
        let colon = token.first { bytes[$0] == UInt8(ascii: ":") } ?? token.upperBound
        switch string(token.lowerBound..<colon) {
        case "atomic": rules.listType = .atomic
        case "set": rules.listType = .set
        case "map": rules.listType = .map
        case let word: throw fail("unknown list type '\(word)'")
        }
        if colon < token.upperBound { rules.listMapKeys = list(colon + 1..<token.upperBound) }
    }
}

// MARK: - Types

extension SchemaText {
    static let scalars: [String: Scalar] = [
        "string": .string, "bool": .bool, "int32": .int32, "int64": .int64, "double": .double, "bytes": .bytes, "Quantity": .quantity,
        "IntOrString": .intOrString, "Time": .time, "MicroTime": .microTime, "Duration": .duration, "RawExtension": .rawExtension,
        "FieldsV1": .fieldsV1, "JSON": .json, "JSONSchemaPropsOrBool": .schemaOrBool, "JSONSchemaPropsOrArray": .schemaOrArray,
        "JSONSchemaPropsOrStringArray": .schemaOrStringArray,
    ]

    /// What a type token means here; most tokens come many times.
    mutating func type(_ token: Token) throws(SchemaError) -> TypeUse {
        let key = Interner.hash(bytes, token)
        if let known = localTypes[key] { return known }
        let use = try parseType(token)
        localTypes[key] = use
        return use
    }

    private mutating func parseType(_ token: Token) throws(SchemaError) -> TypeUse {
        if let rest = after("*", token) {
            var use = try parseType(rest)
            use.isPointer = true
            return use
        }
        if let rest = after("[]", token) { return TypeUse(shape: .list(try element(rest))) }
        if let rest = after("map[string]", token) { return TypeUse(shape: .map(try element(rest))) }
        if let rest = after("items[]", token) { return TypeUse(shape: .list(try element(rest)), flags: .wrapped) }
        let name = string(token)
        if let scalar = SchemaText.scalars[name] { return TypeUse(shape: .scalar(scalar)) }
        let isQualified = name.utf8.contains(UInt8(ascii: "."))
        guard isQualified || bytes[token.lowerBound] <= UInt8(ascii: "Z") else { throw fail("unknown type '\(name)'") }
        let qualified = isQualified ? name : "\(version.qualifier).\(name)"
        if let values = enums[qualified] { return TypeUse(shape: .scalar(.string), enumValues: values, typeName: SchemaText.goName(qualified)) }
        return TypeUse(shape: .message(reference(qualified)))
    }

    private mutating func element(_ token: Token) throws(SchemaError) -> ElementID {
        let use = try parseType(token)
        guard !use.isPointer else { throw fail("pointers are for fields only") }
        return builder.element(Element(shape: use.shape, flags: use.flags, rulesID: namedRules(use)))
    }

    /// `core/v1.Protocol` is Go's `v1.Protocol`.
    static func goName(_ qualified: String) -> String {
        qualified.lastIndex(of: "/").map { String(qualified[qualified.index(after: $0)...]) } ?? qualified
    }

    private func after(_ prefix: StaticString, _ token: Token) -> Token? {
        let count = prefix.utf8CodeUnitCount
        guard token.count > count else { return nil }
        for offset in 0..<count where bytes[token.lowerBound + offset] != prefix.utf8Start[offset] { return nil }
        return token.dropFirst(count)
    }
}
