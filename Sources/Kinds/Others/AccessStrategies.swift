package import Machinery
package import Tree

/// Roles of both scopes: rules for resources or, in the cluster's scope, for URLs.
package struct RoleStrategy: KindStrategy {
    private let isNamespaced: Bool
    package init(isNamespaced: Bool) { self.isNamespaced = isNamespaced }
    package var traits: KindTraits { AccessTraits.traits }

    package func validate(_ object: Node) -> [FieldError] {
        var findings = Findings()
        for (index, rule) in object["rules"].list.enumerated() { check(rule, NodePath([.key("rules"), .index(index)]), &findings) }
        let aggregation = object["aggregationRule"]
        guard !aggregation.isNull else { return findings.errors }
        let path = NodePath([.key("aggregationRule"), .key("clusterRoleSelectors")])
        let selectors = aggregation["clusterRoleSelectors"].list
        if selectors.isEmpty { findings.required(path, "at least one clusterRoleSelector required if aggregationRule is non-nil") }
        for (index, selector) in selectors.enumerated() {
            let errors = LabelSelector.errors(selector, at: path.element(index))
            findings.add(errors)
            if !errors.isEmpty { findings.invalid(path.element(index), .null, "invalid label selector.") }
        }
        return findings.errors
    }

    private func check(_ rule: Node, _ path: NodePath, _ findings: inout Findings) {
        if rule["verbs"].isEmpty { findings.required(path.child("verbs"), "verbs must contain at least one value") }
        let urls = rule["nonResourceURLs"]
        if !urls.isEmpty {
            if isNamespaced { findings.invalid(path.child("nonResourceURLs"), urls, "namespaced rules cannot apply to non-resource URLs") }
            if ["apiGroups", "resources", "resourceNames"].contains(where: { !rule[$0].isEmpty }) {
                findings.invalid(path.child("nonResourceURLs"), urls, "rules cannot apply to both regular resources and non-resource URLs")
            }
            return
        }
        if rule["apiGroups"].isEmpty { findings.required(path.child("apiGroups"), "resource rules must supply at least one api group") }
        if rule["resources"].isEmpty { findings.required(path.child("resources"), "resource rules must supply at least one resource") }
    }
}

/// Bindings of both scopes: the role that is bound stays, the subjects may change.
package struct RoleBindingStrategy: KindStrategy {
    private let isNamespaced: Bool
    package init(isNamespaced: Bool) { self.isNamespaced = isNamespaced }
    package var traits: KindTraits { AccessTraits.traits }
    private static let group = "rbac.authorization.k8s.io"

    package func setDefaults(_ object: inout Node) {
        if object["roleRef"]["apiGroup"].isEmpty { object["roleRef"]["apiGroup"] = .string(RoleBindingStrategy.group) }
        guard case .list(var subjects) = object["subjects"] else { return }
        for index in subjects.indices where subjects[index]["apiGroup"].isEmpty && ["User", "Group"].contains(subjects[index]["kind"].string ?? "") {
            subjects[index]["apiGroup"] = .string(RoleBindingStrategy.group)
        }
        object["subjects"] = .list(subjects)
    }

    package func validate(_ object: Node) -> [FieldError] {
        var findings = Findings()
        let (role, path) = (object["roleRef"], NodePath([.key("roleRef")]))
        let group = role["apiGroup"].string ?? ""
        if group != RoleBindingStrategy.group { findings.notSupported(path.child("apiGroup"), group, [RoleBindingStrategy.group]) }
        let kinds = isNamespaced ? ["Role", "ClusterRole"] : ["ClusterRole"]
        let kind = role["kind"].string ?? ""
        if !kinds.contains(kind) { findings.notSupported(path.child("kind"), kind, kinds) }
        findings.named(path.child("name"), role["name"]) { NameFormat.pathSegment($0) }
        for (index, subject) in object["subjects"].list.enumerated() { check(subject, NodePath([.key("subjects"), .index(index)]), &findings) }
        return findings.errors
    }

    private func check(_ subject: Node, _ path: NodePath, _ findings: inout Findings) {
        let (name, group) = (subject["name"].string ?? "", subject["apiGroup"].string ?? "")
        if name.isEmpty { findings.required(path.child("name")) }
        switch subject["kind"].string {
        case "ServiceAccount":
            if !name.isEmpty { findings.format(path.child("name"), name, NameFormat.dnsSubdomain) }
            if !group.isEmpty { findings.notSupported(path.child("apiGroup"), group, [""]) }
            if !isNamespaced, subject["namespace"].isEmpty { findings.required(path.child("namespace")) }
        case "User", "Group":
            if group != RoleBindingStrategy.group { findings.notSupported(path.child("apiGroup"), group, [RoleBindingStrategy.group]) }
        default: findings.notSupported(path.child("kind"), subject["kind"].string ?? "", ["ServiceAccount", "User", "Group"])
        }
    }

    package func validateUpdate(_ object: Node, old: Node, subresource: String) -> [FieldError] {
        if object["roleRef"] == old["roleRef"] { return [] }
        let role = object["roleRef"]
        let shown: Node = [
            "APIGroup": .string(role["apiGroup"].string ?? ""), "Kind": .string(role["kind"].string ?? ""), "Name": .string(role["name"].string ?? ""),
        ]
        return [.invalid("roleRef", shown.jsonText, "cannot change roleRef")]
    }
}

private enum AccessTraits {
    static var traits: KindTraits {
        var traits = KindTraits()
        traits.nameRule = .pathSegment
        traits.allowsCreateOnUpdate = true
        return traits
    }
}
