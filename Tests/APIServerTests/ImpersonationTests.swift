@testable import APIServer
import Machinery
import Testing
import Transport
import Tree

/// Who may act as whom, and at what.
@Suite struct ImpersonationTests {
    private static let agent = UserInfo(
        name: "system:serviceaccount:default:agent", groups: ["system:serviceaccounts", "system:authenticated"],
        extra: ["authentication.kubernetes.io/node-name": ["n1"], "authentication.kubernetes.io/pod-name": ["agent-1"]])
    private static let operators = UserInfo(name: "olga", groups: ["system:authenticated"])

    /// A server where `user` has the rules, each of verb, API group and resource.
    private func outcomes(
        of user: UserInfo, _ rules: [(verb: String, group: String, resource: String)], _ body: (Outcome) async throws -> Void
    ) async throws {
        let fixture = try await ServerFixture()
        let rights = rules.map { ["verbs": [.string($0.verb)], "apiGroups": [.string($0.group)], "resources": [.string($0.resource)]] as Node }
        let role: Node = ["apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": ["name": "r"], "rules": .list(rights)]
        let binding: Node = [
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": ["name": "r"],
            "roleRef": ["apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "r"],
            "subjects": [["apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": .string(user.name)]],
        ]
        for (path, object) in [("clusterroles", role), ("clusterrolebindings", binding)] {
            let (code, answer) = try await fixture.send("POST", "/apis/rbac.authorization.k8s.io/v1/\(path)", object.jsonText)
            #expect(code == 201, "\(answer.jsonText)")
        }
        try await body(Outcome(user: user, authorizer: RBACAuthorizer(store: fixture.store)))
        await fixture.stop()
    }

    private struct Outcome {
        let user: UserInfo
        let authorizer: RBACAuthorizer

        /// The user and the right by which, or what is answered.
        func callAsFunction(_ verb: String, _ resource: String, as headers: [(String, String)]) -> (user: UserInfo?, by: String) {
            var fields = HTTPHeaders()
            for (name, value) in headers { fields.append(name, value) }
            let asked = Attributes(user: user, verb: verb, group: "", resource: resource, namespace: "default")
            do throws(APIError) {
                guard let impersonation = try Impersonation(fields) else { return (nil, "not asked for") }
                let granted = try impersonation.grant(asked, by: authorizer)
                return (granted.user, granted.constraint)
            } catch { return (nil, error.message) }
        }
    }

    @Test func anAgentActsAsItsOwnNodeOnlyAndOnlyAtWhatItMay() async throws {
        try await outcomes(of: Self.agent, [("impersonate:associated-node", "authentication.k8s.io", "nodes"), ("impersonate-on:associated-node:list", "", "pods")]) { outcome in
            let own = outcome("list", "pods", as: [("Impersonate-User", "system:node:n1")])
            #expect(own.by == "impersonate:associated-node")
            #expect(own.user == UserInfo(name: "system:node:n1", groups: ["system:nodes", "system:authenticated"]))
            #expect(
                outcome("get", "pods", as: [("Impersonate-User", "system:node:n1")]).by
                    == "pods is forbidden: User \"system:serviceaccount:default:agent\" cannot impersonate-on:associated-node:get resource \"pods\" in API group \"\" in the namespace \"default\"")
            #expect(
                outcome("list", "pods", as: [("Impersonate-User", "system:node:n2")]).by
                    == "pods is forbidden: User \"system:serviceaccount:default:agent\" cannot impersonate-on:arbitrary-node:list resource \"pods\" in API group \"\" in the namespace \"default\"")
            #expect(outcome("list", "pods", as: [("Impersonate-User", "system:node:n1"), ("Impersonate-Group", "system:masters")]).user == nil)
        }
    }

    @Test func aServiceAccountIsActedAsWithItsOwnGroups() async throws {
        try await outcomes(of: Self.operators, [("impersonate:serviceaccount", "authentication.k8s.io", "serviceaccounts"), ("impersonate-on:serviceaccount:list", "", "pods")]) { outcome in
            let account = outcome("list", "pods", as: [("Impersonate-User", "system:serviceaccount:a:b")])
            #expect(account.by == "impersonate:serviceaccount")
            #expect(account.user?.groups == ["system:serviceaccounts", "system:serviceaccounts:a", "system:authenticated"])
            #expect(outcome("list", "pods", as: [("Impersonate-User", "system:serviceaccount:a:b"), ("Impersonate-Group", "g")]).user == nil)
            #expect(outcome("list", "pods", as: [("Impersonate-User", "system:serviceaccount:a")]).user == nil, "no account's name")
        }
    }

    @Test func otherUsersComeWithGroupsAndExtraButNeverAsMasters() async throws {
        let rules = ["users", "groups", "uids", "userextras/acme.io/scopes"].map { ("impersonate:user-info", "authentication.k8s.io", $0) }
        try await outcomes(of: Self.operators, rules + [("impersonate-on:user-info:list", "", "pods")]) { outcome in
            let jane = outcome(
                "list", "pods", as: [("Impersonate-User", "jane"), ("Impersonate-Group", "g"), ("Impersonate-Uid", "u"), ("Impersonate-Extra-Acme.io%2Fscopes", "x")])
            #expect(jane.by == "impersonate:user-info")
            #expect(jane.user == UserInfo(name: "jane", uid: "u", groups: ["g", "system:authenticated"], extra: ["acme.io/scopes": ["x"]]))
            let who = "User \"olga\" cannot impersonate:user-info resource"
            #expect(
                outcome("list", "pods", as: [("Impersonate-User", "jane"), ("Impersonate-Group", "system:masters")]).by
                    == "groups.authentication.k8s.io \"system:masters\" is forbidden: \(who) \"groups\" in API group \"authentication.k8s.io\" at the cluster scope: impersonating the system:masters group is not allowed")
            #expect(
                outcome("list", "pods", as: [("Impersonate-User", "jane"), ("Impersonate-Extra-Scopes", "x")]).by
                    == "userextras.authentication.k8s.io is forbidden: \(who) \"userextras\" in API group \"authentication.k8s.io\" at the cluster scope: impersonating an invalid key in extra is not allowed: extra.key: Invalid value: \"scopes\": must be a domain-prefixed path (such as \"acme.io/foo\")")
            #expect(outcome("list", "pods", as: [("Impersonate-User", "jane"), ("Impersonate-Extra-Acme.io%2Fother", "x")]).user == nil)
            #expect(outcome("list", "pods", as: [("Impersonate-User", "system:node:n1")]).user == nil, "nodes are no such users")
        }
    }

    @Test func theOldVerbStillSufficesForEverything() async throws {
        try await outcomes(of: Self.operators, [("impersonate", "", "users"), ("impersonate", "", "groups"), ("impersonate", "authentication.k8s.io", "userextras/scopes")]) { outcome in
            let jane = outcome("delete", "nodes", as: [("Impersonate-User", "jane"), ("Impersonate-Group", "system:masters"), ("Impersonate-Extra-Scopes", "x")])
            #expect(jane.user == UserInfo(name: "jane", groups: ["system:masters", "system:authenticated"], extra: ["scopes": ["x"]]))
            #expect(jane.by == "")
            #expect(outcome("list", "pods", as: [("Impersonate-User", "system:anonymous")]).user?.groups == ["system:unauthenticated"])
        }
    }

    @Test func partsOfAUserWithoutANameAreRefused() async throws {
        try await outcomes(of: Self.operators, [("impersonate", "", "users")]) { outcome in
            #expect(
                outcome("list", "pods", as: [("Impersonate-Group", "g")]).by
                    == "requested &user.DefaultInfo{Name:\"\", UID:\"\", Groups:[]string{\"g\"}, Extra:map[string][]string(nil)} without impersonating a user name")
            #expect(outcome("list", "pods", as: []).by == "not asked for")
        }
    }
}
