import Core
import Machinery
import Synchronization
import Transport
import Tree

/// A server over TLS on a free port of loopback whose answers a test gives, and that keeps what it was asked.
final class WebhookBackend: HTTPHandler {
    typealias Reply = @Sendable (_ path: String, _ document: Node) async -> Node?

    private let reply: Reply
    private let asked = Mutex<[(path: String, document: Node)]>([])
    private let connections = Mutex<Set<UInt64>>([])

    init(_ reply: @escaping Reply) { self.reply = reply }

    var documents: [Node] { asked.withLock { $0.map(\.document) } }
    var paths: [String] { asked.withLock { $0.map(\.path) } }
    var connectionCount: Int { connections.withLock { $0.count } }

    func handle(_ exchange: HTTPExchange) async {
        let bytes = (try? await exchange.body(limit: 1 << 20)) ?? []
        let document = (try? JSONReader.read(bytes)) ?? .null
        connections.withLock { _ = $0.insert(exchange.request.peer.connectionID) }
        asked.withLock { $0.append((exchange.request.path, document)) }
        guard let answer = await reply(exchange.request.path, document) else { return exchange.respond(status: 500, body: Array("out of order".utf8)) }
        exchange.respond(status: 200, headers: ["content-type": "application/json"], body: JSONWriter.write(answer))
    }

    /// Serves while `body` runs; it gets the port and the authority that vouches for `webhook.default.svc` and loopback.
    func serve<Value>(_ body: (_ port: Int, _ authority: String) async throws -> Value) async throws -> Value {
        let authority = try CertificateAuthority.create(commonName: "webhooks")
        let identity = try authority.issueServer(commonName: "webhook", dns: ["webhook.default.svc", "localhost"], addresses: ["127.0.0.1"])
        let server = HTTPServer(listeners: [.tcp(host: "127.0.0.1", port: 0)], tls: try ServerTLS(identity: identity), handler: self)
        _ = try await server.start()
        do {
            let value = try await body(server.port ?? 0, Encoding.base64(authority.identity.certificatePEM))
            await server.shutdown(grace: .zero)
            return value
        } catch {
            await server.shutdown(grace: .zero)
            throw error
        }
    }

    /// An answer to an AdmissionReview.
    static func review(_ document: Node, allowed: Bool = true, patch: Node? = nil, message: String? = nil, warnings: [String] = []) -> Node {
        var response: Node = ["uid": document["request"]["uid"], "allowed": .bool(allowed)]
        if let patch {
            response["patchType"] = "JSONPatch"
            response["patch"] = .string(Encoding.base64(JSONWriter.write(patch)))
        }
        if let message { response["status"] = ["message": .string(message), "code": 403, "reason": "Forbidden"] }
        if !warnings.isEmpty { response["warnings"] = Node(warnings) }
        return ["kind": "AdmissionReview", "apiVersion": document["apiVersion"], "response": response]
    }
}
