import Tree

/// A definition as upstream's internal type has it: what all versions have alike stands above them, and its paths say so.
struct DefinitionView {
    private(set) var versions: [Node]
    private(set) var schema = Node.null
    private(set) var subresources = Node.null
    private(set) var columns: [Node] = []
    private(set) var selectable: [Node] = []
    let hasVersions: Bool

    init(_ spec: Node) {
        versions = spec["versions"].list
        hasVersions = !spec["versions"].isNull
        guard let first = versions.first else { return }
        func isShared(_ field: String) -> Bool { versions.allSatisfy { Findings.same($0[field], first[field]) } }
        func lift(_ field: String) -> Node {
            for index in versions.indices { versions[index].remove(field) }
            return first[field]
        }
        if isShared("schema") { schema = lift("schema") }
        if isShared("subresources") { subresources = lift("subresources") }
        if isShared("additionalPrinterColumns") { columns = lift("additionalPrinterColumns").list }
        if isShared("selectableFields") { selectable = lift("selectableFields").list }
    }

    var schemas: [Node] { ([schema] + versions.map { $0["schema"] }).map { $0["openAPIV3Schema"] }.filter { !$0.isNull } }

    /// Whether the status of a version, or of any, is written by itself.
    func hasStatus(_ version: Node?) -> Bool {
        guard let version else { return !subresources["status"].isNull || versions.contains { !$0["subresources"]["status"].isNull } }
        let own = versions.contains { !$0["subresources"].isNull } ? version["subresources"] : subresources
        return !own["status"].isNull
    }

    // MARK: - As findings show it

    var shownVersions: Node { versions.isEmpty && !hasVersions ? .null : .list(versions.map { Self.internalVersion($0) }) }

    // Fields that are null are shown too, so that maps are put together entry by entry.
    private static func internalVersion(_ version: Node) -> Node {
        var out = Fields()
        out.appendUnique("Name", .string(version["name"].string ?? ""))
        for (name, key) in [("Served", "served"), ("Storage", "storage"), ("Deprecated", "deprecated")] {
            out.appendUnique(name, .bool(version[key].bool ?? false))
        }
        out.appendUnique("DeprecationWarning", version["deprecationWarning"])
        let schema: Node = version["schema"].isNull ? .null : map([("OpenAPIV3Schema", shown(schema: version["schema"]["openAPIV3Schema"]))])
        out.appendUnique("Schema", schema)
        out.appendUnique("Subresources", version["subresources"].isNull ? .null : shown(subresources: version["subresources"]))
        let columns = version["additionalPrinterColumns"].list.map { shown(column: $0) }
        out.appendUnique("AdditionalPrinterColumns", columns.isEmpty ? .null : .list(columns))
        let selectable = version["selectableFields"].list.map { field in map([("JSONPath", .string(field["jsonPath"].string ?? ""))]) }
        out.appendUnique("SelectableFields", selectable.isEmpty ? .null : .list(selectable))
        return .map(out)
    }

    private static func map(_ entries: [(String, Node)]) -> Node { .map(Fields(unique: entries.map { .init(key: $0.0, value: $0.1) })) }

    private static func shown(column: Node) -> Node {
        let texts = [("Name", "name"), ("Type", "type"), ("Format", "format"), ("Description", "description")]
        var entries = texts.map { ($0.0, Node.string(column[$0.1].string ?? "")) }
        entries.append(("Priority", .int(column["priority"].int ?? 0)))
        entries.append(("JSONPath", .string(column["jsonPath"].string ?? "")))
        return map(entries)
    }

    private static func shown(subresources: Node) -> Node {
        let scale = subresources["scale"]
        var paths = Node.null
        if !scale.isNull {
            paths = map([
                ("SpecReplicasPath", .string(scale["specReplicasPath"].string ?? "")), ("StatusReplicasPath", .string(scale["statusReplicasPath"].string ?? "")),
                ("LabelSelectorPath", scale["labelSelectorPath"]),
            ])
        }
        return map([("Status", subresources["status"].isNull ? .null : .emptyMap), ("Scale", paths)])
    }

    private enum Form { case text, flag, pointer, list, schema, schemas, named, orBool, orArray, orNames, links, rules }

