import Tree

// MARK: - Schemas to shapes

extension CustomResourceLowering {
    /// What one schema node says of the value it describes.
    struct Value {
        var shape: Shape
        var flags: Field.Flags
        var rulesID: RulesID
    }

    mutating func value(_ schema: Node, path: String, name: String, depth: Int) throws(SchemaError) -> Value {
        guard depth < CustomResourceLowering.deepest else { throw SchemaError(place: path, message: "schema is nested too deeply") }
        var flags: Field.Flags = []
        if schema["nullable"].bool == true { flags.insert(.nullable) }
        if schema["x-kubernetes-embedded-resource"].bool == true { flags.insert(.embedded) }
        if schema["x-kubernetes-preserve-unknown-fields"].bool == true { flags.insert(.preservesUnknown) }
        let rules = try self.rules(schema, path)
        let shape = try shape(schema, flags, path: path, name: name, depth: depth)
        return Value(shape: shape, flags: flags, rulesID: builder.add(rules))
    }

    private mutating func shape(_ schema: Node, _ flags: Field.Flags, path: String, name: String, depth: Int) throws(SchemaError) -> Shape {
        if schema["x-kubernetes-int-or-string"].bool == true { return .scalar(.intOrString) }
        switch schema["type"].string ?? "" {
        case "string": return .scalar(.string)
        case "boolean": return .scalar(.bool)
        case "integer": return .scalar(.int64)
        case "number": return .scalar(.double)
        case "array":
            guard case .map = schema["items"] else { throw SchemaError(place: "\(path).items", message: "must be specified") }
            return .list(try element(schema["items"], path: "\(path).items", name: "\(name)[]", depth: depth))
        case "object": return try object(schema, flags, path: path, name: name, depth: depth)
        case "":
            if flags.contains(.preservesUnknown) { return schema.has("properties") ? try message(schema, flags, path, name, depth) : .scalar(.json) }
            throw SchemaError(place: "\(path).type", message: "must not be empty for specified object fields")
        case let type: throw SchemaError(place: "\(path).type", message: "unknown type \"\(type)\"")
        }
    }

    private mutating func object(_ schema: Node, _ flags: Field.Flags, path: String, name: String, depth: Int) throws(SchemaError) -> Shape {
        guard schema.has("additionalProperties"), schema["additionalProperties"] != .bool(false) else { return try message(schema, flags, path, name, depth) }
        guard schema["properties"].fields.isEmpty else {
            throw SchemaError(place: "\(path).additionalProperties", message: "additionalProperties and properties are mutual exclusive")
        }
        guard case .map = schema["additionalProperties"] else { return .map(builder.element(Element(shape: .scalar(.json), flags: [.nullable, .preservesUnknown]))) }
        return .map(try element(schema["additionalProperties"], path: "\(path).additionalProperties", name: "\(name){}", depth: depth))
    }

    private mutating func element(_ schema: Node, path: String, name: String, depth: Int) throws(SchemaError) -> ElementID {
        let value = try value(schema, path: path, name: name, depth: depth + 1)
        return builder.element(Element(shape: value.shape, flags: value.flags, rulesID: value.rulesID))
    }

    private mutating func message(_ schema: Node, _ flags: Field.Flags, _ path: String, _ name: String, _ depth: Int) throws(SchemaError) -> Shape {
        // Names are paths; a property with a dot in its name can look like one.
        var name = name
        while builder.messageIndex[name] != nil { name += "'" }
        let id = builder.reference(name).id
        builder.drafts[Int(id.raw)].flags = flags.intersection([.preservesUnknown, .embedded])
        try fill(id, schema, path: path, isObject: flags.contains(.embedded), depth: depth)
        return .message(id)
    }

    /// Sets the fields of a message from `properties`; `isObject` adds apiVersion, kind and metadata, which schemas leave out.
    mutating func fill(_ id: MessageID, _ schema: Node, path: String, isObject: Bool, depth: Int) throws(SchemaError) {
        let required = Set(schema["required"].stringList)
        let name = builder.drafts[Int(id.raw)].name
        var fields: [Field] = []
        for (key, property) in schema["properties"].fields {
            if isObject, ["apiVersion", "kind", "metadata"].contains(key) { continue }
            let value = try value(property, path: "\(path).properties[\(key)]", name: "\(name).\(key)", depth: depth + 1)
            fields.append(
                Field(name: key, shape: value.shape, flags: required.contains(key) ? value.flags.union(.required) : value.flags, rulesID: value.rulesID))
        }
        builder.drafts[Int(id.raw)].fields = fields
        if isObject { addObjectFields(to: id, metadata: schema["properties"]["metadata"]["properties"]) }
    }

