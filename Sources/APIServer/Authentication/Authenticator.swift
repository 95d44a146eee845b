import Core
package import Machinery
import Synchronization
package import Transport

/// One way of finding out who sends a request. Nil: this way has nothing to say; throws: what was presented is wrong (401).
package protocol Authenticator: Sendable {
    func authenticate(_ request: HTTPRequest) async throws(APIError) -> UserInfo?
}

/// Asks each in turn; the first that knows decides. Nobody known is `system:anonymous`, unless something wrong was presented.
package struct AuthenticatorChain: Sendable {
    private let authenticators: [any Authenticator]
    private let configured: ConfiguredAuthentication?

    /// `configured` also says who may come without credentials; nil lets everybody.
    package init(_ authenticators: [any Authenticator], configured: ConfiguredAuthentication? = nil) {
        self.authenticators = authenticators + (configured.map { [$0] } ?? [])
        self.configured = configured
    }

    package func authenticate(_ request: HTTPRequest) async throws(APIError) -> UserInfo {
        for authenticator in authenticators {
            guard var user = try await authenticator.authenticate(request) else { continue }
            if !user.groups.contains("system:authenticated"), !user.groups.contains("system:unauthenticated") { user.groups.append("system:authenticated") }
            return user
        }
        // A bearer token that nobody recognised is a mistake, not an anonymous request.
        if request.headers["authorization"] != nil { throw APIError.unauthorized() }
        if let configured, !configured.allowsAnonymous(request.path) { throw APIError.unauthorized() }
        return .anonymous
    }
}

/// The user in a client certificate: CN is the name, each O a group. The chain must lead to our CA for clients.
package final class CertificateAuthenticator: Authenticator {
    private let pool: CertificatePool
    /// By connection: a chain is verified once, not with each request.
    private let known = Mutex<[UInt64: Result<UserInfo, APIError>]>([:])

    package init(pool: CertificatePool) { self.pool = pool }

    package func authenticate(_ request: HTTPRequest) throws(APIError) -> UserInfo? {
        guard let leaf = request.clientCertificates.first else { return nil }
        let connection = request.peer.connectionID
        if let result = known.withLock({ $0[connection] }) { return try result.get() }
        let result = verify(leaf, request.clientCertificates)
        known.withLock { known in
            if known.count > 4096 { known.removeAll() }
            known[connection] = result
        }
        return try result.get()
    }

    private func verify(_ leaf: [UInt8], _ chain: [[UInt8]]) -> Result<UserInfo, APIError> {
        guard pool.refusal(of: chain, usage: .client) == nil, let certificate = try? Certificate(der: leaf) else {
            return .failure(.unauthorized())
        }
        let fingerprint = "X509SHA256=\(certificate.fingerprint)"
        return .success(
            UserInfo(
                name: certificate.subject.commonName, groups: certificate.subject.organizations,
                extra: ["authentication.kubernetes.io/credential-id": [fingerprint]]))
    }
}

/// Tokens known from the start, such as those of this program's own command line.
package final class StaticTokenAuthenticator: TokenAuthenticator {
    private let users = Mutex<[String: UserInfo]>([:])
    package init() {}

    package func set(_ token: String, _ user: UserInfo) { users.withLock { $0[token] = user } }

    package func user(of token: String) -> UserInfo? {
        // The keys are random and long: a dictionary look-up tells nothing useful by its time.
        users.withLock { $0[token] }
    }
}

enum BearerToken {
    /// The token of an `Authorization: Bearer` header, or of the subprotocol by which browsers send it with a WebSocket.
    static func of(_ request: HTTPRequest) -> String? {
        if let header = request.headers["authorization"] {
            let parts = header.split(separator: " ", maxSplits: 1)
            guard parts.count == 2, parts[0].lowercased() == "bearer", !parts[1].isEmpty else { return nil }
            return String(parts[1])
        }
        guard request.asksWebSocket else { return nil }
        let prefix = "base64url.bearer.authorization.k8s.io."
        for item in request.headers.list("sec-websocket-protocol") where item.hasPrefix(prefix) {
            guard let bytes = Core.Encoding.decodeBase64(String(item.dropFirst(prefix.count))) else { return nil }
            return String(decoding: bytes, as: UTF8.self)
        }
        return nil
    }
}
