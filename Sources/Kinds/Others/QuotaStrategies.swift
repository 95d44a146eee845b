import Core
package import Machinery
package import Tree

/// Quotas: names of what can be counted, scopes that do not contradict each other.
package struct ResourceQuotaStrategy: KindStrategy {
    package init() {}
    package var traits: KindTraits {
        var traits = KindTraits()
        traits.returnsDeletedObject = true
        return traits
    }

    package func validate(_ object: Node) -> [FieldError] {
        let (spec, path) = (object["spec"], PodStrategy.specPath)
        var findings = Findings()
        for (name, value) in spec["hard"].fields {
            let at = path.child("hard").entry(name)
            findings.format(at, name, ResourceNames.quotaErrors)
            findings.quantity(at, value, of: name)
        }
        scopes(spec, path, &findings)
        selector(spec, path.child("scopeSelector").child("matchExpressions"), &findings)
        return findings.errors
    }

    /// Whether a scope can count a resource.
    private func counts(_ scope: String, _ resource: String) -> Bool {
        let compute = ["cpu", "memory", "limits.cpu", "limits.memory", "requests.cpu", "requests.memory"]
        switch scope {
        case "Terminating", "NotTerminating", "NotBestEffort", "PriorityClass", "CrossNamespacePodAffinity": return resource == "pods" || compute.contains(resource)
        case "BestEffort": return resource == "pods"
        case "VolumeAttributesClass": return resource == "persistentvolumeclaims" || resource == "requests.storage"
        default: return true
        }
    }

    private static let known = ["Terminating", "NotTerminating", "BestEffort", "NotBestEffort", "PriorityClass", "CrossNamespacePodAffinity", "VolumeAttributesClass"]
    private static let opposites = [["BestEffort", "NotBestEffort"], ["Terminating", "NotTerminating"]]

    private func scopes(_ spec: Node, _ path: NodePath, _ findings: inout Findings) {
        let (scopes, at) = (spec["scopes"].stringList, path.child("scopes"))
        let names = spec["hard"].fields.keys.sorted().filter(ResourceNames.isStandardQuota)
        for scope in scopes {
            if !Self.known.contains(scope) { findings.invalid(at, Node(scopes), "unsupported scope") }
            for name in names where !counts(scope, name) { findings.invalid(at, Node(scopes), "unsupported scope applied to resource") }
        }
        for pair in Self.opposites where pair.allSatisfy(scopes.contains) { findings.invalid(at, Node(scopes), "conflicting scopes") }
    }

    private func selector(_ spec: Node, _ path: NodePath, _ findings: inout Findings) {
        let names = spec["hard"].fields.keys.sorted().filter(ResourceNames.isStandardQuota)
        let requirements = spec["scopeSelector"]["matchExpressions"].list
        for requirement in requirements {
            let (scope, operation) = (requirement["scopeName"].string ?? "", requirement["operator"].string ?? "")
            if !Self.known.contains(scope) { findings.invalid(path.child("scopeName"), .string(scope), "unsupported scope") }
            for name in names where !counts(scope, name) {
                findings.invalid(path, GoStruct.shown(spec["scopeSelector"], "core/v1.ScopeSelector"), "unsupported scope applied to resource")
            }
            if operation != "Exists", Self.known.contains(scope), scope != "PriorityClass", scope != "VolumeAttributesClass" {
                findings.invalid(
                    path.child("operator"), .string(operation),
                    "must be 'Exists' when scope is any of ResourceQuotaScopeTerminating, ResourceQuotaScopeNotTerminating, ResourceQuotaScopeBestEffort, ResourceQuotaScopeNotBestEffort or ResourceQuotaScopeCrossNamespacePodAffinity"
                )
            }
            switch operation {
            case "In", "NotIn":
                if requirement["values"].isEmpty {
                    findings.required(path.child("values"), "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector")
                }
            case "Exists", "DoesNotExist":
                if !requirement["values"].isEmpty {
                    findings.invalid(path.child("values"), requirement["values"], "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector")
                }
            default: findings.invalid(path.child("operator"), .string(operation), "not a valid selector operator")
            }
        }
        let scopes = requirements.map { $0["scopeName"].string ?? "" }
        for pair in Self.opposites where pair.allSatisfy(scopes.contains) { findings.invalid(path, spec["scopes"], "conflicting scopes") }
    }

    package func validateUpdate(_ object: Node, old: Node, subresource: String) -> [FieldError] {
        guard subresource.isEmpty else { return [] }
        var findings = Findings()
        let (new, before) = (Set(object["spec"]["scopes"].stringList), Set(old["spec"]["scopes"].stringList))
        if new != before { findings.invalid(PodStrategy.specPath.child("scopes"), object["spec"]["scopes"], ObjectMeta.immutableMessage) }
        return findings.errors
    }
}

