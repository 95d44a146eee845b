import CEL
import Core
package import Tree

/// Checks the rules of a definition before it is accepted: that they can be read, fit the schema, and cannot cost too much.
package struct DefinitionRules {
    private static let ruleLimit: UInt64 = 10_000_000
    private static let wholeLimit: UInt64 = 100_000_000
    private static let reasons = ["FieldValueDuplicate", "FieldValueForbidden", "FieldValueInvalid", "FieldValueRequired"]
    private static let largestRequest: UInt64 = 3 * 1024 * 1024

    private var errors: [FieldError] = []
    private var total: UInt64 = 0
    private var onlyForm = false
    private var expensive: [(path: String, cost: UInt64)] = []

    /// Findings of one version's schema. `path` is that of `openAPIV3Schema`. `isKnownGood` says of rules that the stored
    /// definition has too that their cost was accepted once; `onlyForm` leaves out what needs a schema that is right.
    package static func errors(_ schema: Node, path: String, suppressesCosts: Bool = false, onlyForm: Bool = false) -> [FieldError] {
        guard ObjectRules.hasRules(schema) else { return [] }
        var check = DefinitionRules()
        check.onlyForm = onlyForm
        let root = StructuralType.make(schema, isResource: true, name: "selfType")
        check.visit(schema, root, path, Place(cardinality: 1, suppressesCosts: suppressesCosts))
        if check.total > wholeLimit {
            for rule in check.expensive {
                check.errors.append(.forbidden(rule.path, "contributed to estimated rule cost total exceeding cost limit for entire OpenAPIv3 schema"))
            }
            check.errors.append(
                .forbidden(path, tooMuch("x-kubernetes-validations estimated rule cost total for entire OpenAPIv3 schema", check.total, wholeLimit)))
        }
        return check.errors
    }

    /// Patterns that cannot be read.
    package static func patternErrors(_ schema: Node, path: String) -> [FieldError] {
        var errors: [FieldError] = []
        patterns(schema, path, 0, &errors)
        return errors
    }

    private static func patterns(_ schema: Node, _ path: String, _ depth: Int, _ errors: inout [FieldError]) {
        guard depth < 100, case .map = schema else { return }
        if let pattern = schema["pattern"].string {
            do throws(RegularExpression.Failure) { _ = try RegularExpression(pattern) } catch {
                errors.append(.invalid("\(path).pattern", quoted: pattern, "must be a valid regular expression, but isn't: \(error)"))
            }
        }
        for (name, property) in schema["properties"].fields { patterns(property, "\(path).properties[\(name)]", depth + 1, &errors) }
        for field in ["items", "additionalProperties", "not"] { patterns(schema[field], "\(path).\(field)", depth + 1, &errors) }
        for field in ["allOf", "anyOf", "oneOf"] {
            for (index, part) in schema[field].list.enumerated() { patterns(part, "\(path).\(field)[\(index)]", depth + 1, &errors) }
        }
    }

    private struct Place {
        /// How often the schema's value can occur in an object; nil for no bound but the request's size.
        var cardinality: UInt64?
        var suppressesCosts: Bool
        /// The list or map whose items have no counterparts in the old object.
        var uncorrelated: String?
        var depth = 0

        func child(_ factor: UInt64?) -> Place {
            var out = self
            out.depth += 1
            out.cardinality = cardinality.flatMap { own in factor.map { DefinitionRules.product(own, $0) } }
            return out
        }
    }

    private mutating func visit(_ schema: Node, _ type: StructuralType?, _ path: String, _ place: Place) {
        if place.depth > 100 { return }
        func limit(_ node: Node) -> UInt64? { node.int.map { UInt64(max(0, $0)) } }
        if case .map = schema["additionalProperties"] {
            visit(schema["additionalProperties"], type?.element, "\(path).additionalProperties", place.child(limit(schema["maxProperties"])))
        }
        for (name, property) in schema["properties"].fields.sorted(by: { $0.key < $1.key }) {
            let isResource = property["x-kubernetes-embedded-resource"].bool == true
            let inner = type?.field(name) ?? StructuralType.make(property, isResource: isResource, name: "field")
            visit(property, inner, "\(path).properties[\(name)]", place.child(1))
        }
        if !schema["items"].isNull {
            var inner = place.child(limit(schema["maxItems"]))
            if schema["x-kubernetes-list-type"].string != "map", inner.uncorrelated == nil { inner.uncorrelated = "\(path).items" }
            visit(schema["items"], type?.element, "\(path).items", inner)
        }
        for (index, part) in schema["allOf"].list.enumerated() where ObjectRules.hasRules(part) {
            rules(part, schema, type, "\(path).allOf[\(index)]", place)
        }
        rules(schema, schema, type, path, place)
    }

    private mutating func rules(_ holder: Node, _ schema: Node, _ type: StructuralType?, _ path: String, _ place: Place) {
        let rules = holder["x-kubernetes-validations"].list
        if rules.isEmpty { return }
        let before = errors.count
        for (index, rule) in rules.enumerated() { form(rule, schema, "\(path).x-kubernetes-validations[\(index)]") }
        guard errors.count == before, !onlyForm, let type else { return }
        for (index, source) in rules.enumerated() { meaning(source, schema, type, "\(path).x-kubernetes-validations[\(index)]", place) }
    }

    private mutating func form(_ rule: Node, _ schema: Node, _ path: String) {
        let text = rule["rule"].string ?? ""
        let message = rule["message"].string ?? ""
        let hasMessage = !ExpressionRule.trimmed(message).isEmpty
        func breaks(_ text: String) -> Bool { text.unicodeScalars.contains { $0 == "\n" || $0 == "\r" } }
        if ExpressionRule.trimmed(text).isEmpty {
            errors.append(.required("\(path).rule", "rule is not specified"))
        } else if !message.isEmpty, !hasMessage {
            errors.append(.invalid("\(path).message", quoted: message, "must be non-empty if specified"))
        } else if breaks(ExpressionRule.trimmed(message)) {
            errors.append(.invalid("\(path).message", quoted: message, "must not contain line breaks"))
        } else if breaks(ExpressionRule.trimmed(text)), !hasMessage {
            errors.append(.required("\(path).message", "message must be specified if rule contains line breaks"))
        }
        if let expression = rule["messageExpression"].string, !expression.isEmpty, ExpressionRule.trimmed(expression).isEmpty {
            errors.append(.required("\(path).messageExpression", "messageExpression must be non-empty if specified"))
        }
        if let reason = rule["reason"].string, !DefinitionRules.reasons.contains(reason) {
            errors.append(.notSupported("\(path).reason", quoted: reason, supported: DefinitionRules.reasons))
        }
        guard let field = rule["fieldPath"].string, !field.isEmpty else { return }
        if ExpressionRule.trimmed(field).isEmpty { errors.append(.invalid("\(path).fieldPath", quoted: field, "must be non-empty if specified")) }
        if breaks(field) { errors.append(.invalid("\(path).fieldPath", quoted: field, "must not contain line breaks")) }
        if FieldPathText.normalized(field, schema) == nil { errors.append(.invalid("\(path).fieldPath", quoted: field, "must be a valid path")) }
    }

    private mutating func meaning(_ source: Node, _ schema: Node, _ type: StructuralType, _ path: String, _ place: Place) {
        let rule = ExpressionRule(source, type, schema: schema)
        let times = place.cardinality ?? DefinitionRules.largestRequest / (type.smallestText + 1)
        let cost = DefinitionRules.product(rule.program?.estimatedCost.max ?? 0, times)
        if cost > DefinitionRules.ruleLimit, !place.suppressesCosts {
            errors.append(.forbidden("\(path).rule", DefinitionRules.tooMuch("estimated rule cost", cost, DefinitionRules.ruleLimit)))
        }
        observe("\(path).rule", cost)
        if let problem = rule.problem { errors.append(.invalid("\(path).rule", DefinitionRules.shown(source), problem)) }
        if let problem = rule.messageProblem {
            errors.append(.invalid("\(path).messageExpression", DefinitionRules.shown(source), problem))
        } else if let program = rule.messageProgram {
            let cost = program.estimatedCost.max
            if cost > DefinitionRules.ruleLimit, !place.suppressesCosts {
                errors.append(
                    .forbidden("\(path).messageExpression", DefinitionRules.tooMuch("estimated messageExpression cost", cost, DefinitionRules.ruleLimit)))
            }
            observe("\(path).messageExpression", cost)
        }
        if rule.usesOldSelf {
            if let uncorrelated = place.uncorrelated {
                let why = "oldSelf cannot be used on the uncorrelatable portion of the schema within \(uncorrelated)"
                errors.append(.invalid("\(path).rule", quoted: rule.text, why))
            }
        } else if let optional = source["optionalOldSelf"].bool {
            errors.append(.invalid("\(path).optionalOldSelf", "\(optional)", "may not be set if oldSelf is not used in rule"))
        }
    }

    private mutating func observe(_ path: String, _ cost: UInt64) {
        let (sum, over) = total.addingReportingOverflow(cost)
        total = over ? .max : sum
        guard cost >= DefinitionRules.wholeLimit / 100 else { return }
        expensive.append((path, cost))
        expensive.sort { $0.cost > $1.cost }
        if expensive.count > 4 { expensive.removeLast() }
    }

    private static func product(_ a: UInt64, _ b: UInt64) -> UInt64 {
        let (value, over) = a.multipliedReportingOverflow(by: b)
        return over ? .max : value
    }

    /// The rule as upstream shows it: its internal type in JSON.
    private static func shown(_ rule: Node) -> String {
        let out: Node = [
            "Rule": .string(rule["rule"].string ?? ""), "Message": .string(rule["message"].string ?? ""),
            "MessageExpression": .string(rule["messageExpression"].string ?? ""), "Reason": rule["reason"], "FieldPath": .string(rule["fieldPath"].string ?? ""),
            "OptionalOldSelf": rule["optionalOldSelf"],
        ]
        return out.jsonText
    }

    private static func tooMuch(_ what: String, _ cost: UInt64, _ limit: UInt64) -> String {
        let factor = Double(cost) / Double(limit)
        let shown = factor > 100 ? "more than 100x" : factor < 1.5 ? "\(ExpressionNumber.fixed(factor, 6))x" : "\(ExpressionNumber.fixed(factor, 1))x"
        return
            "\(what) exceeds budget by factor of \(shown) (try simplifying the rule, or adding maxItems, maxProperties, and maxLength where arrays, maps, and strings are declared)"
    }
}
