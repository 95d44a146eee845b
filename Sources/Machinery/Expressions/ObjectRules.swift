import CEL
package import Tree

/// The rules of one version of a custom resource, where they apply. Built when the first object is checked: most definitions have
/// none, and those that have are large.
package final class ObjectRules: Sendable {
    final class Place: Sendable {
        let type: StructuralType
        let jsonType: String
        let rules: [ExpressionRule]
        let items: Place?
        let properties: [String: Place]
        let values: Place?
        let allOf: [Place]
        /// The keys by which items of this list are found in the old one; empty where they are not.
        let itemKeys: [String]

        init?(_ schema: Node, _ rulesOf: Node, _ type: StructuralType?, depth: Int) {
            guard let type, depth < 100 else { return nil }
            self.type = type
            jsonType = schema["type"].string ?? ""
            rules = rulesOf["x-kubernetes-validations"].list.map { ExpressionRule($0, type, schema: schema) }
            items = schema["items"].isNull || rulesOf["items"].isNull ? nil : Place(schema["items"], rulesOf["items"], type.element, depth: depth + 1)
            values =
                if case .map = schema["additionalProperties"], case .map = rulesOf["additionalProperties"] {
                    Place(schema["additionalProperties"], rulesOf["additionalProperties"], type.element, depth: depth + 1)
                } else {
                    nil
                }
            var properties: [String: Place] = [:]
            for (name, property) in rulesOf["properties"].fields {
                let own = schema["properties"][name]
                if own.isNull { continue }
                let inner = type.field(name) ?? (FieldEscape.escape(name) == nil ? StructuralType.make(own, isResource: false, name: "field") : nil)
                properties[name] = Place(own, property, inner, depth: depth + 1)
            }
            self.properties = properties
            allOf = rulesOf["allOf"].list.compactMap { Place(schema, $0, type, depth: depth + 1) }
            itemKeys = schema["x-kubernetes-list-type"].string == "map" ? schema["x-kubernetes-list-map-keys"].stringList : []
            if rules.isEmpty, items == nil, values == nil, properties.isEmpty, allOf.isEmpty { return nil }
        }
    }

    let root: Place

    /// Nil for a schema without rules.
    package init?(_ schema: Node) {
        guard ObjectRules.hasRules(schema, depth: 0), let root = Place(schema, schema, StructuralType.make(schema, isResource: true, name: "selfType"), depth: 0)
        else { return nil }
        self.root = root
    }

    package static func hasRules(_ schema: Node, depth: Int = 0) -> Bool {
        if depth > 100 { return false }
        if !schema["x-kubernetes-validations"].list.isEmpty { return true }
        for part in [schema["items"], schema["additionalProperties"]] { if case .map = part, hasRules(part, depth: depth + 1) { return true } }
        if schema["allOf"].list.contains(where: { hasRules($0, depth: depth + 1) }) { return true }
        return schema["properties"].fields.contains { hasRules($0.value, depth: depth + 1) }
    }
}

extension ObjectRules {
    package struct Findings: Sendable {
        package var errors: [FieldError] = []
        /// Findings at places that did not change: told, not refused.
        package var warnings: [String] = []
    }

    /// What an object's rules find, with the object before it for rules about the change. All rules together have one budget.
    package func check(_ object: Node, old: Node?) -> Findings {
        var walk = RuleWalk()
        walk.visit(root, object, old, isCorrelated: old != nil, isRoot: true)
        return walk.findings
    }
}

/// A walk over one object beside its rules.
private struct RuleWalk {
    var findings = ObjectRules.Findings()
    private var path: [NodePath.Step] = []
    /// Nil once it is spent.
    private var budget: UInt64? = RuleWalk.wholeBudget
    /// Whether the nearest place with a counterpart in the old object is unchanged.
    private var isUnchanged = false

    static let wholeBudget: UInt64 = 10_000_000
    private static let longestMessage = 5 * 1024

    mutating func visit(_ place: ObjectRules.Place, _ node: Node, _ old: Node?, isCorrelated: Bool, isRoot: Bool = false, isRatcheted: Bool = true) {
        if budget == nil || node.isNull { return }
        let outer = isUnchanged
        defer { isUnchanged = outer }
        if isCorrelated, isRatcheted { isUnchanged = old.map { $0 == node } ?? false }
        let compared = old.flatMap { $0.isNull ? nil : $0 }
        run(place, node, compared)
        for part in place.allOf { visit(part, node, old, isCorrelated: false, isRatcheted: false) }
        switch node {
        case .list(let items):
            guard let inner = place.items else { return }
            for (index, item) in items.enumerated() {
                path.append(.index(index))
                let twin = place.itemKeys.isEmpty ? nil : compared?.list.first { other in place.itemKeys.allSatisfy { other[$0] == item[$0] } }
                visit(inner, item, twin, isCorrelated: !place.itemKeys.isEmpty && compared != nil)
                path.removeLast()
            }
        case .map(let fields):
            for (key, value) in fields {
                if let inner = place.properties[key] {
                    path.append(.key(key))
                    visit(inner, value, compared?[key], isCorrelated: compared != nil)
                    path.removeLast()
                } else if let inner = place.values {
                    path.append(.entry(key))
                    visit(inner, value, compared?[key], isCorrelated: compared != nil)
                    path.removeLast()
                }
            }
        default: break
        }
    }

