import CEL
import Machinery
import Tree

/// What the policies of admission and their bindings have in common.
enum PolicyFields {
    static let reasons = ["Forbidden", "Invalid", "RequestEntityTooLarge"]
    private static let reserved: Set<String> = [
        "true", "false", "null", "in", "as", "break", "const", "continue", "else", "for", "function", "if", "import", "let", "loop", "package", "namespace",
        "return", "var", "void", "while",
    ]

    static func isBlank(_ node: Node) -> Bool { (node.string ?? "").allSatisfy(\.isWhitespace) }
    static func breaksLines(_ text: String) -> Bool { text.unicodeScalars.contains { $0 == "\n" || $0 == "\r" } }

    static func isIdentifier(_ text: String) -> Bool {
        guard let first = text.utf8.first, !reserved.contains(text) else { return false }
        func isWord(_ byte: UInt8) -> Bool { byte == 95 || ((byte | 0x20) >= 97 && (byte | 0x20) <= 122) }
        return isWord(first) && text.utf8.allSatisfy { isWord($0) || ($0 >= 48 && $0 <= 57) }
    }

    static func matchResources(_ node: Node, _ path: NodePath, _ findings: inout Findings) {
        if node.isNull { return }
        findings.oneOf(path.child("matchPolicy"), node["matchPolicy"], ["Equivalent", "Exact"])
        if node["matchPolicy"].isNull { findings.required(path.child("matchPolicy")) }
        for field in ["namespaceSelector", "objectSelector"] { findings.add(LabelSelector.errors(node[field], at: path.child(field))) }
        for field in ["resourceRules", "excludeResourceRules"] {
            for (index, rule) in node[field].list.enumerated() { self.rule(rule, path.child(field).element(index), &findings) }
        }
    }

    private static func rule(_ rule: Node, _ path: NodePath, _ findings: inout Findings) {
        var names: Set<String> = []
        for (index, name) in rule["resourceNames"].stringList.enumerated() {
            let at = path.child("resourceNames").element(index)
            findings.format(at, name) { NameFormat.pathSegment($0) }
            if !names.insert(name).inserted { findings.duplicate(at, name) }
        }
        let operations = rule["operations"].stringList
        if operations.isEmpty { findings.required(path.child("operations")) }
        if operations.count > 1, operations.contains("*") {
            findings.invalid(path.child("operations"), rule["operations"], "if '*' is present, must not specify other operations")
        }
        for (index, operation) in operations.enumerated() {
            findings.oneOf(path.child("operations").element(index), .string(operation), ["*", "CONNECT", "CREATE", "DELETE", "UPDATE"])
        }
        for field in ["apiGroups", "apiVersions", "resources"] {
            let values = rule[field].stringList
            if values.isEmpty { findings.required(path.child(field)) }
            if field != "resources", values.count > 1, values.contains("*") {
                let what = field == "apiGroups" ? "groups" : "API versions"
                findings.invalid(path.child(field), rule[field], "if '*' is present, must not specify other \(what)")
            }
            if field != "apiGroups" { for (index, value) in values.enumerated() where value.isEmpty { findings.required(path.child(field).element(index)) } }
        }
        findings.oneOf(path.child("scope"), rule["scope"], ["*", "Cluster", "Namespaced"])
    }

    static func paramReference(_ node: Node, _ path: NodePath, _ findings: inout Findings) {
        if node.isNull { return }
        let name = node["name"].string ?? ""
        if !name.isEmpty {
            findings.format(path.child("name"), name) { NameFormat.pathSegment($0) }
            if !node["selector"].isNull { findings.forbidden(path.child("name"), "name and selector are mutually exclusive") }
        }
        if !node["selector"].isNull {
            findings.add(LabelSelector.errors(node["selector"], at: path.child("selector")))
            if !name.isEmpty { findings.forbidden(path.child("selector"), "name and selector are mutually exclusive") }
        }
        if name.isEmpty, node["selector"].isNull { findings.required(path, "one of name or selector must be specified") }
        if (node["parameterNotFoundAction"].string ?? "").isEmpty { findings.required(path.child("parameterNotFoundAction")) } else {
            findings.oneOf(path.child("parameterNotFoundAction"), node["parameterNotFoundAction"], ["Deny", "Allow"])
        }
    }