/// Limit ranges: for containers the missing defaults follow from the bounds.
package struct LimitRangeStrategy: KindStrategy {
    package init() {}
    package var traits: KindTraits {
        var traits = KindTraits()
        traits.allowsCreateOnUpdate = true
        return traits
    }

    /// One without a name gets one.
    package func prepareCreate(_ object: inout Node) {
        if object.name.isEmpty { object["metadata"]["name"] = .string(Identifier.uuid()) }
    }

    package func setDefaults(_ object: inout Node) {
        guard case .list(var limits) = object["spec"]["limits"] else { return }
        for index in limits.indices where limits[index]["type"].string == "Container" {
            fill("default", from: "max", of: &limits[index])
            fill("defaultRequest", from: "default", of: &limits[index])
            fill("defaultRequest", from: "min", of: &limits[index])
        }
        object["spec"]["limits"] = .list(limits)
    }

    private func fill(_ field: String, from other: String, of limit: inout Node) {
        for (name, value) in limit[other].fields where !limit[field].has(name) { limit[field][name] = value }
    }

    package func validate(_ object: Node) -> [FieldError] {
        var findings = Findings()
        var types: Set<String> = []
        for (index, limit) in object["spec"]["limits"].list.enumerated() {
            let path = PodStrategy.specPath.child("limits").element(index)
            let type = limit["type"].string ?? ""
            let problems = NameFormat.qualifiedName(type)
            for problem in problems { findings.invalid(path.child("type"), .string(type), problem) }
            if problems.isEmpty, !type.contains("/"), !["Container", "Pod", "PersistentVolumeClaim"].contains(type) {
                findings.invalid(path.child("type"), .string(type), "must be a standard limit type or fully qualified")
            }
            if !types.insert(type).inserted { findings.duplicate(path.child("type"), type) }
            let check = type == "Pod" || type == "Container" ? ResourceNames.containerErrors : ResourceNames.errors
            func names(_ field: String) { for name in limit[field].fields.keys.sorted() { findings.format(path.child(field).entry(name), name, check) } }
            names("max")
            names("min")
            if type != "Pod" { for field in ["default", "defaultRequest"] { names(field) } }
            if type == "Pod" {
                for field in ["default", "defaultRequest"] where !limit[field].isEmpty {
                    findings.forbidden(path.child(field), "may not be specified when `type` is 'Pod'")
                }
            }
            if type == "PersistentVolumeClaim", limit["min"]["storage"].isNull, limit["max"]["storage"].isNull {
                findings.required(path.child("limits"), "either minimum or maximum storage value is required, but neither was provided")
            }
            names("maxLimitRequestRatio")
            order(limit, path, &findings)
        }
        return findings.errors
    }

    private static func sixDigits(_ value: Double) -> String {
        let millionths = Int64((value * 1e6).rounded())
        let rest = String(millionths % 1_000_000)
        return "\(millionths / 1_000_000).\(String(repeating: "0", count: 6 - rest.count))\(rest)"
    }

    private func order(_ limit: Node, _ path: NodePath, _ findings: inout Findings) {
        let fields = ["min", "max", "default", "defaultRequest", "maxLimitRequestRatio"]
        let names = Set(fields.flatMap { Array(limit[$0].fields.keys) }).sorted()
        for name in names {
            func amount(_ field: String) -> Quantity? { PodRequests.quantity(limit[field][name]) }
            func compare(_ low: String, _ high: String, at: String, showsHigh: Bool = false, _ words: String, _ other: String) {
                guard let a = amount(low), let b = amount(high), a > b else { return }
                findings.invalid(path.child(at).entry(name), .string((showsHigh ? b : a).description), "\(words) \(a) is greater than \(other) \(b)")
            }
            compare("min", "max", at: "min", "min value", "max value")
            compare("min", "defaultRequest", at: "defaultRequest", showsHigh: true, "min value", "default request value")
            compare("defaultRequest", "max", at: "defaultRequest", "default request value", "max value")
            compare("defaultRequest", "default", at: "defaultRequest", "default request value", "default limit value")
            compare("min", "default", at: "default", "min value", "default value")
            compare("default", "max", at: "default", showsHigh: true, "default value", "max value")
            if let ratio = amount("maxLimitRequestRatio"), ratio < Quantity(1) {
                findings.invalid(path.child("maxLimitRequestRatio").entry(name), .string(ratio.description), "ratio \(ratio) is less than 1")
            }
            if let ratio = amount("maxLimitRequestRatio"), let low = amount("min"), let high = amount("max"), low.milliValue > 0 {
                let most = Double(high.milliValue) / Double(low.milliValue)
                if Double(ratio.milliValue) / 1000 > most {
                    let words = "ratio \(ratio) is greater than max/min = \(LimitRangeStrategy.sixDigits(most))"
                    findings.invalid(path.child("maxLimitRequestRatio").entry(name), .string(ratio.description), words)
                }
            }
            if !ResourceNames.allowsOvercommit(name), let value = amount("default"), let asked = amount("defaultRequest"), value != asked {
                findings.invalid(path.child("default").entry(name), .string(value.description), "default value \(value) must equal to defaultRequest value \(asked) in \(name)")
            }
        }
    }
}
