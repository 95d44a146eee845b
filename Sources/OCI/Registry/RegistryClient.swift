package import Core
import Synchronization
package import Transport

/// Speaks the distribution API to registries: resolves, fetches, pushes. One per process; connections are shared.
package final class RegistryClient: Sendable {
    let hosts: Mutex<RegistryHosts>
    let clock: any TimeSource
    private let trusting: HTTPClient
    private let lenient: HTTPClient
    static let attempts = 4

    package init(hosts: RegistryHosts = RegistryHosts(), clock: any TimeSource = SystemTime(), loops: EventLoops = .shared) {
        self.hosts = Mutex(hosts)
        self.clock = clock
        trusting = HTTPClient(tls: ClientTLS(roots: hosts.roots), loops: loops)
        lenient = HTTPClient(tls: ClientTLS(insecure: true), loops: loops)
    }

    /// Takes effect for what begins from now on; the trusted roots stay those of the start.
    package func setHosts(_ hosts: RegistryHosts) { self.hosts.withLock { $0 = hosts } }

    func client(_ host: RegistryHosts.Host) -> HTTPClient { host.lenient ? lenient : trusting }
}

/// The talk with one repository of one registry under one credential.
struct RegistrySession: Sendable {
    let client: RegistryClient
    let host: RegistryHosts.Host
    let reference: ImageReference
    let authorizer: RegistryAuthorizer
    let scope: String

    init(
        _ client: RegistryClient, _ host: RegistryHosts.Host, _ reference: ImageReference, _ auth: RegistryAuth?, pushing: Bool = false,
        mountFrom: String? = nil
    ) {
        self.client = client
        self.host = host
        self.reference = reference
        authorizer = RegistryAuthorizer(auth: auth, clock: client.clock) { [client] in client.client($0) }
        var scope = "repository:\(reference.path):pull" + (pushing ? ",push" : "")
        if let mountFrom { scope += " repository:\(mountFrom):pull" }
        self.scope = scope
    }

    private init(_ other: RegistrySession, host: RegistryHosts.Host) {
        client = other.client
        self.host = host
        reference = other.reference
        authorizer = other.authorizer
        scope = other.scope
    }

    /// The same talk over plain HTTP.
    var plain: RegistrySession { RegistrySession(self, host: host.plain) }

    var base: String { "/v2/\(reference.path)" }
    func url(_ target: String) -> String { target.hasPrefix("http") ? target : host.url + target }

    /// Sends a request, answering challenges, following redirects, and trying again what may pass: broken connections, 429, 5xx.
    /// The answer may have any other status.
    func send(
        _ method: String, _ target: String, headers: HTTPHeaders = [:], body: HTTPClientRequest.Body = .none,
        timeout: Duration = .seconds(60)
    ) async throws -> HTTPClientResponse {
        var backoff = Backoff(base: .milliseconds(200), limit: .seconds(5))
        let once = if case .stream = body { true } else { false }
        for attempt in 1... {
            try Task.checkCancellation()
            do {
                let response = try await authorized(method, target, headers, body, timeout)
                let passing = response.status == 429 || response.status >= 500 && response.status != 501
                if !passing || once || attempt >= RegistryClient.attempts { return response }
            } catch let error as TransportError {
                // No second attempt reaches a host that refuses; only what broke on the way is tried again.
                let passing = if case .closed = error { true } else if case .timedOut = error { true } else { false }
                guard passing, !once, attempt < RegistryClient.attempts else {
                    throw RegistryWords.failure(error, method, url(target), host.endpoint)
                }
            }
            try await client.clock.sleep(for: backoff.next())
        }
        throw ImageError(.unavailable, "no attempt left")
    }

    private func authorized(
        _ method: String, _ target: String, _ headers: HTTPHeaders, _ body: HTTPClientRequest.Body, _ timeout: Duration
    ) async throws -> HTTPClientResponse {
        for _ in 0..<4 {
            let sent = authorizer.header(host, scope: scope)
            let response = try await redirected(method, target, headers, body, timeout, authorization: sent)
            guard response.status == 401 else { return response }
            try await authorizer.answer(response, host, scope: scope, sent: sent)
        }
        throw ImageError(.unauthorized, "authorization failed")
    }

    private func redirected(
        _ method: String, _ target: String, _ headers: HTTPHeaders, _ body: HTTPClientRequest.Body, _ timeout: Duration,
        authorization: String?
    ) async throws -> HTTPClientResponse {
        var place = host
        var target = target
        for _ in 0..<10 {
            if let address = HTTPAddress(target) {
                // TLS is not given up on the way.
                guard address.endpoint.isTLS || !place.endpoint.isTLS else {
                    throw ImageError(.invalid, "redirect from https to \(target) refused")
                }
                place = RegistryHosts.Host(
                    endpoint: address.endpoint, lenient: place.lenient && address.endpoint.host == host.endpoint.host, fallsBack: false)
                target = address.target
            }
            var headers = headers
            headers["user-agent"] = "jangada"
            // What proves us to the registry is no other host's business.
            if let authorization, place.endpoint == host.endpoint { headers["authorization"] = authorization }
            let request = HTTPClientRequest(method, place.endpoint, target, headers: headers, body: body, timeout: timeout)
            let response = try await client.client(place).send(request)
            guard [301, 302, 303, 307, 308].contains(response.status), method == "GET" || method == "HEAD",
                let next = response.headers["location"]
            else {
                return response
            }
            target = next.hasPrefix("/") || next.hasPrefix("http") ? next : "/" + next
        }
        throw ImageError(.invalid, "stopped after 10 redirects")
    }
}
