import Core
import Synchronization
import Transport
import Tree

/// Answers a registry's challenges for one credential, and keeps the answers while they hold. Words are containerd's.
final class RegistryAuthorizer: Sendable {
    private let auth: RegistryAuth?
    private let client: @Sendable (RegistryHosts.Host) -> HTTPClient
    private let clock: any TimeSource
    private let state = Mutex<[Key: Held]>([:])

    private struct Key: Hashable, Sendable {
        let host: RegistryHosts.Host
        let scope: String
    }
    private struct Held: Sendable {
        let header: String
        let until: Timestamp?
    }

    init(auth: RegistryAuth?, clock: any TimeSource, client: @escaping @Sendable (RegistryHosts.Host) -> HTTPClient) {
        self.auth = auth.flatMap { $0.isEmpty ? nil : $0 }
        self.client = client
        self.clock = clock
    }

    /// What to send along, from an earlier challenge.
    func header(_ host: RegistryHosts.Host, scope: String) -> String? {
        state.withLock { state in
            for key in [Key(host: host, scope: scope), Key(host: host, scope: "")] {
                guard let held = state[key] else { continue }
                if let until = held.until, until < clock.now() { continue }
                return held.header
            }
            return nil
        }
    }

    /// Answers a 401. Throws where there is no answer to give, or the last one was refused.
    func answer(_ response: HTTPClientResponse, _ host: RegistryHosts.Host, scope: String, sent: String?) async throws {
        let challenges = AuthChallenge.parse(response.headers)
        for challenge in challenges {
            switch challenge.scheme {
            case "bearer":
                if let words = challenge.parameters["error"], sent != nil, !isExpired(host, scope, sent) {
                    throw ImageError(.unauthorized, "server message: \(words): authorization failed")
                }
                let held = try await token(challenge, host, scope: scope)
                state.withLock { $0[Key(host: host, scope: scope)] = held }
                return
            case "basic":
                guard let auth, !auth.username.isEmpty else {
                    if challenges.count > 1 { continue }
                    throw ImageError(.unauthorized, "authorization failed: no basic auth credentials")
                }
                if sent == auth.basic {
                    let words = challenge.parameters["error"] ?? "invalid username or password"
                    throw ImageError(.unauthorized, "server message: \(words): authorization failed")
                }
                state.withLock { $0[Key(host: host, scope: "")] = Held(header: auth.basic, until: nil) }
                return
            default: continue
            }
        }
        throw ImageError(.unauthorized, "authorization failed: the registry offers no known way to authenticate")
    }

    /// A token that grew old gives way to a new one; a fresh one that was refused ends the attempt.
    private func isExpired(_ host: RegistryHosts.Host, _ scope: String, _ sent: String?) -> Bool {
        state.withLock { state in
            guard let held = state[Key(host: host, scope: scope)], held.header == sent else { return true }
            return held.until.map { $0 < clock.now() } ?? false
        }
    }

    // MARK: - Tokens

    private func token(_ challenge: AuthChallenge, _ host: RegistryHosts.Host, scope: String) async throws -> Held {
        if let auth, !auth.registryToken.isEmpty { return Held(header: "Bearer " + auth.registryToken, until: nil) }
        guard let realm = challenge.parameters["realm"], let address = HTTPAddress(realm) else {
            throw ImageError(.unauthorized, "failed to authorize: no realm specified for token auth challenge")
        }
        let service = challenge.parameters["service"]
        let wanted = Set(
            (challenge.parameters["scope"] ?? "").split(separator: " ").map(String.init) + scope.split(separator: " ").map(String.init)
        ).sorted()
        if let auth, !auth.identityToken.isEmpty { return try await exchange(auth, address, host, service, wanted) }
        var query: [String] = []
        if let service { query.append("service=" + PercentEncoding.encode(service)) }
        query += wanted.map { "scope=" + PercentEncoding.encode($0) }
        var headers: HTTPHeaders = [:]
        if let auth {
            headers["authorization"] = auth.basic
            query.append("account=" + PercentEncoding.encode(auth.username))
        }
        let target = address.target + (address.target.contains("?") ? "&" : "?") + query.joined(separator: "&")
        let kind = auth == nil ? "anonymous" : "oauth"
        return try await fetch(HTTPClientRequest("GET", address.endpoint, target, headers: headers, timeout: .seconds(30)), host, kind)
    }

