package import Tree

/// A rule of a Role or ClusterRole, ready to match.
package struct PolicyRule: Sendable, Equatable {
    package var verbs: [String]
    package var groups: [String] = []
    package var resources: [String] = []
    package var names: [String] = []
    package var paths: [String] = []

    package init(_ node: Node) {
        verbs = node["verbs"].stringList
        groups = node["apiGroups"].stringList
        resources = node["resources"].stringList
        names = node["resourceNames"].stringList
        paths = node["nonResourceURLs"].stringList
    }

    package init(verbs: [String], groups: [String] = [], resources: [String] = [], names: [String] = [], paths: [String] = []) {
        self.verbs = verbs
        self.groups = groups
        self.resources = resources
        self.names = names
        self.paths = paths
    }

    package func allows(_ asked: Attributes) -> Bool {
        guard verbs.contains("*") || verbs.contains(asked.verb) else { return false }
        guard asked.isResource else { return paths.contains { PolicyRule.path($0, covers: asked.path) } }
        guard groups.contains("*") || groups.contains(asked.group) else { return false }
        guard resources.contains(where: { PolicyRule.resource($0, covers: asked) }) else { return false }
        return names.isEmpty || (!asked.name.isEmpty && names.contains(asked.name))
    }

    private static func resource(_ rule: String, covers asked: Attributes) -> Bool {
        if rule == "*" || rule == asked.qualifiedResource { return true }
        // "*/scale" grants a subresource of every resource.
        return !asked.subresource.isEmpty && rule == "*/\(asked.subresource)"
    }

    private static func path(_ rule: String, covers path: String) -> Bool {
        if rule == "*" || rule == path { return true }
        return rule.hasSuffix("*") && path.hasPrefix(rule.dropLast())
    }

    package var node: Node {
        var out: Node = ["verbs": Node(verbs)]
        if !paths.isEmpty { out["nonResourceURLs"] = Node(paths) }
        if !groups.isEmpty { out["apiGroups"] = Node(groups) }
        if !resources.isEmpty { out["resources"] = Node(resources) }
        if !names.isEmpty { out["resourceNames"] = Node(names) }
        return out
    }
}

extension PolicyRule {
    /// Whether these rules together grant all that another rule grants: what keeps people from granting more than they have.
    /// Upstream breaks a rule into its single permissions and asks for each; the same is done here without building them.
    package static func covers(_ rules: [PolicyRule], _ asked: PolicyRule) -> Bool {
        for verb in asked.verbs {
            for path in asked.paths {
                guard rules.contains(where: { ($0.verbs.contains("*") || $0.verbs.contains(verb)) && $0.coversPath(path) }) else { return false }
            }
            for group in asked.groups {
                for resource in asked.resources {
                    for name in asked.names.isEmpty ? [nil] : asked.names.map(Optional.some) {
                        guard rules.contains(where: { $0.grants(verb, group, resource, name) }) else { return false }
                    }
                }
            }
        }
        return true
    }

    private func coversPath(_ path: String) -> Bool {
        paths.contains { $0 == path || $0 == "*" || ($0.hasSuffix("*") && path.hasPrefix($0.dropLast())) }
    }

    private func grants(_ verb: String, _ group: String, _ resource: String, _ name: String?) -> Bool {
        guard verbs.contains("*") || verbs.contains(verb), groups.contains("*") || groups.contains(group) else { return false }
        let subresource = resource.split(separator: "/", maxSplits: 1).dropFirst().first.map(String.init)
        guard resources.contains(where: { $0 == "*" || $0 == resource || (subresource != nil && $0 == "*/\(subresource ?? "")") }) else { return false }
        return names.isEmpty || name.map(names.contains) == true
    }
}
