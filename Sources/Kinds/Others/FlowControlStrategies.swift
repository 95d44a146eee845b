package import Machinery
package import Tree

/// Flow schemas: who and what each rule matches, and a priority level to send it to.
package struct FlowSchemaStrategy: KindStrategy {
    package init() {}
    package var traits: KindTraits {
        var traits = KindTraits()
        traits.hasGeneration = true
        traits.guardMetadata()
        return traits
    }

    private static let verbs = ["create", "delete", "deletecollection", "get", "list", "patch", "proxy", "update", "watch"]

    package func validate(_ object: Node) -> [FieldError] {
        let (spec, path) = (object["spec"], PodStrategy.specPath)
        var findings = Findings()
        let precedence = spec["matchingPrecedence"].int ?? 0
        let at = path.child("matchingPrecedence")
        if precedence <= 0 { findings.invalid(at, .int(precedence), "must be a positive value") }
        if precedence > 10_000 { findings.invalid(at, .int(precedence), "must not be greater than 10000") }
        if precedence == 1, object.name != "exempt" { findings.invalid(at, .int(precedence), "only the schema named 'exempt' may have matchingPrecedence 1") }
        let method = spec["distinguisherMethod"]
        if !method.isNull, !["ByNamespace", "ByUser"].contains(method["type"].string ?? "") {
            // Upstream shows the struct here.
            let shown: Node = ["Type": method["type"].isNull ? "" : method["type"]]
            findings.add(.notSupported("\(path.child("distinguisherMethod").child("type"))", shown.jsonText, supported: ["ByNamespace", "ByUser"]))
        }
        let level = path.child("priorityLevelConfiguration").child("name")
        let name = spec["priorityLevelConfiguration"]["name"].string ?? ""
        if name.isEmpty { findings.required(level, "must reference a priority level") } else { findings.format(level, name, NameFormat.dnsSubdomain) }
        for (index, rule) in spec["rules"].list.enumerated() { self.rule(rule, path.child("rules").element(index), &findings) }
        return findings.errors
    }

    private func rule(_ rule: Node, _ path: NodePath, _ findings: inout Findings) {
        let subjects = rule["subjects"].list
        if subjects.isEmpty { findings.required(path.child("subjects"), "subjects must contain at least one value") }
        for (index, subject) in subjects.enumerated() { self.subject(subject, path.child("subjects").element(index), &findings) }
        if rule["resourceRules"].isEmpty, rule["nonResourceRules"].isEmpty {
            findings.required(path, "at least one of resourceRules and nonResourceRules has to be non-empty")
        }
        for (index, one) in rule["resourceRules"].list.enumerated() { resources(one, path.child("resourceRules").element(index), &findings) }
        for (index, one) in rule["nonResourceRules"].list.enumerated() { urls(one, path.child("nonResourceRules").element(index), &findings) }
    }

    private static let subjectFields = [("ServiceAccount", "serviceAccount"), ("User", "user"), ("Group", "group")]

    private func subject(_ subject: Node, _ path: NodePath, _ findings: inout Findings) {
        let kind = subject["kind"].string ?? ""
        guard let (_, field) = FlowSchemaStrategy.subjectFields.first(where: { $0.0 == kind }) else {
            return findings.notSupported(path.child("kind"), kind, ["Group", "ServiceAccount", "User"])
        }
        let (who, at) = (subject[field], path.child(field))
        if who.isNull {
            findings.required(at, "\(field) is required when subject kind is '\(kind)'")
        } else {
            let name = who["name"].string ?? ""
            if name.isEmpty { findings.required(at.child("name")) }
            if kind == "ServiceAccount" {
                if !name.isEmpty, name != "*" { findings.format(at.child("name"), name, NameFormat.dnsSubdomain) }
                let namespace = who["namespace"].string ?? ""
                if namespace.isEmpty {
                    findings.required(at.child("namespace"), "must specify namespace for service account")
                } else {
                    findings.format(at.child("namespace"), namespace, NameFormat.dnsLabel)
                }
            }
        }
        for (other, name) in FlowSchemaStrategy.subjectFields where other != kind && !subject[name].isNull {
            findings.forbidden(path.child(name), "\(name) is forbidden when subject kind is not '\(other)'")
        }
    }

    private func verbs(_ rule: Node, _ path: NodePath, _ findings: inout Findings) {
        let verbs = rule["verbs"].stringList
        if verbs.isEmpty {
            findings.required(path.child("verbs"), "verbs must contain at least one value")
        } else if verbs.contains("*") {
            if verbs.count > 1 { findings.invalid(path.child("verbs"), Node(verbs), "if '*' is present, must not specify other verbs") }
        } else if !verbs.allSatisfy(FlowSchemaStrategy.verbs.contains) {
            findings.add(.notSupported("\(path.child("verbs"))", Node(verbs).jsonText, supported: FlowSchemaStrategy.verbs))
        }
    }

    private func resources(_ rule: Node, _ path: NodePath, _ findings: inout Findings) {
        verbs(rule, path, &findings)
        for (field, one, many) in [("apiGroups", "api group", "api groups"), ("resources", "resource", "resources")] {
            let values = rule[field].stringList
            if values.isEmpty {
                findings.required(path.child(field), "resource rules must supply at least one \(one)")
            } else if values.count > 1, values.contains("*") {
                findings.invalid(path.child(field), Node(values), "if '*' is present, must not specify other \(many)")
            }
        }
        let (namespaces, at) = (rule["namespaces"].stringList, path.child("namespaces"))
        if namespaces.isEmpty {
            if rule["clusterScope"].bool != true { findings.required(at, "resource rules that are not cluster scoped must supply at least one namespace") }
        } else if namespaces.contains("*") {
            if namespaces.count > 1 { findings.invalid(at, Node(namespaces), "if '*' is present, must not specify other namespaces") }
        } else {
            for (index, name) in namespaces.enumerated() {
                for problem in NameFormat.dnsLabel(name) {
                    findings.invalid(at.element(index), .string(name), "each member of this list must be '*' or a DNS-1123 label; \(problem)")
                }
            }
        }
    }

    private func urls(_ rule: Node, _ path: NodePath, _ findings: inout Findings) {
        verbs(rule, path, &findings)
        let (urls, at) = (rule["nonResourceURLs"].stringList, path.child("nonResourceURLs"))
        if urls.isEmpty {
            findings.required(at, "nonResourceURLs must contain at least one value")
        } else if urls.contains("*") {
            if urls.count > 1 { findings.invalid(at, Node(urls), "if '*' is present, must not specify other non-resource URLs") }
        } else {
            for (index, url) in urls.enumerated() {
                if let problem = problem(of: url) { findings.invalid(at.element(index), .string(url), problem) }
            }
        }
    }

    private func problem(of url: String) -> String? {
        if url.isEmpty { return "must not be empty" }
        if url == "/" { return nil }
        if !url.hasPrefix("/") { return "must start with slash" }
        if url.contains(" ") { return "must not contain white-space" }
        if url.contains("//") { return "must not contain double slash" }
        let stars = url.count { $0 == "*" }
        if stars > 1 || (stars == 1 && !url.hasSuffix("*")) { return "wildcard can only do suffix matching" }
        if stars == 1, !url.hasSuffix("/*") { return "wildcard must follow a slash" }
        return nil
    }
}

