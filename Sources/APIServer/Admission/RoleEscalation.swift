package import Machinery
package import Store
import Tree

/// Nobody grants by a role or binding what they do not have, unless they may `escalate` or `bind`.
package struct RoleEscalation: AdmissionPlugin {
    private let store: Store
    private let authorizer: RBACAuthorizer

    package init(_ store: Store, _ authorizer: RBACAuthorizer) {
        self.store = store
        self.authorizer = authorizer
    }
    package var name: String { "RoleEscalation" }

    private static let group = "rbac.authorization.k8s.io"

    package func concerns(_ request: AdmissionRequest, _ stage: AdmissionStage) -> Bool { stage == .mutating && request.resource.group == RoleEscalation.group }

    package func admit(_ request: inout AdmissionRequest) async throws(APIError) {
        guard request.resource.group == RoleEscalation.group, request.operation == .create || request.operation == .update, !request.user.isMaster else {
            return
        }
        if request.operation == .update, onlyBookkeeping(request.object, request.old) { return }
        switch request.resource.plural {
        case "roles", "clusterroles": try checkRole(request)
        case "rolebindings", "clusterrolebindings": try checkBinding(request)
        default: return
        }
    }

    private func checkRole(_ request: AdmissionRequest) throws(APIError) {
        let asked = Attributes(
            user: request.user, verb: "escalate", group: RoleEscalation.group, resource: request.resource.plural, namespace: request.namespace,
            name: request.name)
        if authorizer.allows(asked) { return }
        try confirm(request.object["rules"].list.map(PolicyRule.init), request)
        let aggregates = [request.object, request.old].contains { !$0["aggregationRule"]["clusterRoleSelectors"].list.isEmpty }
        if aggregates {
            let everything = [PolicyRule(verbs: ["*"], groups: ["*"], resources: ["*"]), PolicyRule(verbs: ["*"], paths: ["*"])]
            let own = authorizer.rules(of: request.user, in: request.namespace)
            guard everything.allSatisfy({ PolicyRule.covers(own, $0) }) else {
                throw request.forbidden("must have cluster-admin privileges to use the aggregationRule")
            }
        }
    }

    private func checkBinding(_ request: AdmissionRequest) throws(APIError) {
        let reference = request.object["roleRef"]
        let role = reference["name"].string ?? ""
        let plural = reference["kind"].string == "Role" ? "roles" : "clusterroles"
        let asked = Attributes(
            user: request.user, verb: "bind", group: RoleEscalation.group, resource: plural, namespace: request.namespace, name: role)
        if authorizer.allows(asked) { return }
        let key = Key("\(RoleEscalation.group)/\(plural)", namespace: plural == "roles" ? request.namespace : "", name: role)
        guard let record = store.get(key) else {
            throw .notFound(plural == "roles" ? "roles" : "clusterroles", group: RoleEscalation.group, name: role)
        }
        try confirm(try record.node()["rules"].list.map(PolicyRule.init), request)
    }

    private func confirm(_ rules: [PolicyRule], _ request: AdmissionRequest) throws(APIError) {
        let own = authorizer.rules(of: request.user, in: request.namespace)
        var missing: Set<String> = []
        for rule in rules {
            for verb in rule.verbs {
                for part in RoleEscalation.parts(of: rule, verb: verb) where !PolicyRule.covers(own, part) {
                    var whole = part
                    // One line for a group and resource, with all its verbs that are missing.
                    whole.verbs = rule.verbs.filter { other in
                        var single = part
                        single.verbs = [other]
                        return !PolicyRule.covers(own, single)
                    }
                    missing.insert(RoleEscalation.text(whole))
                }
            }
        }
        guard !missing.isEmpty else { return }
        let groups = request.user.groups.map(FieldError.quoted).joined(separator: " ")
        throw request.forbidden(
            "user \(FieldError.quoted(request.user.name)) (groups=[\(groups)]) is attempting to grant RBAC permissions not currently held:\n"
                + missing.sorted().joined(separator: "\n"))
    }

    private static func parts(of rule: PolicyRule, verb: String) -> [PolicyRule] {
        var out = rule.paths.map { PolicyRule(verbs: [verb], paths: [$0]) }
        for group in rule.groups {
            for resource in rule.resources {
                if rule.names.isEmpty { out.append(PolicyRule(verbs: [verb], groups: [group], resources: [resource])) }
                for name in rule.names { out.append(PolicyRule(verbs: [verb], groups: [group], resources: [resource], names: [name])) }
            }
        }
        return out
    }

    private static func text(_ rule: PolicyRule) -> String {
        func list(_ name: String, _ values: [String]) -> String? {
            values.isEmpty ? nil : "\(name):[\(values.map(FieldError.quoted).joined(separator: " "))]"
        }
        let parts = [
            list("APIGroups", rule.groups), list("Resources", rule.resources), list("NonResourceURLs", rule.paths), list("ResourceNames", rule.names),
            list("Verbs", rule.verbs),
        ]
        return "{" + parts.compactMap { $0 }.joined(separator: ", ") + "}"
    }

    /// The garbage collector takes owners and finalizers off roles without holding what they grant.
    private func onlyBookkeeping(_ new: Node, _ old: Node) -> Bool {
        var a = new
        var b = old
        for field in ["ownerReferences", "finalizers", "managedFields", "resourceVersion", "generation"] {
            a["metadata"].remove(field)
            b["metadata"].remove(field)
        }
        return a == b
    }
}