    static func paramKind(_ node: Node, _ path: NodePath, _ findings: inout Findings) {
        if node.isNull { return }
        let version = node["apiVersion"].string ?? ""
        let parts = version.split(separator: "/", omittingEmptySubsequences: false).map(String.init)
        if version.isEmpty {
            findings.required(path.child("apiVersion"))
        } else if parts.count > 2 {
            findings.invalid(path.child("apiVersion"), .string(version), "unexpected GroupVersion string: \(version)")
        } else {
            if parts.count == 2, !parts[0].isEmpty { findings.format(path.child("apiVersion"), parts[0]) { NameFormat.dnsSubdomain($0) } }
            if (parts.last ?? "").isEmpty { findings.invalid(path.child("apiVersion"), .string(version), "version must be specified") } else {
                findings.format(path.child("apiVersion"), parts.last ?? "") { NameFormat.dns1035Label($0) }
            }
        }
        let kind = node["kind"].string ?? ""
        if kind.isEmpty { return findings.required(path.child("kind")) }
        let problems = NameFormat.dns1035Label(kind.lowercased())
        if !problems.isEmpty {
            findings.invalid(path.child("kind"), .string(kind), "may have mixed case, but should otherwise match: " + problems.joined(separator: ","))
        }
    }

    /// The head that both kinds of policies have; the programs come with what compiles of it.
    static func head(_ spec: Node, _ programs: PolicyPrograms, _ path: NodePath, _ findings: inout Findings) {
        findings.oneOf(path.child("failurePolicy"), spec["failurePolicy"], ["Fail", "Ignore"])
        paramKind(spec["paramKind"], path.child("paramKind"), &findings)
        let constraints = spec["matchConstraints"]
        if constraints.isNull { findings.required(path.child("matchConstraints")) } else {
            matchResources(constraints, path.child("matchConstraints"), &findings)
            if constraints["resourceRules"].list.isEmpty { findings.required(path.child("matchConstraints").child("resourceRules")) }
        }
        conditions(spec["matchConditions"].list, programs, path.child("matchConditions"), &findings)
        for (index, variable) in spec["variables"].list.enumerated() {
            let at = path.child("variables").element(index)
            if isBlank(variable["name"]) {
                findings.required(at.child("name"), "name is not specified")
            } else if !isIdentifier(variable["name"].string ?? "") {
                findings.invalid(at.child("name"), variable["name"], "must be a valid CEL identifier")
            }
            expression(variable["expression"], programs.variables[index].expression, at.child("expression"), "expression is not specified", &findings)
        }
    }

    static func conditions(_ list: [Node], _ programs: PolicyPrograms, _ path: NodePath, _ findings: inout Findings) {
        var names: Set<String> = []
        if list.count > 64 { findings.add(.tooMany("\(path)", actual: list.count, limit: 64)) }
        for (index, condition) in list.enumerated() {
            let at = path.element(index)
            expression(condition["expression"], programs.conditions[index].expression, at.child("expression"), "", &findings)
            let name = condition["name"].string ?? ""
            if name.isEmpty {
                findings.required(at.child("name"))
            } else {
                findings.format(at.child("name"), name) { NameFormat.qualifiedName($0) }
                if !names.insert(name).inserted { findings.duplicate(at.child("name"), name) }
            }
        }
    }

    static func expression(_ node: Node, _ compiled: PolicyExpression, _ path: NodePath, _ missing: String, _ findings: inout Findings) {
        if isBlank(node) { findings.required(path, missing) } else if let problem = compiled.problem { findings.invalid(path, node, problem) }
    }
}

/// Rules written in expressions that refuse requests.
struct ValidatingPolicyStrategy: KindStrategy {
    let traits: KindTraits

    func validateUpdate(_ object: Node, old: Node, subresource: String) -> [FieldError] {
        subresource == "status" ? ConditionRules.errors(object["status"]["conditions"], at: NodePath([.key("status"), .key("conditions")])) : []
    }

    func validate(_ object: Node) -> [FieldError] {
        var findings = Findings()
        let spec = object["spec"]
        let path = NodePath().child("spec")
        let programs = PolicyPrograms(spec)
        PolicyFields.head(spec, programs, path, &findings)
        let checks = spec["validations"].list
        let annotations = spec["auditAnnotations"].list
        if checks.isEmpty, annotations.isEmpty {
            for field in ["validations", "auditAnnotations"] {
                findings.required(path.child(field), "validations or auditAnnotations must contain at least one item")
            }
        }
        for (index, check) in checks.enumerated() {
            self.check(check, programs.checks[index], path.child("validations").element(index), &findings)
        }
        if annotations.count > 20 {
            findings.invalid(path.child("auditAnnotations"), spec["auditAnnotations"], "must not have more than 20 auditAnnotations")
        }
        var keys: Set<String> = []
        for (index, annotation) in annotations.enumerated() {
            let at = path.child("auditAnnotations").element(index)
            let key = annotation["key"].string ?? ""
            if object.name.isEmpty {
                findings.invalid(at.child("key"), .string(key), "requires metadata.name be non-empty")
            } else {
                findings.format(at.child("key"), "\(object.name)/\(key)") { NameFormat.qualifiedName($0) }
            }
            PolicyFields.expression(
                annotation["valueExpression"], programs.annotations[index].expression, at.child("valueExpression"), "valueExpression is not specified", &findings)
            if !keys.insert(key).inserted { findings.duplicate(at.child("key"), key) }
        }
        return findings.errors
    }

