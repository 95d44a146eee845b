package import Machinery
package import Tree

/// APIServices: named by what they register, and complete where another server is meant.
package struct APIServiceStrategy: KindStrategy {
    package init() {}
    package var traits: KindTraits {
        var traits = KindTraits()
        traits.allowsUnconditionalUpdate = false
        traits.guardMetadata()
        // `v1.` is the core group's.
        traits.nameRule = .pathSegment
        return traits
    }

    package func validate(_ object: Node) -> [FieldError] {
        let (spec, path) = (object["spec"], PodStrategy.specPath)
        var findings = Findings()
        let group = spec["group"].string ?? ""
        let version = spec["version"].string ?? ""
        let name = "\(version).\(group)"
        if !object.name.isEmpty, object.name != name {
            findings.invalid(NodePath([.key("metadata"), .key("name")]), .string(object.name), "must be `spec.version+\".\"+spec.group`: \(FieldError.quoted(name))")
        }
        if group.isEmpty {
            if version != "v1" { findings.required(path.child("group"), "only v1 may have an empty group and it better be legacy kube") }
        } else {
            findings.format(path.child("group"), group, NameFormat.dnsSubdomain)
        }
        findings.format(path.child("version"), version, NameFormat.dns1035Label)
        for (field, limit) in [("groupPriorityMinimum", Int64(20000)), ("versionPriority", 1000)] {
            let value = spec[field].int ?? 0
            if value <= 0 || value > limit { findings.invalid(path.child(field), .int(value), "must be positive and less than \(limit)") }
        }
        let bundle = spec["caBundle"].string ?? ""
        let isInsecure = spec["insecureSkipTLSVerify"].bool ?? false
        guard case .map = spec["service"] else {
            if !bundle.isEmpty { findings.invalid(path.child("caBundle"), .string("\(Base64.decode(bundle)?.count ?? 0) bytes"), "local APIServices may not have a caBundle") }
            if isInsecure { findings.invalid(path.child("insecureSkipTLSVerify"), true, "local APIServices may not have insecureSkipTLSVerify") }
            return findings.errors
        }
        let service = path.child("service")
        findings.present(service.child("namespace"), spec["service"]["namespace"])
        findings.present(service.child("name"), spec["service"]["name"])
        WebhookRules.port(&findings, service.child("port"), spec["service"]["port"])
        if isInsecure, !bundle.isEmpty { findings.invalid(path.child("insecureSkipTLSVerify"), true, "may not be true if caBundle is present") }
        return findings.errors
    }

    package func validateUpdate(_ object: Node, old: Node, subresource: String) -> [FieldError] {
        guard subresource == "status" else { return [] }
        var findings = Findings()
        for (index, condition) in object["status"]["conditions"].list.enumerated() {
            let status = condition["status"].string ?? ""
            guard !["True", "False", "Unknown"].contains(status) else { continue }
            // In upstream's order, which is not that of the alphabet.
            findings.add(.notSupported("status.conditions[\(index)].status", quoted: status, supported: ["True", "False", "Unknown"]))
        }
        return findings.errors
    }
}

/// Configurations of admission webhooks.
package struct WebhookConfigurationStrategy: KindStrategy {
    package init() {}
    package var traits: KindTraits {
        var traits = KindTraits()
        traits.hasGeneration = true
        traits.allowsUnconditionalUpdate = false
        traits.uncheckedFields = ["webhooks.clientConfig.service.name", "webhooks.clientConfig.service.namespace"]
        return traits
    }

    package func validate(_ object: Node) -> [FieldError] {
        var findings = Findings()
        var names: Set<String> = []
        for (index, hook) in object["webhooks"].list.enumerated() {
            let path = NodePath([.key("webhooks")]).element(index)
            WebhookRules.check(&findings, path, hook)
            let name = hook["name"].string ?? ""
            if !name.isEmpty, !names.insert(name).inserted { findings.duplicate(path.child("name"), name) }
        }
        return findings.errors
    }
}

/// What is asked of a webhook, in upstream's words.
enum WebhookRules {
    static func check(_ findings: inout Findings, _ path: NodePath, _ hook: Node) {
        fullName(&findings, path.child("name"), hook["name"].string ?? "")
        for (index, rule) in hook["rules"].list.enumerated() { check(rule: rule, &findings, path.child("rules").element(index)) }
        let effects = ["None", "NoneOnDryRun"]
        if hook["sideEffects"].isNull {
            findings.required(path.child("sideEffects"), "must specify one of \(effects.joined(separator: ", "))")
        } else {
            findings.oneOf(path.child("sideEffects"), hook["sideEffects"], effects)
        }
        if let seconds = hook["timeoutSeconds"].int, seconds < 1 || seconds > 30 {
            findings.invalid(path.child("timeoutSeconds"), .int(seconds), "the timeout value must be between 1 and 30 seconds")
        }
        for field in ["namespaceSelector", "objectSelector"] { findings.add(LabelSelector.errors(hook[field], at: path.child(field))) }
        client(&findings, path.child("clientConfig"), hook["clientConfig"])
        versions(&findings, path.child("admissionReviewVersions"), hook["admissionReviewVersions"].stringList)
        let conditions = hook["matchConditions"].list
        guard !conditions.isEmpty else { return }
        PolicyFields.conditions(conditions, PolicyPrograms(["matchConditions": .list(conditions)]), path.child("matchConditions"), &findings)
    }

    private static func fullName(_ findings: inout Findings, _ path: NodePath, _ name: String) {
        guard !name.isEmpty else { return findings.required(path) }
        let problems = NameFormat.dnsSubdomain(name)
        for problem in problems { findings.invalid(path, .string(name), problem) }
        if problems.isEmpty, name.split(separator: ".", omittingEmptySubsequences: false).count < 3 {
            findings.invalid(path, .string(name), "should be a domain with at least three segments separated by dots")
        }
    }