    private func exchange(_ auth: RegistryAuth, _ address: HTTPAddress, _ host: RegistryHosts.Host, _ service: String?, _ scopes: [String])
        async throws -> Held
    {
        let form = [
            ("grant_type", "refresh_token"), ("refresh_token", auth.identityToken), ("service", service ?? ""), ("client_id", "jangada"),
            ("scope", scopes.joined(separator: " ")),
        ]
        let body = form.map { "\($0.0)=\(PercentEncoding.encode($0.1))" }.joined(separator: "&")
        let headers: HTTPHeaders = ["content-type": "application/x-www-form-urlencoded"]
        return try await fetch(
            HTTPClientRequest(
                "POST", address.endpoint, address.target, headers: headers, body: .bytes(Array(body.utf8)), timeout: .seconds(30)), host,
            "oauth")
    }

    private func fetch(_ request: HTTPClientRequest, _ host: RegistryHosts.Host, _ kind: String) async throws -> Held {
        // Whether a certificate may be anyone's was said of the registry, not of its token server elsewhere.
        let lenient = host.lenient && request.endpoint.host == host.endpoint.host
        let place = RegistryHosts.Host(endpoint: request.endpoint, lenient: lenient, fallsBack: false)
        let url = place.url + request.target
        let response: HTTPClientResponse
        do { response = try await client(place).send(request) } catch {
            throw RegistryWords.failure(error, request.method, url, request.endpoint).prefixed(
                "failed to authorize: failed to fetch \(kind) token: ")
        }
        guard response.isSuccess else {
            let status =
                "unexpected status from \(request.method) request to \(url): \(response.status) \(HTTPStatus.reason(response.status))"
            throw ImageError(
                response.status < 500 ? .unauthorized : .unavailable, "failed to authorize: failed to fetch \(kind) token: \(status)")
        }
        let node = try JSONText.parse(try await response.body(limit: 1 << 20))
        guard let token = node["token"].string ?? node["access_token"].string, !token.isEmpty else {
            throw ImageError(.unauthorized, "failed to authorize: authorization server did not include a token in the response")
        }
        // Used a little shorter than it lasts; the specification's default is a minute.
        let seconds = max(10, (node["expires_in"].int ?? 60) - 10)
        return Held(header: "Bearer " + token, until: clock.now() + .seconds(seconds))
    }
}

/// Failures of a connection in the words of Go's net/http, which is what every guide and search engine knows.
enum RegistryWords {
    static func failure(_ error: any Error, _ method: String, _ url: String, _ endpoint: HTTPEndpoint) -> ImageError {
        if let error = error as? ImageError { return error }
        if error is CancellationError { return ImageError(.cancelled, "context canceled") }
        let verb = method.prefix(1) + method.dropFirst().lowercased()
        let address = "\(endpoint.host):\(endpoint.port)"
        let reason: String
        switch error as? TransportError {
        case .unreachable(let text):
            if text.hasSuffix("name cannot be resolved") {
                reason = "dial tcp: lookup \(endpoint.host): no such host"
            } else if text.hasSuffix("timed out") {
                reason = "dial tcp \(address): i/o timeout"
            } else {
                let words = text.utf8.lastIndex(of: 0x3A).map { String(text[text.index($0, offsetBy: 1)...]).trimmingSpaces } ?? text
                reason = "dial tcp \(address): connect: \(words)"
            }
        case .handshake(let text):
            if text.contains("WRONG_VERSION_NUMBER") || text.contains("HTTP_REQUEST") {
                reason = "http: server gave HTTP response to HTTPS client"
            } else if text.contains("CERTIFICATE_VERIFY_FAILED") {
                reason = "tls: failed to verify certificate: x509: certificate signed by unknown authority"
            } else {
                reason = "tls: handshake failure: \(text)"
            }
        case .timedOut: reason = "net/http: timeout awaiting response headers"
        case .closed: reason = "EOF"
        case .malformed(let text): reason = "net/http: malformed HTTP response: \(text)"
        default: reason = "\(error)"
        }
        return ImageError(.unavailable, "failed to do request: \(verb) \"\(url)\": \(reason)")
    }

    static func status(_ response: HTTPClientResponse, _ method: String, _ url: String) -> ImageError {
        let kind: ImageError.Kind =
            switch response.status {
            case 401, 403: .unauthorized
            case 404: .notFound
            case 429, 500...: .unavailable
            default: .invalid
            }
        return ImageError(
            kind, "unexpected status from \(method) request to \(url): \(response.status) \(HTTPStatus.reason(response.status))")
    }
}