/// Priority levels: how many requests at once, and what becomes of the rest.
package struct PriorityLevelStrategy: KindStrategy {
    package init() {}
    package var traits: KindTraits {
        var traits = KindTraits()
        traits.hasGeneration = true
        traits.guardMetadata()
        return traits
    }

    package func validate(_ object: Node) -> [FieldError] {
        let (spec, path) = (object["spec"], PodStrategy.specPath)
        var findings = Findings()
        let type = spec["type"].string ?? ""
        if (object.name == "exempt") != (type == "Exempt") {
            findings.invalid(path.child("type"), .string(type), "must be 'Exempt' if and only if `name` is 'exempt'")
        }
        switch type {
        case "Exempt":
            if !spec["limited"].isNull { findings.forbidden(path.child("limited"), "must be nil if the type is not Limited") }
            if !spec["exempt"].isNull { shares(spec["exempt"], path.child("exempt"), &findings) }
        case "Limited":
            if !spec["exempt"].isNull { findings.forbidden(path.child("exempt"), "must be nil if the type is Limited") }
            if spec["limited"].isNull {
                findings.required(path.child("limited"), "must not be empty when type is Limited")
            } else {
                limited(spec["limited"], path.child("limited"), &findings)
            }
        default: findings.notSupported(path.child("type"), type, ["Exempt", "Limited"])
        }
        return findings.errors
    }

    private func nominal(_ level: Node, _ path: NodePath, _ findings: inout Findings) {
        if let shares = level["nominalConcurrencyShares"].int, shares < 0 {
            findings.invalid(path.child("nominalConcurrencyShares"), .int(shares), "must be a non-negative integer")
        }
    }

    private func lendable(_ level: Node, _ path: NodePath, _ findings: inout Findings) {
        if let percent = level["lendablePercent"].int, !(0...100).contains(percent) {
            findings.invalid(path.child("lendablePercent"), .int(percent), "must be between 0 and 100, inclusive")
        }
    }

    private func shares(_ level: Node, _ path: NodePath, _ findings: inout Findings) {
        nominal(level, path, &findings)
        lendable(level, path, &findings)
    }

    private func limited(_ level: Node, _ path: NodePath, _ findings: inout Findings) {
        nominal(level, path, &findings)
        let (response, at) = (level["limitResponse"], path.child("limitResponse"))
        switch response["type"].string ?? "" {
        case "Reject":
            if !response["queuing"].isNull { findings.forbidden(at.child("queuing"), "must be nil if limited.limitResponse.type is not Limited") }
        case "Queue":
            if response["queuing"].isNull {
                findings.required(at.child("queuing"), "must not be empty if limited.limitResponse.type is Limited")
            } else {
                queuing(response["queuing"], at.child("queuing"), &findings)
            }
        case let type: findings.notSupported(at.child("type"), type, ["Queue", "Reject"])
        }
        lendable(level, path, &findings)
        if let percent = level["borrowingLimitPercent"].int, percent < 0 {
            findings.invalid(path.child("borrowingLimitPercent"), .int(percent), "if specified, must be a non-negative integer")
        }
    }

    private func queuing(_ queuing: Node, _ path: NodePath, _ findings: inout Findings) {
        let (queues, hand) = (queuing["queues"].int ?? 0, queuing["handSize"].int ?? 0)
        if (queuing["queueLengthLimit"].int ?? 0) <= 0 {
            findings.invalid(path.child("queueLengthLimit"), .int(queuing["queueLengthLimit"].int ?? 0), "must be positive")
        }
        if queues <= 0 {
            findings.invalid(path.child("queues"), .int(queues), "must be positive")
        } else if queues > 10_000_000 {
            findings.invalid(path.child("queues"), .int(queues), "must not be greater than 10000000")
        }
        if hand <= 0 {
            findings.invalid(path.child("handSize"), .int(hand), "must be positive")
        } else if hand > queues {
            findings.invalid(path.child("handSize"), .int(hand), "should not be greater than queues (\(queues))")
        } else if PriorityLevelStrategy.entropyBits(queues, hand) > 60 {
            findings.invalid(
                path.child("handSize"), .int(hand),
                "required entropy bits of deckSize \(queues) and handSize \(hand) should not be greater than 60")
        }
    }

    /// How many random bits a hand of shuffle sharding takes.
    private static func entropyBits(_ deck: Int64, _ hand: Int64) -> Int {
        var product = 1.0
        for index in 0..<min(hand, 64) {
            product *= Double(deck - index)
            if product > 0x1p100 { return 100 }
        }
        var bits = 0
        while product > 1 {
            product /= 2
            bits += 1
        }
        return bits
    }
}
