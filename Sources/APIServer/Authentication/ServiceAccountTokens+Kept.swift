package import Core
package import Machinery
import Store
import Tree

/// Tokens that lie in Secrets of type `kubernetes.io/service-account-token` and never end. Good as long as the Secret holds that very
/// token and the account is the one it was made for.
extension ServiceAccountTokens {
    static let keptIssuer = "kubernetes/serviceaccount"
    private static let claim = "kubernetes.io/serviceaccount/"
    package static let lastUsedLabel = "kubernetes.io/legacy-token-last-used"
    private static let invalidLabel = "kubernetes.io/legacy-token-invalid-since"

    package func keptToken(namespace: String, account: String, uid: String, secret: String) throws(APIError) -> String {
        let own = ServiceAccountTokens.claim
        var claims: Node = [
            "iss": .string(ServiceAccountTokens.keptIssuer), "sub": .string("system:serviceaccount:\(namespace):\(account)"),
        ]
        for (name, value) in [("namespace", namespace), ("secret.name", secret), ("service-account.name", account), ("service-account.uid", uid)] {
            claims["\(own)\(name)"] = .string(value)
        }
        return try sign(claims)
    }

    func keptUser(of token: String, _ claims: Node, _ audiences: [String]) -> (user: UserInfo, audiences: [String])? {
        // It names no audience, which stands for the API server.
        let carried = audiences.filter { $0 == ServiceAccountTokens.issuer }
        func text(_ name: String) -> String { claims["\(ServiceAccountTokens.claim)\(name)"].string ?? "" }
        let (namespace, name, uid) = (text("namespace"), text("service-account.name"), text("service-account.uid"))
        let key = Key("secrets", namespace: namespace, name: text("secret.name"))
        guard !carried.isEmpty, !uid.isEmpty, claims["sub"].string == "system:serviceaccount:\(namespace):\(name)",
            let secret = try? store.get(key)?.node(), !secret.isBeingDeleted, secret["data"]["token"].string == Base64.encode(Array(token.utf8)),
            let account = try? store.get(Key("serviceaccounts", namespace: namespace, name: name))?.node(), account.uid == uid, !account.isBeingDeleted
        else { return nil }
        note(secret, key)
        guard (secret.labels[ServiceAccountTokens.invalidLabel] ?? "").isEmpty else { return nil }
        let user = UserInfo(
            name: "system:serviceaccount:\(namespace):\(name)", uid: uid,
            groups: ["system:serviceaccounts", "system:serviceaccounts:\(namespace)", "system:authenticated"])
        return (user, carried)
    }

    private func note(_ secret: Node, _ key: Key) {
        let now = time.now()
        let days = [now, now + .seconds(86400)].map(ServiceAccountTokens.day)
        guard !days.contains(secret.labels[ServiceAccountTokens.lastUsedLabel] ?? "") else { return }
        used.yield(key)
    }

    package static func day(_ time: Timestamp) -> String { String(time.rfc3339.prefix(10)) }
}
