import Core
package import Schema
import Synchronization
package import Tree

/// Checks an object against what the table says of each value: required, enumerations, ranges, lengths, patterns, formats.
///
/// Built-in kinds have few such rules, the rest is their hooks'; custom resources have all of theirs here, worded as upstream's
/// OpenAPI validator words them. The findings come in the order of the fields.
package struct Validation {
    /// Whose rules are meant.
    package enum Style: Sendable {
        /// Types are known to be right, metadata and status are checked elsewhere.
        case builtIn
        /// Types are checked too.
        case custom
    }

    private let graph: Graph
    private let style: Style
    private var errors: [FieldError] = []
    private var path: [NodePath.Step] = []
    private static let maxErrors = 100

    private init(_ graph: Graph, _ style: Style) {
        self.graph = graph
        self.style = style
    }

    package static func errors(_ node: Node, as id: MessageID, in graph: Graph, _ style: Style) -> [FieldError] {
        var walk = Validation(graph, style)
        walk.message(node, id)
        return walk.errors
    }

    private var here: String { NodePath(path).description }
    private var shownHere: String { path.isEmpty ? "" : NodePath(path).description }

    private mutating func add(_ error: FieldError) { if errors.count < Validation.maxErrors { errors.append(error) } }

    // MARK: Walk

    private mutating func message(_ node: Node, _ id: MessageID) {
        guard case .map(let fields) = node else { return }
        if path.isEmpty || style == .builtIn {
            let rules = graph[graph[id].rulesID]
            size(fields, rules)
            if let logic = rules.written.logic, style == .custom { for error in SchemaLogic.errors(node, logic, at: path) { add(error) } }
        }
        for field in graph.fields(of: id) {
            if style == .builtIn, path.isEmpty, field.name == "metadata" || field.name == "status" { continue }
            path.append(.key(field.name))
            defer { path.removeLast() }
            guard let value = fields[field.name] else {
                if field.isRequired, style == .custom { add(.required(here)) }
                continue
            }
            if field.isRequired, style == .builtIn, isMissing(value, field) {
                add(.required(here))
                continue
            }
            // "" of a field that is always written means that nobody set it.
            if style == .builtIn, value.isEmpty, field.presence != .pointer { continue }
            self.value(value, field.shape, graph.rules(of: field), isNullable: field.flags.contains(.nullable))
        }
    }

    private func isMissing(_ value: Node, _ field: Field) -> Bool {
        guard case .scalar(.string) = field.shape, case .string("") = value else { return false }
        let rules = graph.rules(of: field)
        // Enumerations answer with the values they take; a minimum length of 0 says that nothing is a value.
        return rules.enumValues.isEmpty && rules.bounds.minLength != 0
    }

    private mutating func value(_ node: Node, _ shape: Shape, _ rules: Rules, isNullable: Bool) {
        if node.isNull {
            if style == .custom, !isNullable { mistyped(node, shape) }
            return
        }
        if style == .custom, !fits(node, shape) {
            mistyped(node, shape)
            // Upstream goes on with a value of the wrong type.
            let wanted: Node = shape == .scalar(.int64) ? ["type": "integer", "enum": .list(rules.enumValues)] : ["enum": .list(rules.enumValues)]
            for error in SchemaLogic.mistyped(node, wanted, shownHere) { add(error) }
            return
        }
        if let logic = rules.written.logic, style == .custom { for error in SchemaLogic.errors(node, logic, at: path) { add(error) } }
        leaf(node, rules)
        switch (shape, node) {
        case (.message(let id), _):
            if style == .custom { size(node.fields, rules) }
            message(node, id)
        case (.list(let id), .list(let items)):
            for (index, item) in items.enumerated() { element(item, graph[id], .index(index)) }
            if style == .custom { uniqueness(items, rules) }
        case (.map(let id), .map(let fields)):
            size(fields, rules)
            for (key, item) in fields { element(item, graph[id], .entry(key)) }
        default: break
        }
    }

    /// What rules say of a value whatever its shape.
    private mutating func leaf(_ node: Node, _ rules: Rules) {
        if !rules.enumValues.isEmpty, !rules.enumValues.contains(node) {
            let allowed = rules.enumValues.map { $0.string ?? $0.jsonText }
            add(.notSupported(here, ObjectMeta.shown(node), supported: allowed))
        }
        switch node {
        case .string(let text): self.text(text, rules)
        case .int(let number): range(Double(number), node, rules)
        case .double(let number): range(number, node, rules)
        case .list(let items): count(items.count, rules)
        default: break
        }
    }

    /// What rules without a field say of a value: those of the branches of `oneOf` and its like.
    static func findings(_ node: Node, _ rules: Rules, at path: [NodePath.Step]) -> [FieldError] {
        var walk = Validation(.builtIn, .custom)
        walk.path = path
        walk.leaf(node, rules)
        if case .map(let fields) = node { walk.size(fields, rules) }
        return walk.errors
    }

    private mutating func element(_ node: Node, _ element: Element, _ step: NodePath.Step) {
        // The OpenAPI validator writes keys of maps as fields.
        if style == .custom, case .entry(let key) = step { path.append(.key(key)) } else { path.append(step) }
        value(node, element.shape, graph.rules(of: element), isNullable: element.flags.contains(.nullable))
        path.removeLast()
    }

    // MARK: Types

    private func fits(_ node: Node, _ shape: Shape) -> Bool {
        switch (shape, node) {
        case (.message, .map), (.map, .map), (.list, .list), (.scalar(.string), .string), (.scalar(.bool), .bool), (.scalar(.bytes), .string): true
        case (.scalar(.int32), .int), (.scalar(.int64), .int), (.scalar(.double), .int), (.scalar(.double), .double): true
        case (.scalar(.int64), .double(let value)), (.scalar(.int32), .double(let value)): value == value.rounded()
        case (.scalar(.intOrString), .int), (.scalar(.intOrString), .string), (.scalar(.quantity), .string), (.scalar(.quantity), .int): true
        case (.scalar(.time), .string), (.scalar(.microTime), .string), (.scalar(.duration), .string): true
        case (.scalar(.json), _), (.scalar(.rawExtension), .map), (.scalar(.fieldsV1), .map): true
        default: false
        }
    }

    private mutating func mistyped(_ node: Node, _ shape: Shape) {
        let wanted: String
        switch shape {
        case .message, .map, .scalar(.rawExtension), .scalar(.fieldsV1): wanted = "object"
        case .list: wanted = "array"
        case .scalar(.bool): wanted = "boolean"
        case .scalar(.int32), .scalar(.int64): wanted = "integer"
        case .scalar(.double): wanted = "number"
        case .scalar(.intOrString): wanted = "integer,string"
        default: wanted = "string"
        }
        let found: String
        switch node {
        case .null: found = "null"
        case .bool: found = "boolean"
        case .int: found = "integer"
        case .double: found = "number"
        case .string: found = "string"
        case .list: found = "array"
        case .map: found = "object"
        }
        add(.typeInvalid(here, FieldError.quoted(found), "\(shownHere) in body must be of type \(wanted): \(FieldError.quoted(found))"))
    }

    // MARK: Rules

    private mutating func text(_ text: String, _ rules: Rules) {
        // Go counts runes here.
        if let limit = rules.bounds.maxLength, text.unicodeScalars.count > limit { add(.tooLong(here, limit: limit)) }
        if let limit = rules.bounds.minLength, text.unicodeScalars.count < limit {
            add(.invalid(here, quoted: text, "\(shownHere) in body should be at least \(limit) chars long"))
        }
        if !rules.pattern.isEmpty, !Pattern.matches(rules.pattern, text) {
            add(.invalid(here, quoted: text, "\(shownHere) in body should match '\(rules.pattern)'"))
        }
        guard !rules.format.isEmpty else { return }
        if rules.format.hasPrefix("k8s-") {
            for problem in StringFormat.declarativeErrors(rules.format, text) { add(.invalid(here, quoted: text, problem)) }
        } else if style == .custom, !StringFormat.accepts(rules.format, text) {
            add(.typeInvalid(here, FieldError.quoted(text), "\(shownHere) in body must be of type \(rules.format): \(FieldError.quoted(text))"))
        }
    }

    private mutating func range(_ number: Double, _ node: Node, _ rules: Rules) {
        func fail(_ words: String, _ limit: Double) {
            let detail = style == .custom ? "\(shownHere) in body should be \(words) \(JSONWriter.number(limit))" : "must be \(words) \(JSONWriter.number(limit))"
            add(.invalid(here, node.jsonText, detail))
        }
        if let limit = rules.bounds.minimum, rules.bounds.exclusiveMinimum ? number <= limit : number < limit {
            fail(rules.bounds.exclusiveMinimum ? "greater than" : "greater than or equal to", limit)
        }
        if let limit = rules.bounds.maximum, rules.bounds.exclusiveMaximum ? number >= limit : number > limit {
            fail(rules.bounds.exclusiveMaximum ? "less than" : "less than or equal to", limit)
        }
        if let step = rules.bounds.multipleOf, step > 0 {
            let times = number / step
            if abs(times - times.rounded()) > 1e-9 { fail("a multiple of", step) }
        }
    }

    private mutating func count(_ count: Int, _ rules: Rules) {
        if let limit = rules.bounds.maxItems, count > limit { add(.tooMany(here, actual: count, limit: limit)) }
        if let limit = rules.bounds.minItems, count < limit {
            add(.invalid(here, "\(count)", "\(shownHere) in body should have at least \(limit) items"))
        }
    }

    private mutating func size(_ fields: Fields, _ rules: Rules) {
        if let limit = rules.bounds.maxProperties, fields.count > limit { add(.tooMany(here, actual: fields.count, limit: limit)) }
        if let limit = rules.bounds.minProperties, fields.count < limit {
            add(.invalid(here, "\(fields.count)", "\(shownHere) in body should have at least \(limit) properties"))
        }
    }

    /// Lists that are sets or maps hold no key twice.
    private mutating func uniqueness(_ items: [Node], _ rules: Rules) {
        guard let type = rules.listType, type != .atomic else { return }
        var seen: Set<Node> = []
        for (index, item) in items.enumerated() {
            let key = type == .set ? item : .map(Fields(rules.listMapKeys.map { ($0, item[$0]) }))
            if !seen.insert(key).inserted {
                path.append(.index(index))
                add(.duplicate(here, type == .set ? ObjectMeta.shown(key) : key.jsonText))
                path.removeLast()
            }
        }
    }
}

extension Validation {
    /// Regular expressions of schemas, each compiled once. Definitions with a pattern that cannot be read are refused, so that the few
    /// that come here (built-in tables, definitions of older stores) match everything: refusing valid objects would be worse.
    private enum Pattern {
        private static let compiled = Mutex<[String: RegularExpression?]>([:])
        private static let most = 2000

        static func matches(_ pattern: String, _ text: String) -> Bool {
            let regular = compiled.withLock { known in
                if let found = known[pattern] { return found }
                if known.count >= most { known.removeAll() }
                let made = try? RegularExpression(pattern)
                known[pattern] = .some(made)
                return made
            }
            return regular?.matches(text) ?? true
        }
    }
}