    /// The fields of upstream's internal schema type, in its order.
    private static let fields: [(name: String, key: String, form: Form)] = [
        ("ID", "id", .text), ("Schema", "$schema", .text), ("Ref", "$ref", .pointer), ("Description", "description", .text), ("Type", "type", .text),
        ("Nullable", "nullable", .flag), ("Format", "format", .text), ("Title", "title", .text), ("Default", "default", .pointer),
        ("Maximum", "maximum", .pointer), ("ExclusiveMaximum", "exclusiveMaximum", .flag), ("Minimum", "minimum", .pointer),
        ("ExclusiveMinimum", "exclusiveMinimum", .flag), ("MaxLength", "maxLength", .pointer), ("MinLength", "minLength", .pointer),
        ("Pattern", "pattern", .text), ("MaxItems", "maxItems", .pointer), ("MinItems", "minItems", .pointer), ("UniqueItems", "uniqueItems", .flag),
        ("MultipleOf", "multipleOf", .pointer), ("Enum", "enum", .list), ("MaxProperties", "maxProperties", .pointer),
        ("MinProperties", "minProperties", .pointer), ("Required", "required", .list), ("Items", "items", .orArray), ("AllOf", "allOf", .schemas),
        ("OneOf", "oneOf", .schemas), ("AnyOf", "anyOf", .schemas), ("Not", "not", .schema), ("Properties", "properties", .named),
        ("AdditionalProperties", "additionalProperties", .orBool), ("PatternProperties", "patternProperties", .named),
        ("Dependencies", "dependencies", .orNames), ("AdditionalItems", "additionalItems", .orBool), ("Definitions", "definitions", .named),
        ("ExternalDocs", "externalDocs", .links), ("Example", "example", .pointer),
        ("XPreserveUnknownFields", "x-kubernetes-preserve-unknown-fields", .pointer), ("XEmbeddedResource", "x-kubernetes-embedded-resource", .flag),
        ("XIntOrString", "x-kubernetes-int-or-string", .flag), ("XListMapKeys", "x-kubernetes-list-map-keys", .list),
        ("XListType", "x-kubernetes-list-type", .pointer), ("XMapType", "x-kubernetes-map-type", .pointer), ("XValidations", "x-kubernetes-validations", .rules),
    ]

    static func shown(schema: Node) -> Node {
        guard case .map = schema else { return .null }
        return map(fields.map { ($0.name, shown(schema[$0.key], $0.form)) })
    }

    private static func shown(_ value: Node, _ form: Form) -> Node {
        switch form {
        case .text: .string(value.string ?? "")
        case .flag: .bool(value.bool ?? false)
        case .pointer: value
        case .list: value.list.isEmpty ? .null : value
        case .schema: shown(schema: value)
        case .schemas: value.list.isEmpty ? .null : .list(value.list.map { shown(schema: $0) })
        case .named: value.fields.isEmpty ? .null : .map(Fields(sorted(value).map { ($0.key, shown(schema: $0.value)) }))
        case .orBool: value.isNull ? .null : map([("Allows", .bool(value.bool ?? true)), ("Schema", shown(schema: value))])
        case .orArray: value.isNull ? .null : shown(items: value)
        case .orNames: value.fields.isEmpty ? .null : .map(Fields(sorted(value).map { ($0.key, shown(dependency: $0.value)) }))
        case .links: value.isNull ? .null : map([("Description", .string(value["description"].string ?? "")), ("URL", .string(value["url"].string ?? ""))])
        case .rules: value.list.isEmpty ? .null : .list(value.list.map(rule))
        }
    }

    static func shown(items: Node) -> Node {
        var several = Node.null
        if case .list(let schemas) = items { several = .list(schemas.map { shown(schema: $0) }) }
        return map([("Schema", shown(schema: items)), ("JSONSchemas", several)])
    }

    private static func shown(dependency: Node) -> Node {
        map([("Schema", shown(schema: dependency)), ("Property", dependency.list.isEmpty ? .null : dependency)])
    }

    private static func rule(_ rule: Node) -> Node {
        map([
            ("Rule", .string(rule["rule"].string ?? "")), ("Message", .string(rule["message"].string ?? "")),
            ("MessageExpression", .string(rule["messageExpression"].string ?? "")), ("Reason", rule["reason"]),
            ("FieldPath", .string(rule["fieldPath"].string ?? "")), ("OptionalOldSelf", rule["optionalOldSelf"]),
        ])
    }

    private static func sorted(_ node: Node) -> [(key: String, value: Node)] { node.fields.map { ($0.key, $0.value) }.sorted { $0.0 < $1.0 } }

    /// The first field that a schema with a status of its own may not have at its root, or a type that is no object.
    static func misplaced(_ schema: Node) -> String? {
        let allowed: Set<String> = [
            "Description", "Type", "Format", "Title", "Maximum", "ExclusiveMaximum", "Minimum", "ExclusiveMinimum", "MaxLength", "MinLength", "Pattern",
            "MaxItems", "MinItems", "UniqueItems", "MultipleOf", "Required", "Items", "Properties", "ExternalDocs", "Example", "XPreserveUnknownFields",
            "XValidations",
        ]
        for (name, key, form) in fields {
            let value = shown(schema[key], form)
            if value.isNull || value == .string("") || value == .bool(false) { continue }
            if name == "Type", schema["type"].string != "object" { return name }
            if !allowed.contains(name) { return name }
        }
        return nil
    }

    static let allowedAtRoot =
        "[Description Type Format Title Maximum ExclusiveMaximum Minimum ExclusiveMinimum MaxLength MinLength Pattern MaxItems MinItems UniqueItems MultipleOf Required Items Properties ExternalDocs Example XPreserveUnknownFields XValidations]"
}