    /// A schema may restrict `metadata.name` and `metadata.generateName`, and nothing else of the metadata.
    mutating func addObjectFields(to id: MessageID, metadata restrictions: Node) {
        var metadata = builder.embed("meta/v1.ObjectMeta", of: builtIn)
        if restrictions.has("name") || restrictions.has("generateName") {
            var draft = builder.drafts[Int(metadata.raw)]
            metadata = builder.reference("\(builder.drafts[Int(id.raw)].name).metadata").id
            for (index, field) in draft.fields.enumerated() where field.name == "name" || field.name == "generateName" {
                guard let rules = try? rules(restrictions[field.name], "metadata.\(field.name)") else { continue }
                draft.fields[index] = Field(
                    name: field.name, shape: field.shape, tag: field.tag, presence: field.presence, flags: field.flags, rulesID: builder.add(rules))
            }
            builder.drafts[Int(metadata.raw)].fields = draft.fields
        }
        let own = SchemaText.typeMeta + [Field(name: "metadata", shape: .message(metadata), presence: .always)]
        builder.drafts[Int(id.raw)].fields.insert(contentsOf: own, at: 0)
    }
}

// MARK: - Rules

extension CustomResourceLowering {
    func rules(_ schema: Node, _ path: String) throws(SchemaError) -> Rules {
        var rules = Rules()
        if schema.has("default") { rules.defaultValue = schema["default"] }
        rules.enumValues = schema["enum"].list
        rules.format = schema["format"].string ?? ""
        rules.pattern = schema["pattern"].string ?? ""
        rules.bounds = Bounds(schema)
        rules.written.logic = only(["allOf", "anyOf", "oneOf", "not"], of: schema, and: requiredWithoutProperty(schema))
        if isDescribed {
            rules.description = schema["description"].string ?? ""
            if schema.has("x-kubernetes-validations") { rules.written.validations = schema["x-kubernetes-validations"] }
            rules.written.documents = only(["title", "externalDocs", "example"], of: schema, and: [])
        }
        try merging(schema, path, &rules)
        return rules
    }

    /// Names that `required` lists and `properties` does not: no field can carry them.
    private func requiredWithoutProperty(_ schema: Node) -> [String] {
        schema["required"].stringList.filter { !schema["properties"].has($0) }
    }

    private func only(_ keys: [String], of schema: Node, and required: [String]) -> Node? {
        var out = Fields()
        for key in keys where schema.has(key) { out[key] = schema[key] }
        if !required.isEmpty { out["required"] = Node(required) }
        return out.isEmpty ? nil : .map(out)
    }

    private func merging(_ schema: Node, _ path: String, _ rules: inout Rules) throws(SchemaError) {
        switch schema["x-kubernetes-list-type"].string {
        case nil: break
        case "atomic": rules.listType = .atomic
        case "set": rules.listType = .set
        case "map": rules.listType = .map
        case let type?: throw SchemaError(place: "\(path).x-kubernetes-list-type", message: "unsupported value \"\(type)\"")
        }
        rules.listMapKeys = schema["x-kubernetes-list-map-keys"].stringList
        switch schema["x-kubernetes-map-type"].string {
        case nil: break
        case "atomic": rules.isAtomic = true
        case "granular": rules.isGranular = true
        case let type?: throw SchemaError(place: "\(path).x-kubernetes-map-type", message: "unsupported value \"\(type)\"")
        }
    }
}

// MARK: - Types of another graph

extension GraphBuilder {
    /// A message of another graph with all it refers to, copied in once.
    mutating func embed(_ name: String, of graph: Graph) -> MessageID {
        guard let from = graph.message(named: name) else { preconditionFailure("no message \(name) to embed") }
        return embed(from, of: graph)
    }

    private mutating func embed(_ from: MessageID, of graph: Graph) -> MessageID {
        let message = graph[from]
        let (id, isNew) = reference(message.name)
        guard isNew else { return id }
        var draft = Draft(name: message.name, openAPIPrefix: message.openAPIPrefix)
        draft.flags = message.flags.subtracting(.defaults)
        draft.rulesID = add(graph[message.rulesID])
        draft.unions = message.unions
        let own = graph.fields(of: from).filter { !$0.flags.contains(.promoted) } + graph.wire(of: from).filter(\.isInline)
        for field in own {
            draft.fields.append(
                Field(
                    name: field.name, shape: embed(field.shape, of: graph), tag: field.tag, presence: field.presence, flags: field.flags.subtracting(.defaults),
                    rulesID: add(graph.rules(of: field))))
        }
        drafts[Int(id.raw)] = draft
        return id
    }

    private mutating func embed(_ shape: Shape, of graph: Graph) -> Shape {
        switch shape {
        case .scalar: return shape
        case .message(let id): return .message(embed(id, of: graph))
        case .list(let id): return .list(embed(graph[id], of: graph))
        case .map(let id): return .map(embed(graph[id], of: graph))
        }
    }

    private mutating func embed(_ from: Element, of graph: Graph) -> ElementID {
        element(Element(shape: embed(from.shape, of: graph), flags: from.flags, rulesID: add(graph.rules(of: from))))
    }
}