    private static func check(rule: Node, _ findings: inout Findings, _ path: NodePath) {
        func list(_ field: String, _ what: String) {
            let values = rule[field].stringList
            if values.isEmpty { findings.required(path.child(field)) }
            if values.count > 1, values.contains("*") {
                findings.invalid(path.child(field), rule[field], "if '*' is present, must not specify other \(what)")
            }
        }
        list("operations", "operations")
        list("apiGroups", "API groups")
        list("apiVersions", "API versions")
        for (index, version) in rule["apiVersions"].stringList.enumerated() where version.isEmpty {
            findings.required(path.child("apiVersions").element(index))
        }
        resources(&findings, path.child("resources"), rule["resources"])
    }

    private static func resources(_ findings: inout Findings, _ path: NodePath, _ node: Node) {
        let names = node.stringList
        if names.isEmpty { findings.required(path) }
        var whole: Set<String> = []
        var everywhere: Set<String> = []
        for (index, name) in names.enumerated() {
            let at = path.element(index)
            guard !name.isEmpty else {
                findings.required(at)
                continue
            }
            let parts = name.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
            guard parts.count == 2 else { continue }
            if whole.contains(parts[0]) { findings.invalid(at, .string(name), "if '\(parts[0])/*' is present, must not specify \(name)") }
            if everywhere.contains(parts[1]) { findings.invalid(at, .string(name), "if '*/\(parts[1])' is present, must not specify \(name)") }
            if parts[1] == "*" { whole.insert(parts[0]) }
            if parts[0] == "*" { everywhere.insert(parts[1]) }
        }
        if names.count > 1, names.contains("*/*") { findings.invalid(path, node, "if '*/*' is present, must not specify other resources") }
        if names.contains("*"), let last = names.last(where: { !$0.contains("/") }), last != "*" {
            findings.invalid(path, node, "if '*' is present, must not specify other resources without subresources")
        }
    }

    static func versions(_ findings: inout Findings, _ path: NodePath, _ versions: [String]) {
        guard !versions.isEmpty else { return findings.required(path, "must specify one of v1, v1beta1") }
        var seen: Set<String> = []
        for (index, version) in versions.enumerated() {
            guard seen.insert(version).inserted else {
                findings.invalid(path.element(index), .string(version), "duplicate version")
                continue
            }
            findings.format(path.element(index), version, NameFormat.dns1035Label)
        }
        if !versions.contains("v1"), !versions.contains("v1beta1") {
            findings.invalid(path, Node(versions), "must include at least one of v1, v1beta1")
        }
    }

    static func client(_ findings: inout Findings, _ path: NodePath, _ config: Node) {
        let hasService = if case .map = config["service"] { true } else { false }
        guard config["url"].isNull == hasService else { return findings.required(path, "exactly one of url or service is required") }
        if let url = config["url"].string { check(url: url, &findings, path.child("url")) }
        guard hasService else { return }
        let service = config["service"]
        let at = path.child("service")
        // Upstream takes the one for the other.
        findings.present(at.child("name"), service["namespace"])
        findings.present(at.child("namespace"), service["name"])
        port(&findings, at.child("port"), service["port"])
        if let text = service["path"].string { check(path: text, &findings, at.child("path")) }
    }

    static func port(_ findings: inout Findings, _ path: NodePath, _ port: Node) {
        let number = port.int ?? 443
        let problems = NameFormat.portNumber(number)
        if !problems.isEmpty { findings.invalid(path, .int(number), "port is not valid: " + problems.joined(separator: ", ")) }
    }

    private static func check(url: String, _ findings: inout Findings, _ path: NodePath) {
        let form = "; desired format: https://host[/path]"
        let parts = url.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
        let scheme = parts.count == 2 && url.contains("://") ? String(parts[0]) : ""
        if scheme != "https" { findings.invalid(path, .string(scheme), "'https' is the only allowed URL scheme\(form)") }
        let rest = url.dropFirst(scheme.isEmpty ? url.count : scheme.count + 3)
        let authority = rest.prefix { $0 != "/" && $0 != "?" && $0 != "#" }
        if authority.isEmpty { findings.invalid(path, "", "host must be specified\(form)") }
        if let at = authority.lastIndex(of: "@") {
            findings.invalid(path, .string(String(authority[..<at])), "user information is not permitted in the URL")
        }
        if let mark = url.firstIndex(of: "#") {
            findings.invalid(path, .string(String(url[url.index(after: mark)...])), "fragments are not permitted in the URL")
        }
        if let mark = url.firstIndex(of: "?") {
            let query = url[url.index(after: mark)...].prefix { $0 != "#" }
            if !query.isEmpty { findings.invalid(path, .string(String(query)), "query parameters are not permitted in the URL") }
        }
    }

    private static func check(path text: String, _ findings: inout Findings, _ path: NodePath) {
        if text.isEmpty || text == "/" { return }
        if text == "//" { return findings.invalid(path, .string(text), "segment[0] may not be empty") }
        if !text.hasPrefix("/") { findings.invalid(path, .string(text), "must start with a '/'") }
        var inner = text.dropFirst()
        if inner.hasSuffix("/") { inner.removeLast() }
        for (index, step) in inner.split(separator: "/", omittingEmptySubsequences: false).enumerated() {
            guard !step.isEmpty else {
                findings.invalid(path, .string(text), "segment[\(index)] may not be empty")
                continue
            }
            for problem in NameFormat.dnsSubdomain(String(step)) { findings.invalid(path, .string(text), "segment[\(index)]: \(problem)") }
        }
    }
}
