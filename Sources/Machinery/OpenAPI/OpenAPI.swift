package import Schema
package import Tree

/// OpenAPI documents of a graph: version 2 in one piece, version 3 one group version at a time.
package struct OpenAPI: Sendable {
    package enum Version: Sendable {
        case v2, v3
        var prefix: String { self == .v2 ? "#/definitions/" : "#/components/schemas/" }
    }

    let graph: Graph
    let version: Version
    let descriptions: Descriptions
    let isBuiltIn: Bool
    /// Of version 3, whose documents are of one group version each: kinds of others are not told of.
    var place: GroupVersion?
    private static let extensionPrefix = "x-kubernetes-"

    /// `isBuiltIn` false writes as documents of custom resources do; nil goes by the graph.
    package init(_ graph: Graph, _ version: Version, _ descriptions: Descriptions = Descriptions(text: ""), isBuiltIn: Bool? = nil) {
        self.graph = graph
        self.version = version
        self.descriptions = descriptions
        self.isBuiltIn = isBuiltIn ?? (graph.message(named: "core/v1.Pod") != nil)
    }

    // MARK: Definitions

    /// The definitions of these messages and scalars, and of all that they refer to, by name.
    package func definitions(of roots: some Sequence<MessageID>, _ scalars: Set<Scalar> = []) -> Node {
        let (messages, scalars) = reached(from: roots, scalars)
        var out: [String: Node] = [:]
        for id in messages where !graph[id].isAnonymous { out[graph[id].openAPIName] = definition(of: id) }
        for scalar in scalars { if let name = scalar.openAPI.definition { out[name] = definition(of: scalar) } }
        return .map(Fields(unique: out.sorted { $0.key < $1.key }.map { .init(key: $0.key, value: $0.value) }))
    }

    /// The same apart: the definitions that are of this graph alone, and the names of those that all graphs have.
    func ownDefinitions(of roots: some Sequence<MessageID>) -> (own: Fields, shared: Set<String>) {
        let (messages, scalars) = reached(from: roots, [])
        var own: [String: Node] = [:]
        var shared = Set(scalars.compactMap(\.openAPI.definition))
        for id in messages where !graph[id].isAnonymous {
            if isOurs(graph[id]) { shared.insert(graph[id].openAPIName) } else { own[graph[id].openAPIName] = definition(of: id) }
        }
        return (Fields(unique: own.sorted { $0.key < $1.key }.map { .init(key: $0.key, value: $0.value) }), shared)
    }

    private func reached(from roots: some Sequence<MessageID>, _ scalars: Set<Scalar>) -> (messages: [MessageID], scalars: Set<Scalar>) {
        var messages: [MessageID] = []
        var scalars = scalars
        var pending = Array(roots)
        var seen = Set(pending)
        while let id = pending.popLast() {
            messages.append(id)
            // Scalars of custom resources are described where they are.
            var own: Set<Scalar> = []
            for field in graph.fields(of: id) { visit(field.shape, &pending, &seen, &own) }
            if isOurs(graph[id]) { scalars.formUnion(own) }
        }
        return (messages, scalars)
    }

    private func visit(_ shape: Shape, _ pending: inout [MessageID], _ seen: inout Set<MessageID>, _ scalars: inout Set<Scalar>) {
        switch shape {
        case .scalar(let scalar): scalars.insert(scalar)
        case .message(let id): if seen.insert(id).inserted { pending.append(id) }
        case .list(let id), .map(let id): visit(graph[id].shape, &pending, &seen, &scalars)
        }
    }

    private func definition(of scalar: Scalar) -> Node {
        let form = scalar.openAPI
        if version == .v3, scalar == .quantity { return ["oneOf": [["type": "string"], ["type": "number"]]] }
        if version == .v3, scalar == .intOrString { return ["format": "int-or-string", "oneOf": [["type": "integer"], ["type": "string"]]] }
        var out = Node.emptyMap
        if let type = form.type { out["type"] = .string(type) }
        if let format = form.format { out["format"] = .string(format) }
        return out
    }

    func definition(of id: MessageID) -> Node {
        let message = graph[id]
        var out: Node = ["type": "object"]
        let rules = graph[message.rulesID]
        // Version 2 says nothing of objects that keep unknown fields: kubectl would refuse those.
        let isOpen = version == .v2 && message.flags.contains(.preservesUnknown)
        if isOpen { return open(message, rules, kinds: graph.kinds(of: id)) }
        let words = rules.description.isEmpty && isOurs(message) ? descriptions.type(message) : rules.description
        if !words.isEmpty { out["description"] = .string(words) }
        var required: [String] = []
        var properties: [(String, Node)] = []
        for field in graph.fields(of: id) {
            properties.append((field.name, property(field, of: message)))
            if field.isRequired { required.append(field.name) }
        }
        if !required.isEmpty { out["required"] = Node(isBuiltIn ? required : required.sorted()) }
        if !properties.isEmpty { out["properties"] = .map(Fields(properties.sorted { $0.0 < $1.0 })) }
        let kinds = graph.kinds(of: id)
        if !kinds.isEmpty {
            let here = kinds.filter { place == nil || $0.group.isEmpty || $0.group == place?.group && $0.version == place?.version }
            let sorted = (here.isEmpty ? kinds : here).sorted { ($0.group, $0.version, $0.kind) < ($1.group, $1.version, $1.kind) }
            out["x-kubernetes-group-version-kind"] = .list(sorted.map(gvk))
        }
        decorate(&out, rules)
        if !isOurs(message) { bound(&out, rules) }
        if !kinds.isEmpty, !isBuiltIn, let paths = graph.resources.first?.selectableFields, !paths.isEmpty {
            out["x-kubernetes-selectable-fields"] = .list(paths.map { ["fieldPath": .string(String($0.drop { $0 == "." }))] })
        }
        let unions = message.unions.filter(\.isPublished)
        if !unions.isEmpty { out["x-kubernetes-unions"] = .list(unions.map(union)) }
        if message.flags.contains(.preservesUnknown) { out["x-kubernetes-preserve-unknown-fields"] = true }
        return out
    }

    private func open(_ message: Message, _ rules: Rules, kinds: [GroupVersionKind]) -> Node {
        var out = Node.emptyMap
        if !kinds.isEmpty {
            out["type"] = "object"
            out["x-kubernetes-group-version-kind"] = .list(kinds.map(gvk))
            return out
        }
        if !rules.description.isEmpty { out["description"] = .string(rules.description) }
        out["x-kubernetes-preserve-unknown-fields"] = true
        return out
    }

    func gvk(_ kind: GroupVersionKind) -> Node { ["group": .string(kind.group), "kind": .string(kind.kind), "version": .string(kind.version)] }

    private func union(_ union: Union) -> Node {
        var out = Node.emptyMap
        if !union.discriminator.isEmpty { out["discriminator"] = .string(union.discriminator) }
        out["fields-to-discriminateBy"] = .map(Fields(union.members.map { ($0.field, Node.string($0.value)) }.sorted { $0.0 < $1.0 }))
        return out
    }

    // MARK: Fields

    /// Of a custom resource only the types that all share are ours to describe.
    private func isOurs(_ message: Message) -> Bool { isBuiltIn || message.name.hasPrefix("meta/") }

    private func shared(_ name: String, of message: Message) -> String {
        guard isOurs(message) || ["apiVersion", "kind", "metadata"].contains(name) && !message.isAnonymous else { return "" }
        return descriptions.field(name, of: message)
    }

    private func property(_ field: Field, of message: Message) -> Node {
        let rules = graph.rules(of: field)
        var out = describe(field.shape, rules, of: message)
        let words = rules.description.isEmpty ? shared(field.name, of: message) : rules.description
        if !words.isEmpty { out["description"] = .string(words) }
        if let value = rules.defaultValue, isOurs(message) ? rules.isDefaultDeclared && version == .v3 : true {
            out["default"] = value
        } else if version == .v3, isOurs(message), let value = zero(field) {
            out["default"] = value
        }
        if version == .v2 { return plain(out, field.flags) }
        if field.flags.contains(.nullable) { out["nullable"] = true }
        if field.flags.contains(.preservesUnknown) { out["x-kubernetes-preserve-unknown-fields"] = true }
        if field.flags.contains(.embedded) { out["x-kubernetes-embedded-resource"] = true }
        return wrapped(out)
    }

    /// Version 2 knows neither null nor, as kubectl reads it, objects that keep what they do not know.
    private func plain(_ node: Node, _ flags: Field.Flags) -> Node {
        var out = node
        if flags.contains(.nullable) { for key in ["type", "items", "properties"] { out.remove(key) } }
        if flags.contains(.preservesUnknown) {
            for key in ["type", "items", "properties"] { out.remove(key) }
            out["x-kubernetes-preserve-unknown-fields"] = true
        }
        if flags.contains(.embedded) { out["x-kubernetes-embedded-resource"] = true }
        return out
    }

    /// Version 3 allows no siblings of a reference.
    private func wrapped(_ node: Node) -> Node {
        guard version == .v3, node.has("$ref"), node.fields.count > 1 else { return node }
        var out = node
        out["allOf"] = [["$ref": node["$ref"]]]
        out.remove("$ref")
        return out
    }

    /// What Go's zero value of a field that is always there looks like.
    private func zero(_ field: Field) -> Node? {
        switch (field.shape, field.presence) {
        case (.message, .always), (.message, .omitEmpty), (.message, .omitZero): return [:]
        case (.scalar(let scalar), .always):
            switch scalar {
            case .string: return ""
            case .bool: return false
            case .int32, .int64, .double: return 0
            default: return nil
            }
        default: return nil
        }
    }

    private func describe(_ shape: Shape, _ rules: Rules, of message: Message) -> Node {
        var out = Node.emptyMap
        switch shape {
        case .message(let id):
            // The objects inside a custom resource have no names: they are described in place.
            if graph[id].openAPIPrefix.isEmpty { out = definition(of: id) } else { out["$ref"] = .string(version.prefix + graph[id].openAPIName) }
        case .list(let id):
            out["type"] = "array"
            out["items"] = element(id, of: message)
        case .map(let id):
            out["type"] = "object"
            out["additionalProperties"] = element(id, of: message)
        case .scalar(let scalar):
            let form = scalar.openAPI
            if !isOurs(message) {
                if scalar != .intOrString, let type = form.type { out["type"] = .string(type) }
                if scalar == .intOrString {
                    out["x-kubernetes-int-or-string"] = true
                    if version == .v3 { out["anyOf"] = [["type": "integer"], ["type": "string"]] }
                }
            } else if let name = form.definition {
                out["$ref"] = .string(version.prefix + name)
            } else {
                if let type = form.type { out["type"] = .string(type) }
                if let format = form.format { out["format"] = .string(format) }
            }
        }
        decorate(&out, rules)
        if !isOurs(message) { bound(&out, rules) }
        return out
    }

    private func element(_ id: ElementID, of message: Message) -> Node {
        let element = graph[id]
        var out = describe(element.shape, graph.rules(of: element), of: message)
        if version == .v2 { return plain(out, element.flags) }
        if element.flags.contains(.nullable) { out["nullable"] = true }
        return wrapped(out)
    }

    private func decorate(_ out: inout Node, _ rules: Rules) {
        if rules.patchStrategy != [] {
            let names = [(PatchStrategy.merge, "merge"), (.replace, "replace"), (.retainKeys, "retainKeys")].filter { rules.patchStrategy.contains($0.0) }.map(\.1)
            out["x-kubernetes-patch-strategy"] = .string(names.joined(separator: ","))
        }
        if !rules.patchMergeKey.isEmpty { out["x-kubernetes-patch-merge-key"] = .string(rules.patchMergeKey) }
        if let type = rules.listType { out["x-kubernetes-list-type"] = .string("\(type)") }
        if !rules.listMapKeys.isEmpty { out["x-kubernetes-list-map-keys"] = Node(rules.listMapKeys) }
        if rules.isAtomic { out["x-kubernetes-map-type"] = "atomic" } else if rules.isGranular { out["x-kubernetes-map-type"] = "granular" }
        if !rules.enumValues.isEmpty {
            // Those of built-in types stand in the order of messages in the table.
            out["enum"] = .list(rules.typeName.isEmpty ? rules.enumValues : rules.enumValues.sorted { ($0.string ?? "") < ($1.string ?? "") })
        }
    }

    /// What a custom resource's schema says of values; what built-in types allow, upstream's documents keep to themselves.
    private func bound(_ out: inout Node, _ rules: Rules) {
        if !rules.format.isEmpty, !out.has("$ref") { out["format"] = .string(rules.format) }
        if !rules.pattern.isEmpty { out["pattern"] = .string(rules.pattern) }
        let numbers: [(String, Double?)] = [("minimum", rules.bounds.minimum), ("maximum", rules.bounds.maximum), ("multipleOf", rules.bounds.multipleOf)]
        for (key, value) in numbers { if let value { out[key] = Int64(exactly: value).map(Node.int) ?? .double(value) } }
        let sizes: [(String, Int?)] = [
            ("minLength", rules.bounds.minLength == 0 ? nil : rules.bounds.minLength), ("maxLength", rules.bounds.maxLength), ("minItems", rules.bounds.minItems), ("maxItems", rules.bounds.maxItems),
            ("minProperties", rules.bounds.minProperties), ("maxProperties", rules.bounds.maxProperties),
        ]
        for (key, value) in sizes { if let value { out[key] = .int(Int64(value)) } }
        if rules.bounds.exclusiveMinimum { out["exclusiveMinimum"] = true }
        if rules.bounds.exclusiveMaximum { out["exclusiveMaximum"] = true }
        if rules.bounds.uniqueItems { out["uniqueItems"] = true }
        if let validations = rules.written.validations { out["x-kubernetes-validations"] = validations }
        for extra in [version == .v2 ? nil : rules.written.logic, rules.written.documents].compactMap({ $0 }) { for (key, value) in extra.fields { out[key] = value } }
    }
}
