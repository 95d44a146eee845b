import Machinery
package import Store
import Synchronization
import Tree

/// Role-based access control over the roles and bindings in the store. Rebuilt when one of them changes, so a question is
/// answered from memory.
package final class RBACAuthorizer: Sendable {
    /// The rules that a binding gives to a subject, where.
    fileprivate struct Grant: Sendable {
        /// Empty for the whole cluster.
        let namespace: String
        /// For the audit log: by which binding of what to whom.
        let origin: String
        let rules: [PolicyRule]
    }

    fileprivate struct Index: Sendable {
        var revision: Int64 = -1
        var byUser: [String: [Grant]] = [:]
        var byGroup: [String: [Grant]] = [:]
    }

    private static let collections = ["roles", "clusterroles", "rolebindings", "clusterrolebindings"].map { "rbac.authorization.k8s.io/\($0)" }

    private let store: Store
    private let index = Mutex(Index())
    private let nodes: NodeAuthorizer
    private let changes: ChangeFlag

    package init(store: Store) {
        self.store = store
        nodes = NodeAuthorizer(store)
        changes = ChangeFlag()
        for collection in RBACAuthorizer.collections { changes.follow(collection, in: store) }
    }

    /// Whether the user may; masters always may.
    package func allows(_ asked: Attributes) -> Bool { permission(asked) != nil }

    /// Why the user may, as upstream words it; nil when not. Empty where the words would tell nothing.
    package func permission(_ asked: Attributes) -> String? {
        if asked.user.isMaster || nodes.allows(asked) { return "" }
        var found: String?
        forEachGrant(of: asked.user, in: asked.namespace) { grant in
            if found == nil, grant.rules.contains(where: { $0.allows(asked) }) { found = "RBAC: allowed by \(grant.origin)" }
        }
        return found
    }

    /// All the rules that hold for a user in a namespace ("" for the cluster), for SelfSubjectRulesReview and escalation checks.
    package func rules(of user: UserInfo, in namespace: String) -> [PolicyRule] {
        if user.isMaster {
            return [PolicyRule(verbs: ["*"], groups: ["*"], resources: ["*"]), PolicyRule(verbs: ["*"], paths: ["*"])]
        }
        var out: [PolicyRule] = []
        forEachGrant(of: user, in: namespace) { out += $0.rules }
        return out
    }

    private func forEachGrant(of user: UserInfo, in namespace: String, _ body: (Grant) -> Void) {
        let current = upToDate()
        func visit(_ grants: [Grant]?) {
            for grant in grants ?? [] where grant.namespace.isEmpty || grant.namespace == namespace { body(grant) }
        }
        visit(current.byUser[user.name])
        for group in user.groups { visit(current.byGroup[group]) }
    }

    private func upToDate() -> Index {
        let seen = changes.count
        if let current = index.withLock({ $0.revision == seen ? $0 : nil }) { return current }
        let built = build(seen)
        index.withLock { $0 = built }
        return built
    }

    // MARK: - Building

    private func build(_ revision: Int64) -> Index {
        var roles: [String: [PolicyRule]] = [:]
        forEach("roles") { roles["\($0.namespace)/\($0.name)"] = $0["rules"].list.map(PolicyRule.init) }
        forEach("clusterroles") { roles[$0.name] = $0["rules"].list.map(PolicyRule.init) }
        var index = Index(revision: revision)
        forEach("clusterrolebindings") { index.add($0, roles[$0["roleRef"]["name"].string ?? ""]) }
        forEach("rolebindings") { binding in
            let role = binding["roleRef"]["name"].string ?? ""
            index.add(binding, binding["roleRef"]["kind"].string == "Role" ? roles["\(binding.namespace)/\(role)"] : roles[role])
        }
        return index
    }

    private func forEach(_ plural: String, _ body: (Node) -> Void) {
        guard let page = try? store.list("rbac.authorization.k8s.io/\(plural)") else { return }
        for record in page.records { if let node = try? record.node() { body(node) } }
    }
}

extension RBACAuthorizer.Index {
    fileprivate mutating func add(_ binding: Node, _ rules: [PolicyRule]?) {
        guard let rules, !rules.isEmpty else { return }
        let role = binding["roleRef"]
        let shown = binding.namespace.isEmpty ? binding.name : "\(binding.name)/\(binding.namespace)"
        let kind = binding.namespace.isEmpty ? "ClusterRoleBinding" : "RoleBinding"
        let origin = "\(kind) \"\(shown)\" of \(role["kind"].string ?? "") \"\(role["name"].string ?? "")\" to "
        for subject in binding["subjects"].list {
            let name = subject["name"].string ?? ""
            func grant(_ kind: String, _ name: String) -> RBACAuthorizer.Grant {
                .init(namespace: binding.namespace, origin: "\(origin)\(kind) \"\(name)\"", rules: rules)
            }
            switch subject["kind"].string {
            case "User": byUser[name, default: []].append(grant("User", name))
            case "Group": byGroup[name, default: []].append(grant("Group", name))
            case "ServiceAccount":
                let namespace = subject["namespace"].string ?? binding.namespace
                byUser["system:serviceaccount:\(namespace):\(name)", default: []].append(grant("ServiceAccount", "\(name)/\(namespace)"))
            default: continue
            }
        }
    }
}

/// Counts the changes of collections, so that what was built from them knows when to be built anew.
package final class ChangeFlag: WatchSink {
    private let value = Atomic<Int64>(0)
    private let subscriptions = Mutex<[WatchSubscription]>([])

    package init() {}

    package var count: Int64 { value.load(ordering: .acquiring) }

    package func follow(_ collection: String, in store: Store) {
        guard let subscription = try? store.watch(WatchInterest(collection), limit: .max, sink: self) else { return }
        subscriptions.withLock { $0.append(subscription) }
    }

    package func deliver(_ batch: WatchBatch) { value.wrappingAdd(1, ordering: .releasing) }
    package func ended(_ reason: WatchEnd) { value.wrappingAdd(1, ordering: .releasing) }
}
