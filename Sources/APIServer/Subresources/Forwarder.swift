import Machinery
package import Transport
import Tree

/// Passes a request on to another HTTP server and its answer back, upgraded connections too. Links and redirects of what it passes
/// through lead back through it.
package struct Forwarder: Sendable {
    private let client: HTTPClient

    package init(client: HTTPClient = HTTPClient(tls: ClientTLS(insecure: true), http2: false)) { self.client = client }

    private static let hopByHop = [
        "connection", "proxy-connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "te", "trailer", "transfer-encoding", "upgrade",
    ]

    static func isUpgrade(_ http: HTTPRequest) -> Bool { http.headers.hasToken("connection", "upgrade") && http.headers.contains("upgrade") }

    /// `base` is what of the client's path stands for the other server's root; nil where paths are the same on both, and links need no
    /// rewriting. `added` is what the other server is told besides, in place of what the client says under these names.
    func forward(
        _ request: APIRequest, to endpoint: HTTPEndpoint, target: String, base: String?, adding added: HTTPHeaders = [:], timeout: Duration? = nil
    ) async throws(APIError) {
        let http = request.http
        var passed = HTTPClientRequest(http.method, endpoint, target, headers: Forwarder.headers(http, base: base, target: target), timeout: timeout)
        if base == nil { passed.headers["Host"] = endpoint.authority }
        for field in added.fields { passed.headers.remove(field.name) }
        for field in added.fields { passed.headers.append(field.name, field.value) }
        if Forwarder.isUpgrade(http) {
            passed.headers["connection"] = "Upgrade"
            passed.headers["upgrade"] = http.headers["upgrade"]
            return try await upgrade(request, passed)
        }
        passed.body = Forwarder.body(request.exchange)
        let answer = try await Forwarder.reaching { try await client.send(passed) }
        await pass(answer, request, base.map { ProxyLinks(base: $0, endpoint: endpoint, host: http.host ?? "") }, target)
    }

    /// What the client sent, but for what was meant for this server.
    private static func headers(_ http: HTTPRequest, base: String?, target: String) -> HTTPHeaders {
        var headers = HTTPHeaders()
        let named = http.headers.list("connection").map { $0.lowercased() }
        for field in http.headers.fields {
            let name = field.name.lowercased()
            if hopByHop.contains(name) || named.contains(name) || name.hasPrefix(":") { continue }
            // The client's right to this server is nobody else's business.
            if ["authorization", "content-length", "x-forwarded-for"].contains(name) || name.hasPrefix("impersonate-") || name.hasPrefix("x-remote-") {
                continue
            }
            headers.append(field.name, field.value)
        }
        headers["Host"] = http.host
        headers["X-Forwarded-For"] = (http.headers.values("x-forwarded-for") + [http.peer.remoteHost]).joined(separator: ", ")
        if let base { headers["X-Forwarded-Uri"] = base + target.prefix { $0 != "?" } }
        return headers
    }

    private static func body(_ exchange: HTTPExchange) -> HTTPClientRequest.Body {
        let http = exchange.request
        let length = http.contentLength
        if length == 0 { return .bytes([]) }
        // Where HTTP/2 gives no length, methods that usually have a body are taken to have one.
        let hasBody = length != nil || http.headers.contains("transfer-encoding") || (http.majorVersion > 1 && ["POST", "PUT", "PATCH"].contains(http.method))
        guard hasBody else { return .none }
        return .stream(length: length) { writer in
            while let chunk = try await exchange.nextChunk() { try await writer.write(chunk) }
        }
    }

    private static func reaching<T: Sendable>(_ body: () async throws -> T) async throws(APIError) -> T {
        do { return try await body() } catch { throw APIError.serviceUnavailable("error trying to reach service: \(error)") }
    }

    // MARK: - The answer

    private func pass(_ answer: HTTPClientResponse, _ request: APIRequest, _ links: ProxyLinks?, _ target: String) async {
        let exchange = request.exchange
        var headers = HTTPHeaders([("audit-id", request.auditID)])
        for field in answer.headers.fields where !Forwarder.hopByHop.contains(field.name.lowercased()) && !field.name.hasPrefix(":") {
            headers.append(field.name, field.value)
        }
        if let links, let location = headers["location"] {
            headers["location"] = links.rewritten(location)
        } else if let links, ProxyLinks.isPage(headers), let page = try? await answer.body(limit: 16 << 20) {
            headers.remove("content-length")
            return exchange.respond(status: answer.status, headers: headers, body: links.rewritten(page: page))
        }
        if exchange.request.method == "HEAD" { return exchange.respond(status: answer.status, headers: headers) }
        exchange.onClose { answer.cancel() }
        exchange.start(status: answer.status, headers: headers)
        do {
            while let chunk = try await answer.nextChunk() { try await exchange.write(chunk) }
            exchange.finish()
        } catch {
            // The other side broke off; so does the answer.
            exchange.abort()
        }
    }

    private func upgrade(_ request: APIRequest, _ passed: HTTPClientRequest) async throws(APIError) {
        let outcome = try await Forwarder.reaching { try await client.upgrade(passed) }
        switch outcome {
        case .refused(let answer):
            guard answer.status >= 400 else { throw APIError.internalError("invalid upgrade response: status code \(answer.status)") }
            await pass(answer, request, nil, "")
        case .upgraded(let status, let headers, let stream):
            guard let own = try? await request.exchange.hijack(status: status, headers: headers) else { return stream.close() }
            await Relay.run(own, stream)
        }
    }
}
