package import Machinery
package import Tree

/// How much of each request the audit log is told: `audit.k8s.io/v1` Policy. The first rule that matches decides.
package struct AuditPolicy: Sendable {
    package enum Level: Int, Comparable, Sendable, CaseIterable {
        case none, metadata, request, requestResponse
        package static func < (a: Level, b: Level) -> Bool { a.rawValue < b.rawValue }

        var name: String {
            switch self {
            case .none: "None"
            case .metadata: "Metadata"
            case .request: "Request"
            case .requestResponse: "RequestResponse"
            }
        }
    }

    package enum Stage: String, Sendable, CaseIterable {
        case requestReceived = "RequestReceived"
        case responseStarted = "ResponseStarted"
        case responseComplete = "ResponseComplete"
        case panic = "Panic"
    }

    /// What holds for one request.
    struct Decision: Sendable {
        var level: Level
        var omitted: Set<Stage>
        var omitsManagedFields: Bool
    }

    private struct Rule: Sendable {
        var level = Level.none
        var users: [String] = []
        var groups: [String] = []
        var verbs: [String] = []
        var namespaces: [String] = []
        var resources: [Resources] = []
        var paths: [String] = []
        var omitted: Set<Stage> = []
        var omitsManagedFields: Bool?
    }

    private struct Resources: Sendable {
        let group: String
        let resources: [String]
        let names: [String]
    }

    private var rules: [Rule] = []
    private var omitted: Set<Stage> = []
    private var omitsManagedFields = false

    /// Throws what upstream's validation finds wrong with a policy file.
    package init(_ node: Node) throws(APIError) {
        guard node.kind == "Policy", node.apiVersion == "audit.k8s.io/v1" else {
            throw .badRequest("unknown group version field \(FieldError.quoted(node.apiVersion)) in policy")
        }
        var errors: [FieldError] = []
        omitted = AuditPolicy.stages(node["omitStages"], "omitStages", &errors)
        omitsManagedFields = node["omitManagedFields"].bool ?? false
        for (index, item) in node["rules"].list.enumerated() { rules.append(AuditPolicy.rule(item, "rules[\(index)]", &errors)) }
        if rules.isEmpty { throw .badRequest("loaded illegal policy with 0 rules") }
        guard errors.isEmpty else { throw .badRequest("invalid policy: " + errors.map(\.description).joined(separator: ", ")) }
        for index in rules.indices { rules[index].omitted.formUnion(omitted) }
    }

    private static func stages(_ node: Node, _ path: String, _ errors: inout [FieldError]) -> Set<Stage> {
        var out: Set<Stage> = []
        for (index, text) in node.stringList.enumerated() {
            if let stage = Stage(rawValue: text) { out.insert(stage) } else {
                let known = Stage.allCases.map(\.rawValue).joined(separator: ",")
                errors.append(.invalid("\(path)[\(index)]", quoted: text, "allowed stages are \(known)"))
            }
        }
        return out
    }

    private static func rule(_ node: Node, _ path: String, _ errors: inout [FieldError]) -> Rule {
        var rule = Rule()
        let level = node["level"].string ?? ""
        if let known = Level.allCases.first(where: { $0.name == level }) { rule.level = known } else {
            errors.append(level.isEmpty ? .required("\(path).level") : .notSupported("\(path).level", quoted: level, supported: Level.allCases.map(\.name)))
        }
        rule.users = node["users"].stringList
        rule.groups = node["userGroups"].stringList
        rule.verbs = node["verbs"].stringList
        rule.namespaces = node["namespaces"].stringList
        rule.paths = node["nonResourceURLs"].stringList
        rule.omitted = stages(node["omitStages"], "\(path).omitStages", &errors)
        rule.omitsManagedFields = node["omitManagedFields"].bool
        for (index, url) in rule.paths.enumerated() where url != "*" {
            let field = "\(path).nonResourceURLs[\(index)]"
            if !url.hasPrefix("/") { errors.append(.invalid(field, quoted: url, "non-resource URL rules must begin with a '/' character")) }
            if url.dropLast().contains("*") {
                errors.append(.invalid(field, quoted: url, "non-resource URL wildcards '*' must be the final character of the rule"))
            }
        }
        for item in node["resources"].list {
            let resources = Resources(group: item["group"].string ?? "", resources: item["resources"].stringList, names: item["resourceNames"].stringList)
            if !resources.names.isEmpty, resources.resources.isEmpty {
                errors.append(.invalid("\(path).resources.resourceNames", Node(resources.names).jsonText, "using resourceNames requires at least one resource"))
            }
            let words = resources.group.isEmpty || resources.group == "*" ? [] : NameFormat.dnsSubdomain(resources.group)
            if !words.isEmpty { errors.append(.invalid("\(path).resources.group", quoted: resources.group, words.joined(separator: ","))) }
            rule.resources.append(resources)
        }
        if !rule.paths.isEmpty, !rule.resources.isEmpty || !rule.namespaces.isEmpty {
            let shown = Node(rule.paths).jsonText
            errors.append(.invalid("\(path).nonResourceURLs", shown, "rules cannot apply to both regular resources and non-resource URLs"))
        }
        return rule
    }

    // MARK: - Matching

    func decide(_ asked: Attributes) -> Decision {
        guard let rule = rules.first(where: { AuditPolicy.matches($0, asked) }) else {
            return Decision(level: .none, omitted: omitted, omitsManagedFields: omitsManagedFields)
        }
        return Decision(level: rule.level, omitted: rule.omitted, omitsManagedFields: rule.omitsManagedFields ?? omitsManagedFields)
    }

    private static func matches(_ rule: Rule, _ asked: Attributes) -> Bool {
        if !rule.users.isEmpty, !rule.users.contains(asked.user.name) { return false }
        if !rule.groups.isEmpty, !asked.user.groups.contains(where: rule.groups.contains) { return false }
        if !rule.verbs.isEmpty, !rule.verbs.contains(asked.verb) { return false }
        if !rule.namespaces.isEmpty || !rule.resources.isEmpty {
            guard asked.isResource, rule.namespaces.isEmpty || rule.namespaces.contains(asked.namespace) else { return false }
            return rule.resources.isEmpty || rule.resources.contains { covers($0, asked) }
        }
        guard !rule.paths.isEmpty else { return true }
        return !asked.isResource && rule.paths.contains { $0 == "*" || $0 == asked.path || ($0.hasSuffix("*") && asked.path.hasPrefix($0.dropLast())) }
    }

    private static func covers(_ rule: Resources, _ asked: Attributes) -> Bool {
        guard rule.group == asked.group || rule.group == "*" else { return false }
        if rule.resources.isEmpty { return true }
        guard rule.names.isEmpty || rule.names.contains(asked.name) else { return false }
        return rule.resources.contains { resource in
            if resource == "*" || resource == asked.qualifiedResource { return true }
            if !asked.subresource.isEmpty, resource == "*/\(asked.subresource)" { return true }
            return resource == "\(asked.resource)/*"
        }
    }
}
