package import Core
import Machinery
package import Store
import Tree

/// The tokens by which new nodes join: Secrets of kube-system that hold one each, until they expire.
package struct BootstrapTokenAuthenticator: TokenAuthenticator {
    private let store: Store
    private let time: any TimeSource

    package init(store: Store, time: any TimeSource = SystemTime()) {
        self.store = store
        self.time = time
    }

    /// Who a token stands for; nil for one that is not good.
    package func user(of token: String) -> UserInfo? {
        let parts = token.split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count == 2, isToken(parts[0], 6), isToken(parts[1], 16) else { return nil }
        let id = String(parts[0])
        guard let secret = try? store.get(Key("secrets", namespace: "kube-system", name: "bootstrap-token-\(id)"))?.node(),
            secret["type"].string == "bootstrap.kubernetes.io/token", !secret.isBeingDeleted
        else { return nil }
        func value(_ key: String) -> String { secret["data"][key].string.flatMap { Base64.decode($0) }.map { String(decoding: $0, as: UTF8.self) } ?? "" }
        guard value("token-id") == id, isSame(value("token-secret"), String(parts[1])), value("usage-bootstrap-authentication") == "true" else { return nil }
        let expiration = value("expiration")
        if !expiration.isEmpty {
            guard let end = Timestamp(rfc3339: expiration), end > time.now() else { return nil }
        }
        let extra = value("auth-extra-groups").split(separator: ",").map(String.init).filter { $0.hasPrefix("system:bootstrappers:") }
        return UserInfo(name: "system:bootstrap:\(id)", groups: ["system:bootstrappers"] + extra.sorted())
    }

    private func isToken(_ text: Substring, _ length: Int) -> Bool {
        text.utf8.count == length && text.utf8.allSatisfy { (48...57).contains($0) || (97...122).contains($0) }
    }

    /// Looks at every byte, so that the time taken tells nothing.
    private func isSame(_ a: String, _ b: String) -> Bool {
        let left = Array(a.utf8)
        let right = Array(b.utf8)
        guard left.count == right.count else { return false }
        return zip(left, right).reduce(0) { $0 | ($1.0 ^ $1.1) } == 0
    }
}
