import Machinery
import Tree

/// A way to be allowed to act as another user: KEP 5284's four constrained ones, each of which asks twice (may the asker be such a user at
/// all, by the verb `impersonate:MODE`; may he do this as such a one, by `impersonate-on:MODE:VERB`), and the old verb `impersonate`.
enum ImpersonationMode: String {
    /// The node that the asking ServiceAccount's pod runs on.
    case associatedNode = "associated-node"
    case arbitraryNode = "arbitrary-node"
    case serviceAccount = "serviceaccount"
    /// Everybody who is neither a node nor a ServiceAccount.
    case userInfo = "user-info"
    case legacy = ""

    var verb: String { self == .legacy ? "impersonate" : "impersonate:\(rawValue)" }

    /// From so many groups or values on, the right to all of them is asked for first.
    private static let many = 4
    private static let identities = "authentication.k8s.io"

    func fits(_ wanted: UserInfo, asker: UserInfo) -> Bool {
        let isBare = wanted.uid.isEmpty && wanted.groups.isEmpty && wanted.extra.isEmpty
        switch self {
        case .associatedNode:
            guard isBare, let node = wanted.nodeName, asker.serviceAccount != nil else { return false }
            return asker.extra["authentication.kubernetes.io/node-name"] == [node]
        case .arbitraryNode: return isBare && wanted.nodeName != nil
        case .serviceAccount: return isBare && wanted.serviceAccount != nil
        case .userInfo: return wanted.nodeName == nil && wanted.serviceAccount == nil
        case .legacy: return true
        }
    }

    /// The whole user, or why not.
    func grant(_ wanted: UserInfo, _ asked: Attributes, _ authorizer: RBACAuthorizer) throws(APIError) -> UserInfo {
        var asker = asked.user
        // A right to one's own node is one to whichever node that is, so nothing of the very node is told.
        if self == .associatedNode { asker.extra = ["authentication.kubernetes.io/associated-node-keys": asker.extra.keys.sorted()] }
        let check = Check(authorizer: authorizer, asker: asker, verb: verb)
        if self != .legacy {
            var wish = asked
            wish.user = asker
            wish.verb = "impersonate-on:\(rawValue):\(asked.verb)"
            try check.pass(wish)
        }
        var granted = wanted
        try grantName(&granted, check)
        if !wanted.uid.isEmpty { try check("uids", ImpersonationMode.identities, wanted.uid) }
        try grantGroups(wanted.groups, check)
        try grantExtra(wanted.extra, check)
        if granted.name == UserInfo.anonymous.name {
            if !granted.groups.contains("system:unauthenticated") { granted.groups.append("system:unauthenticated") }
        } else if !granted.groups.contains("system:unauthenticated"), !granted.groups.contains("system:authenticated") {
            granted.groups.append("system:authenticated")
        }
        return granted
    }

    /// The API group of users, groups and accounts: the old verb's is the core.
    private var people: String { self == .legacy ? "" : ImpersonationMode.identities }

    private func grantName(_ user: inout UserInfo, _ check: Check) throws(APIError) {
        if self != .legacy, let node = user.nodeName {
            user.groups = ["system:nodes"]
            return try check("nodes", people, self == .associatedNode ? "*" : node)
        }
        guard let account = user.serviceAccount else { return try check("users", people, user.name) }
        if user.groups.isEmpty { user.groups = ["system:serviceaccounts", "system:serviceaccounts:\(account.namespace)"] }
        try check("serviceaccounts", people, account.name, namespace: account.namespace)
    }

    private func grantGroups(_ groups: [String], _ check: Check) throws(APIError) {
        if self != .legacy {
            if groups.contains("") { throw check.refusal("groups", people, "", why: "impersonating the empty string group is not allowed") }
            if let masters = groups.first(where: { $0 == "system:masters" }) {
                throw check.refusal("groups", people, masters, why: "impersonating the system:masters group is not allowed")
            }
            if groups.count >= ImpersonationMode.many, (try? check("groups", people, "*")) != nil { return }
        }
        for group in groups { try check("groups", people, group) }
    }

    private func grantExtra(_ extra: [String: [String]], _ check: Check) throws(APIError) {
        if self != .legacy {
            for (key, values) in extra.sorted(by: { $0.key < $1.key }) {
                if let why = ImpersonationMode.problem(key, values) { throw check.refusal("userextras", ImpersonationMode.identities, "", why: why) }
            }
            let isMany = extra.count >= ImpersonationMode.many || extra.values.reduce(0) { $0 + $1.count } >= ImpersonationMode.many
            if isMany, (try? check("userextras", ImpersonationMode.identities, "*", subresource: "*")) != nil { return }
        }
        for (key, values) in extra.sorted(by: { $0.key < $1.key }) {
            for value in values { try check("userextras", ImpersonationMode.identities, value, subresource: key) }
        }
    }

    private static func problem(_ key: String, _ values: [String]) -> String? {
        if key.isEmpty { return "impersonating the empty string key in extra is not allowed" }
        let findings = FieldError.domainPrefixedPath(key, at: "extra.key")
        if !findings.isEmpty { return "impersonating an invalid key in extra is not allowed: \(FieldError.aggregate(findings))" }
        if key != key.lowercased() { return "impersonating a non-lowercase key in extra is not allowed: \(NodePath.quoted(key))" }
        return values.contains("") ? "impersonating the empty string value in extra is not allowed" : nil
    }

    /// Questions to authorization about one asker.
    private struct Check {
        let authorizer: RBACAuthorizer
        let asker: UserInfo
        let verb: String

        func callAsFunction(_ resource: String, _ group: String, _ name: String, namespace: String = "", subresource: String = "") throws(APIError) {
            try pass(Attributes(user: asker, verb: verb, group: group, resource: resource, subresource: subresource, namespace: namespace, name: name))
        }

        func pass(_ asked: Attributes) throws(APIError) {
            guard authorizer.allows(asked) else { throw APIServer.refusal(asked) }
        }

        func refusal(_ resource: String, _ group: String, _ name: String, why: String) -> APIError {
            APIServer.refusal(Attributes(user: asker, verb: verb, group: group, resource: resource, name: name), why)
        }
    }
}

extension UserInfo {
    /// The namespace and name of the ServiceAccount that this is the user of.
    var serviceAccount: (namespace: String, name: String)? {
        let prefix = "system:serviceaccount:"
        guard name.hasPrefix(prefix) else { return nil }
        let parts = name.dropFirst(prefix.count).split(separator: ":", omittingEmptySubsequences: false).map(String.init)
        guard parts.count == 2, NameFormat.dnsLabel(parts[0]).isEmpty, NameFormat.dnsSubdomain(parts[1]).isEmpty else { return nil }
        return (parts[0], parts[1])
    }

    /// The node that this is the user of.
    var nodeName: String? {
        let prefix = "system:node:"
        guard name.hasPrefix(prefix) else { return nil }
        let node = String(name.dropFirst(prefix.count))
        return NameFormat.dnsSubdomain(node).isEmpty ? node : nil
    }
}