    private mutating func run(_ place: ObjectRules.Place, _ node: Node, _ old: Node?) {
        if place.rules.isEmpty { return }
        let value = Value(node, place.type)
        let oldValue = old.map { Value($0, place.type) }
        for rule in place.rules {
            guard let budget else { return }
            if budget == 0 { return stop(place, "validation failed due to running out of cost budget, no further validation rules will be run") }
            if let problem = rule.problem {
                refuse(place, "rule compile error: \(problem)")
                continue
            }
            guard let program = rule.program else { continue }
            if rule.usesOldSelf, oldValue == nil, !rule.isOldSelfOptional { continue }
            let before: Value = rule.isOldSelfOptional ? .optional(OptionalValue(oldValue)) : oldValue ?? .failure(EvaluationError("no such attribute(s): oldSelf"))
            let outcome = program.run([value, before])
            guard spend(outcome.cost) else {
                return stop(place, "validation failed due to running out of cost budget, no further validation rules will be run")
            }
            switch outcome.result {
            case .success(.bool(true)): continue
            case .success: fail(place, rule, node, [value, before])
            case .failure(let error):
                if error.isOverBudget {
                    return stop(place, "'\(error.message)': no further validation rules will be run due to call cost exceeds limit for rule: \(rule.shown)")
                }
                refuse(
                    place,
                    error.message.hasPrefix("no such overload")
                        ? "'\(error.message)': call arguments did not match a supported operator, function or macro signature for rule: \(rule.shown)"
                        : "\(error.message) evaluating rule: \(rule.shown)")
            }
        }
    }

    private mutating func spend(_ cost: UInt64) -> Bool {
        guard let left = budget, cost <= left else { return false }
        budget = left - cost
        return true
    }

    private var here: String { path.isEmpty ? FieldError.rootPath : NodePath(path).description }

    private mutating func refuse(_ place: ObjectRules.Place, _ detail: String) {
        findings.errors.append(.invalid(here, quoted: place.jsonType, detail))
    }

    private mutating func stop(_ place: ObjectRules.Place, _ detail: String) {
        refuse(place, detail)
        budget = nil
    }

    /// A rule that is false: a finding, or a warning where nothing changed that the rule sees.
    private mutating func fail(_ place: ObjectRules.Place, _ rule: ExpressionRule, _ node: Node, _ values: [Value]) {
        var field = path.isEmpty && !rule.fieldPath.isEmpty ? "" : here
        if !rule.fieldPath.isEmpty { field += field.isEmpty || rule.fieldPath.hasPrefix("[") ? rule.fieldPath : ".\(rule.fieldPath)" }
        let declared = ExpressionRule.trimmed(rule.source["message"].string ?? "")
        var detail = declared.isEmpty ? "failed rule: \(ExpressionRule.trimmed(rule.text))" : declared
        var isOver: String?
        if let program = rule.messageProgram {
            let outcome = program.run(values)
            let text = rule.source["messageExpression"].string ?? ""
            if !spend(outcome.cost) {
                isOver = "messageExpression evaluation failed due to running out of cost budget, no further validation rules will be run"
            } else if case .failure(let error) = outcome.result, error.isOverBudget {
                isOver = "no further validation rules will be run due to call cost exceeds limit for messageExpression: \(FieldError.quoted(text))"
            } else if case .success(.string(let message)) = outcome.result {
                let message = ExpressionRule.trimmed(message)
                if !message.isEmpty, message.utf8.count <= RuleWalk.longestMessage, !message.contains("\n") { detail = message }
            }
        }
        if let isOver {
            add(.invalid(field, quoted: place.jsonType, isOver), rule)
            budget = nil
            return
        }
        let isAggregate = place.jsonType == "object" || place.jsonType == "array"
        let shown = node.string.map(FieldError.quoted) ?? node.jsonText
        switch rule.source["reason"].string {
        case "FieldValueForbidden": add(.forbidden(field, detail), rule)
        case "FieldValueRequired": add(.required(field, detail), rule)
        case "FieldValueDuplicate": add(isAggregate ? .duplicate(field) : .duplicate(field, shown), rule)
        default: add(isAggregate ? .invalid(field, detail) : .invalid(field, shown, detail), rule)
        }
    }

    private mutating func add(_ error: FieldError, _ rule: ExpressionRule) {
        if !rule.usesOldSelf, isUnchanged { findings.warnings.append(error.description) } else { findings.errors.append(error) }
    }
}