    private func check(_ check: Node, _ compiled: PolicyPrograms.Check, _ path: NodePath, _ findings: inout Findings) {
        PolicyFields.expression(check["expression"], compiled.expression, path.child("expression"), "expression is not specified", &findings)
        let expression = check["messageExpression"].string ?? ""
        if !expression.isEmpty {
            if PolicyFields.isBlank(check["messageExpression"]) {
                findings.invalid(path.child("messageExpression"), check["messageExpression"], "must be non-empty if specified")
            } else if let problem = compiled.message?.problem {
                findings.invalid(path.child("messageExpression"), check["messageExpression"], problem)
            }
        }
        let message = check["message"].string ?? ""
        if !message.isEmpty, PolicyFields.isBlank(check["message"]) {
            findings.invalid(path.child("message"), check["message"], "must be non-empty if specified")
        } else if PolicyFields.breaksLines(message) {
            findings.invalid(path.child("message"), check["message"], "must not contain line breaks")
        }
        findings.oneOf(path.child("reason"), check["reason"], PolicyFields.reasons)
    }
}

/// Rules written in expressions that change objects.
struct MutatingPolicyStrategy: KindStrategy {
    let traits: KindTraits

    func validate(_ object: Node) -> [FieldError] {
        var findings = Findings()
        let spec = object["spec"]
        let path = NodePath().child("spec")
        let programs = PolicyPrograms(spec)
        PolicyFields.head(spec, programs, path, &findings)
        for rule in spec["matchConstraints"]["resourceRules"].list {
            for operation in rule["operations"].stringList {
                findings.oneOf(path.child("matchConstraints").child("resourceRules").child("operations"), .string(operation), ["CREATE", "UPDATE"])
            }
        }
        let mutations = spec["mutations"].list
        if mutations.isEmpty { findings.required(path.child("mutations"), "mutations must contain at least one item") }
        for (index, mutation) in mutations.enumerated() {
            let at = path.child("mutations").element(index)
            let type = mutation["patchType"].string ?? ""
            guard ["ApplyConfiguration", "JSONPatch"].contains(type) else {
                if type.isEmpty { findings.required(at.child("patchType")) } else {
                    findings.notSupported(at.child("patchType"), type, ["ApplyConfiguration", "JSONPatch"])
                }
                continue
            }
            let (own, other) = type == "JSONPatch" ? ("jsonPatch", "applyConfiguration") : ("applyConfiguration", "jsonPatch")
            if mutation[own].isNull { findings.required(at.child(own), "must be specified when patchType is \(type)") } else {
                PolicyFields.expression(mutation[own]["expression"], programs.mutations[index].expression, at.child(own).child("expression"), "", &findings)
            }
            if !mutation[other].isNull { findings.invalid(at.child(other), .string("{\(other)}"), "must not be specified when patchType is \(type)") }
        }
        let reinvocation = spec["reinvocationPolicy"]
        if (reinvocation.string ?? "").isEmpty { findings.required(path.child("reinvocationPolicy")) } else {
            findings.oneOf(path.child("reinvocationPolicy"), reinvocation, ["IfNeeded", "Never"])
        }
        return findings.errors
    }
}

/// Where a policy holds, and with which parameters.
struct PolicyBindingStrategy: KindStrategy {
    let traits: KindTraits
    let isValidating: Bool

    func validate(_ object: Node) -> [FieldError] {
        var findings = Findings()
        let spec = object["spec"]
        let path = NodePath().child("spec")
        findings.named(path.child("policyName"), spec["policyName"]) { NameFormat.dnsSubdomain($0) }
        PolicyFields.paramReference(spec["paramRef"], path.child("paramRef"), &findings)
        PolicyFields.matchResources(spec["matchResources"], path.child("matchResources"), &findings)
        guard isValidating else { return findings.errors }
        let actions = spec["validationActions"].stringList
        let at = path.child("validationActions")
        var seen: Set<String> = []
        for (index, action) in actions.enumerated() {
            findings.oneOf(at.element(index), .string(action), ["Audit", "Deny", "Warn"])
            if !seen.insert(action).inserted { findings.duplicate(at.element(index), action) }
        }
        if seen.contains("Deny"), seen.contains("Warn") {
            let why = "must not contain both Deny and Warn (repeating the same validation failure information in the API response and headers serves no purpose)"
            findings.invalid(at, spec["validationActions"], why)
        }
        if actions.isEmpty { findings.required(at, "at least one validation action is required") }
        return findings.errors
    }
}
