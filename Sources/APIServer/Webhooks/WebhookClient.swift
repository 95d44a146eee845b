import Core
import Machinery
import Store
import Synchronization
import Transport
import Tree

/// Asks webhooks over HTTPS. Connections stay open between calls, and are shared by webhooks that trust the same authorities.
package final class WebhookClient: Sendable {
    private struct Trust: Hashable {
        let authorities: [UInt8]?
        let serverName: String?
        let http2: Bool
    }

    private static let answerLimit = 3 << 20
    private static let maxClients = 200

    private let resolver: ServiceResolver
    private let clients = Mutex<[Trust: HTTPClient]>([:])

    package init(_ resolver: ServiceResolver) { self.resolver = resolver }

    /// Posts a document and reads the one that comes back.
    func post(_ document: Node, to target: WebhookTarget, timeout: Duration) async throws(WebhookFailure) -> Node {
        // Whatever a webhook may take, its request ends when it ends.
        let left = RequestDeadlines.current.map { max(.zero, $0 - .now) }
        let timeout = min(timeout, left ?? timeout)
        guard timeout > .zero else { throw WebhookFailure("Post \(FieldError.quoted(target.url)): context deadline exceeded") }
        let seconds = max(1, Int((timeout + .milliseconds(999)).components.seconds))
        let shown = target.url + (target.url.contains("?") ? "&" : "?") + "timeout=\(seconds)s"
        let (status, body): (Int, [UInt8])
        do {
            let request = try request(document, target, shown, timeout: timeout)
            let client = client(for: target)
            (status, body) = try await Deadline.within(timeout) {
                let answer = try await client.send(request)
                return (answer.status, try await answer.body(limit: WebhookClient.answerLimit))
            }
        } catch {
            throw WebhookFailure("Post \(FieldError.quoted(shown)): \(WebhookClient.reason(error))")
        }
        guard (200...206).contains(status) else { throw WebhookClient.refusal(status, body) }
        do throws(SyntaxError) { return try JSONReader.read(body) } catch {
            throw WebhookFailure("couldn't get version/kind; json parse error: \(error)")
        }
    }

    private func request(_ document: Node, _ target: WebhookTarget, _ shown: String, timeout: Duration) throws -> HTTPClientRequest {
        guard let url = HTTPAddress(shown) else { throw WebhookFailure("unsupported protocol scheme \"\"") }
        var endpoint = url.endpoint
        var headers: HTTPHeaders = [
            "Accept": "application/json, */*", "Content-Type": "application/json", "User-Agent": "kube-apiserver-admission",
        ]
        if case .service(let namespace, let name, let port) = target.place {
            // The certificate is for the service's name, the connection goes to its address.
            headers["Host"] = "\(name).\(namespace).svc:\(port)"
            let address = try resolver.resolve(namespace: namespace, name: name, port: port)
            endpoint.host = address.host
            endpoint.port = address.port
        }
        var request = HTTPClientRequest("POST", endpoint, url.target, headers: headers, body: .bytes(JSONWriter.write(document)), timeout: timeout)
        // A review asks and changes nothing: where a kept connection was dead it may be asked again.
        request.mayRepeat = true
        return request
    }

    private func client(for target: WebhookTarget) -> HTTPClient {
        // Several servers behind one address: one HTTP/2 connection would always meet the same.
        let trust = Trust(authorities: target.authorities, serverName: target.serverName, http2: target.serverName == nil)
        return clients.withLock { clients in
            if let found = clients[trust] { return found }
            if clients.count >= WebhookClient.maxClients { clients.removeAll() }
            let made = HTTPClient(tls: ClientTLS(roots: target.authorities, serverName: target.serverName), http2: trust.http2)
            clients[trust] = made
            return made
        }
    }

    // MARK: - Words

    static func reason(_ error: any Error) -> String {
        switch error {
        case is Deadline.Passed, is CancellationError: "context deadline exceeded"
        case let error as WebhookFailure: error.description
        case let error as APIError: error.message
        case let error as TransportError: reason(error)
        default: "\(error)"
        }
    }

    static func reason(_ error: TransportError) -> String {
        switch error {
        case .timedOut: return "context deadline exceeded"
        case .closed: return "EOF"
        case .bodyTooLarge: return "http: request body too large"
        case .unreachable(let text):
            let parts = text.split(separator: ": ", maxSplits: 1)
            guard parts.count == 2 else { return "dial tcp: \(text)" }
            return "dial tcp \(parts[0]): connect: \(parts[1])"
        case .handshake(let text):
            if text.contains("failedToValidateHostname") || text.contains("unableToValidateCertificate") {
                return "tls: failed to verify certificate: x509: certificate is not valid for this name"
            }
            if text.contains("CERTIFICATE_VERIFY_FAILED") || text.contains("certificate") {
                return "tls: failed to verify certificate: x509: certificate signed by unknown authority"
            }
            return "remote error: tls: handshake failure: \(text)"
        default: return "\(error)"
        }
    }

    /// What a client of upstream's makes of an answer that is no success.
    private static func refusal(_ status: Int, _ body: [UInt8]) -> WebhookFailure {
        if let node = try? JSONReader.read(body), node.kind == "Status", let message = node["message"].string { return WebhookFailure(message) }
        let text = String(decoding: body.prefix(2048), as: UTF8.self)
        switch status {
        case 400: return WebhookFailure("the server rejected our request for an unknown reason")
        case 401: return WebhookFailure("the server has asked for the client to provide credentials")
        case 403: return WebhookFailure(text.isEmpty ? "unknown" : text)
        case 404: return WebhookFailure("the server could not find the requested resource")
        case 405: return WebhookFailure("the server does not allow this method on the requested resource")
        case 429: return WebhookFailure("the server has received too many requests and has asked us to try again later")
        case 503: return WebhookFailure(text.isEmpty ? "the server is currently unable to handle the request" : text)
        case 500...: return WebhookFailure("an error on the server (\(FieldError.quoted(text.isEmpty ? "unknown" : text))) has prevented the request from succeeding")
        default: return WebhookFailure("the server responded with the status code \(status) but did not return more information")
        }
    }
}
