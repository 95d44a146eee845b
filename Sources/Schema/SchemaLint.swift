package import Tree

/// Checks what the grammar cannot: that the declarations of a graph fit together.
///
/// The built-in text is linted by a test, a custom resource's schema whenever it is lowered.
package struct SchemaLint {
    let graph: Graph
    private var findings: [SchemaError] = []

    /// All that is wrong, in the order of the graph; `place` is the message and field.
    package static func findings(_ graph: Graph) -> [SchemaError] {
        var lint = SchemaLint(graph: graph)
        for index in graph.messages.indices { lint.check(MessageID(index)) }
        for resource in graph.resources { lint.check(resource) }
        return lint.findings
    }

    private init(graph: Graph) { self.graph = graph }

    private mutating func report(_ place: String, _ message: String) { findings.append(SchemaError(place: place, message: message)) }

    // MARK: Messages

    private mutating func check(_ id: MessageID) {
        let message = graph[id]
        var names: Set<String> = []
        for field in graph.fields(of: id) {
            let place = "\(message.name).\(field.name)"
            if !names.insert(field.name).inserted { report(place, "declared twice") }
            if field.name.isEmpty { report(place, "no JSON name") }
            // Looking it up must find it: this also catches names whose hashes collide while reading.
            if graph.field(field.name, in: id)?.name != field.name { report(place, "cannot be looked up") }
            check(field, place)
        }
        var tag: Int32 = 0
        for field in graph.wire(of: id) {
            if field.tag == tag { report("\(message.name).\(field.name)", "tag \(tag) twice") }
            tag = field.tag
            if field.isInline { checkInline(field, "\(message.name) inline") }
        }
        for union in message.unions {
            for name in union.members.map(\.field) + (union.discriminator.isEmpty ? [] : [union.discriminator]) where !names.contains(name) {
                report(message.name, "union member '\(name)' is no field")
            }
        }
        for entry in graph[message.rulesID].pathDefaults { check(entry, of: id) }
    }

    private mutating func checkInline(_ field: Field, _ place: String) {
        guard case .message(let id) = field.shape else { return report(place, "not a message") }
        if field.presence == .pointer || field.presence == .pointerOrNull { report(place, "a pointer, which JSON cannot tell from an empty one") }
        var seen: Set<MessageID> = [id]
        var queue = [id]
        while let next = queue.popLast() {
            for inner in graph.wire(of: next) where inner.isInline {
                guard case .message(let id) = inner.shape else { continue }
                guard seen.insert(id).inserted else { return report(place, "contains itself") }
                queue.append(id)
            }
        }
    }

    private mutating func check(_ entry: Rules.PathDefault, of root: MessageID) {
        var id = root
        let place = "\(graph[root].name) \(entry.path.joined(separator: "."))"
        for (index, name) in entry.path.enumerated() {
            guard let field = graph.field(name, in: id) else { return report(place, "no field '\(name)'") }
            if index == entry.path.count - 1 { return checkValue(entry.value, field.shape, graph.rules(of: field), place) }
            guard case .message(let next) = field.shape else { return report(place, "'\(name)' is no message") }
            id = next
        }
    }

    // MARK: Fields

    private mutating func check(_ field: Field, _ place: String) {
        let rules = graph.rules(of: field)
        check(rules, field.shape, place)
        if field.presence == .omitZero, case .list = field.shape { report(place, "omitzero is for plain messages and times") }
        if field.isRequired, rules.defaultValue != nil, field.presence == .pointer, field.tag > 0 { report(place, "required and defaulted") }
    }

    private mutating func check(_ rules: Rules, _ shape: Shape, _ place: String) {
        checkMerging(rules, shape, place)
        if let value = rules.defaultValue { checkValue(value, shape, rules, place) }
        if let low = rules.bounds.minimum, let high = rules.bounds.maximum, low > high { report(place, "minimum above maximum") }
        if let low = rules.bounds.minLength, let high = rules.bounds.maxLength, low > high { report(place, "minimum length above maximum length") }
        if let low = rules.bounds.minItems, let high = rules.bounds.maxItems, low > high { report(place, "minimum items above maximum items") }
        switch shape {
        case .list(let id), .map(let id):
            let element = graph[id]
            check(graph.rules(of: element), element.shape, "\(place)[]")
        default: break
        }
    }

    private mutating func checkMerging(_ rules: Rules, _ shape: Shape, _ place: String) {
        var item: Shape?
        if case .list(let id) = shape { item = graph[id].shape }
        // (Upstream publishes `atomic` on byte strings, which are lists to Go.)
        if rules.listType != nil, item == nil, shape != .scalar(.bytes) { report(place, "list type on what is no list") }
        if rules.isAtomic {
            switch shape {
            case .message, .map: break
            default: report(place, "map type on what is neither map nor message")
            }
        }
        if !rules.patchMergeKey.isEmpty {
            if !rules.patchStrategy.contains(.merge) { report(place, "merge key without patch=merge") }
            checkKey(rules.patchMergeKey, item, place, "merge key")
        }
        switch rules.listType {
        case .map:
            if rules.listMapKeys.isEmpty { report(place, "map list without keys") }
            for key in rules.listMapKeys { checkKey(key, item, place, "list key") }
        case .set:
            if case .message(let id) = item, !graph[graph[id].rulesID].isAtomic { report(place, "set of messages that are not atomic") }
        default:
            if !rules.listMapKeys.isEmpty { report(place, "list keys without a map list") }
        }
    }

    private mutating func checkKey(_ key: String, _ item: Shape?, _ place: String, _ what: String) {
        guard case .message(let id) = item else { return report(place, "\(what) '\(key)' on what is no list of messages") }
        guard let field = graph.field(key, in: id) else { return report(place, "\(what) '\(key)' is no field of \(graph[id].name)") }
        guard case .scalar = field.shape else { return report(place, "\(what) '\(key)' is no scalar") }
    }

    // MARK: Values

    private mutating func checkValue(_ value: Node, _ shape: Shape, _ rules: Rules, _ place: String) {
        if !fits(value, shape, place) { report(place, "default does not fit the type") }
        if !rules.enumValues.isEmpty, !rules.enumValues.contains(value), value != .string("") { report(place, "default is none of the values allowed") }
    }

    private mutating func fits(_ value: Node, _ shape: Shape, _ place: String) -> Bool {
        switch (shape, value) {
        case (.message(let id), .map(let fields)):
            for (key, item) in fields {
                guard let field = graph.field(key, in: id) else {
                    if !graph[id].flags.contains(.preservesUnknown) { report(place, "default has an unknown field '\(key)'") }
                    continue
                }
                if item.isNull, field.flags.contains(.nullable) { continue }
                if !fits(item, field.shape, place) { return false }
            }
            return true
        case (.list(let id), .list(let items)): return items.allSatisfy { fits($0, graph[id].shape, place) }
        case (.map(let id), .map(let fields)): return fields.allSatisfy { fits($0.value, graph[id].shape, place) }
        case (.scalar(let scalar), _): return scalar.fits(value)
        default: return false
        }
    }

    // MARK: Resources

    private mutating func check(_ resource: Resource) {
        let place = resource.gvr.description
        if graph.message(of: resource.gvk) != resource.message { report(place, "kind \(resource.kind) is not declared as a kind") }
        if resource.allows("list"), resource.list == nil { report(place, "can be listed and has no list kind") }
        if resource.subresource("status") != nil, graph.field("status", in: resource.message) == nil { report(place, "has no status") }
        var names: Set<String> = []
        for subresource in resource.subresources where !names.insert(subresource.name).inserted { report(place, "subresource '\(subresource.name)' twice") }
    }
}

extension Scalar {
    /// Whether a JSON value can be one of these, so far as its type goes.
    package func fits(_ value: Node) -> Bool {
        switch (self, value) {
        case (.string, .string), (.bool, .bool), (.int64, .int), (.double, .double), (.double, .int), (.bytes, .string): true
        case (.int32, .int(let number)): Int32(exactly: number) != nil
        case (.quantity, .string), (.quantity, .int), (.quantity, .double), (.intOrString, .int), (.intOrString, .string): true
        case (.time, .string), (.microTime, .string), (.duration, .string): true
        case (.time, .null), (.microTime, .null): true
        case (.rawExtension, .map), (.rawExtension, .null), (.fieldsV1, .map), (.json, _): true
        case (.schemaOrBool, .map), (.schemaOrBool, .bool), (.schemaOrArray, .map), (.schemaOrArray, .list): true
        case (.schemaOrStringArray, .map), (.schemaOrStringArray, .list): true
        default: false
        }
    }
}
