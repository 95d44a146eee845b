package import Core
package import Machinery
package import Store
import Synchronization
package import Transport
import Tree

/// Signs and checks the tokens of service accounts: JWTs bound to an account and, where asked, to a pod, secret or node.
/// A token is good as long as the objects that it names exist with the same uid.
package final class ServiceAccountTokens: Authenticator {
    package static let issuer = "https://kubernetes.default.svc.cluster.local"

    /// What a token is bound to beside its account.
    package struct Binding: Sendable {
        package var kind: String
        package var name: String
        package var uid: String
        package init(kind: String, name: String, uid: String) {
            self.kind = kind
            self.name = name
            self.uid = uid
        }
    }

    private let key: PrivateKey
    let store: Store
    let time: any TimeSource
    /// Tokens in Secrets that were used, each told once a day.
    package let uses: AsyncStream<Key>
    let used: AsyncStream<Key>.Continuation
    /// Tokens whose signature was checked, with what they say; bindings are looked up each time.
    private let verified = Mutex<[String: Claims]>([:])

    final class Claims: Sendable {
        let node: Node
        let expiry: Int64
        /// Of a token that lies in a Secret: it has no end, and no bindings but that Secret.
        let isKept: Bool
        init(_ node: Node) {
            self.node = node
            isKept = node["iss"].string == ServiceAccountTokens.keptIssuer
            expiry = node["exp"].int ?? 0
        }
    }

    package init(key: PrivateKey, store: Store, time: any TimeSource = SystemTime()) {
        self.key = key
        self.store = store
        self.time = time
        (uses, used) = AsyncStream.makeStream(bufferingPolicy: .bufferingOldest(256))
    }

    package var publicKey: PublicKey { key.publicKey }

    // MARK: - Issuing

    package func issue(
        namespace: String, name: String, uid: String, audiences: [String], lifetime: Int64, binding: Binding? = nil, node: (name: String, uid: String)? = nil
    ) throws(APIError) -> (token: String, expiry: Timestamp, id: String) {
        let now = time.now()
        let id = Identifier.uuid()
        let expiry = now + .seconds(lifetime)
        var own: Node = ["namespace": .string(namespace), "serviceaccount": ["name": .string(name), "uid": .string(uid)]]
        if let binding { own[binding.kind.lowercased()] = ["name": .string(binding.name), "uid": .string(binding.uid)] }
        if let node { own["node"] = ["name": .string(node.name), "uid": .string(node.uid)] }
        let claims: Node = [
            "aud": Node(audiences.isEmpty ? [ServiceAccountTokens.issuer] : audiences), "exp": .int(expiry.seconds), "iat": .int(now.seconds),
            "nbf": .int(now.seconds), "iss": .string(ServiceAccountTokens.issuer), "jti": .string(id),
            "sub": .string("system:serviceaccount:\(namespace):\(name)"), "kubernetes.io": own,
        ]
        return (try sign(claims), expiry, id)
    }

    func sign(_ claims: Node) throws(APIError) -> String {
        do { return try JWT.sign(JSONWriter.write(claims), key: key) } catch {
            throw APIError.internalError("the token could not be signed: \(error)")
        }
    }

    // MARK: - Checking

    package func authenticate(_ request: HTTPRequest) throws(APIError) -> UserInfo? {
        guard let token = BearerToken.of(request) else { return nil }
        return user(of: token, audiences: [ServiceAccountTokens.issuer])?.user
    }

    /// Who a token stands for, and which of the audiences asked for it carries; nil for a token that is not good (any more).
    package func user(of token: String, audiences: [String]) -> (user: UserInfo, audiences: [String])? {
        guard let claims = claims(of: token) else { return nil }
        if claims.isKept { return keptUser(of: token, claims.node, audiences) }
        guard claims.expiry > time.now().seconds else { return nil }
        let carried = claims.node["aud"].stringList.filter { audiences.contains($0) }
        guard !carried.isEmpty else { return nil }
        let own = claims.node["kubernetes.io"]
        let namespace = own["namespace"].string ?? ""
        let account = own["serviceaccount"]
        guard let name = account["name"].string, exists("serviceaccounts", namespace, account) else { return nil }
        var extra: [String: [String]] = [:]
        if let id = claims.node["jti"].string { extra["authentication.kubernetes.io/credential-id"] = ["JTI=\(id)"] }
        for (field, collection) in [("pod", "pods"), ("secret", "secrets")] where !own[field].isNull {
            guard exists(collection, namespace, own[field]) else { return nil }
            extra["authentication.kubernetes.io/\(field)-name"] = [own[field]["name"].string ?? ""]
            extra["authentication.kubernetes.io/\(field)-uid"] = [own[field]["uid"].string ?? ""]
        }
        if !own["node"].isNull {
            extra["authentication.kubernetes.io/node-name"] = [own["node"]["name"].string ?? ""]
            extra["authentication.kubernetes.io/node-uid"] = [own["node"]["uid"].string ?? ""]
        }
        let user = UserInfo(
            name: "system:serviceaccount:\(namespace):\(name)", uid: account["uid"].string ?? "",
            groups: ["system:serviceaccounts", "system:serviceaccounts:\(namespace)", "system:authenticated"], extra: extra)
        return (user, carried)
    }

    private func claims(of token: String) -> Claims? {
        if let claims = verified.withLock({ $0[token] }) { return claims }
        guard let parts = JWT.parse(token), JWT.verify(parts, keys: [key.publicKey]), let node = try? JSONReader.read(parts.payload),
            [ServiceAccountTokens.issuer, ServiceAccountTokens.keptIssuer].contains(node["iss"].string), node["nbf"].int ?? 0 <= time.now().seconds + 60
        else { return nil }
        let claims = Claims(node)
        verified.withLock { verified in
            if verified.count > 2048 { verified.removeAll() }
            verified[token] = claims
        }
        return claims
    }

    func exists(_ collection: String, _ namespace: String, _ reference: Node) -> Bool {
        guard let name = reference["name"].string, let record = store.get(Key(collection, namespace: namespace, name: name)),
            let object = try? record.node()
        else { return false }
        return object.uid == reference["uid"].string
    }
}
