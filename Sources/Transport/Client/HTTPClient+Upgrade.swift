import Core

extension HTTPClient {
    /// Opens a WebSocket with the first of `protocols` that the server takes. Throws `.upgradeRefused` with its status.
    package func webSocket(_ request: HTTPClientRequest, protocols: [String] = []) async throws -> WebSocket {
        var request = request
        let key = Encoding.base64(Identifier.randomBytes(16))
        request.headers["Connection"] = "Upgrade"
        request.headers["Upgrade"] = "websocket"
        request.headers["Sec-WebSocket-Version"] = WebSocketHandshake.version
        request.headers["Sec-WebSocket-Key"] = key
        if !protocols.isEmpty { request.headers["Sec-WebSocket-Protocol"] = protocols.joined(separator: ", ") }
        switch try await upgrade(request) {
        case .refused(let response): throw TransportError.upgradeRefused(status: response.status)
        case .upgraded(let status, let headers, let stream):
            guard status == 101, headers["sec-websocket-accept"] == WebSocketHandshake.accept(key) else {
                stream.close()
                throw TransportError.malformed("WebSocket handshake")
            }
            return WebSocket(stream, role: .client, subprotocol: headers["sec-websocket-protocol"] ?? "")
        }
    }

    /// Opens a SPDY/3.1 connection, offering these stream protocols.
    package func spdy(_ request: HTTPClientRequest, protocols: [String]) async throws -> SPDYConnection {
        var request = request
        request.headers["Connection"] = "Upgrade"
        request.headers["Upgrade"] = "SPDY/3.1"
        for name in protocols { request.headers.append("X-Stream-Protocol-Version", name) }
        switch try await upgrade(request) {
        case .refused(let response): throw TransportError.upgradeRefused(status: response.status)
        case .upgraded(let status, let headers, let stream):
            guard status == 101 else {
                stream.close()
                throw TransportError.upgradeRefused(status: status)
            }
            return SPDYConnection(stream, role: .client, streamProtocol: headers["x-stream-protocol-version"] ?? "")
        }
    }

    /// Opens SPDY/3.1 inside a WebSocket, as kubectl's port-forward does.
    package func spdyTunnel(_ request: HTTPClientRequest, protocols: [String]) async throws -> SPDYConnection {
        let socket = try await webSocket(request, protocols: protocols.map { HTTPExchange.tunnelPrefix + $0 })
        return SPDYConnection(
            WebSocketTunnel(socket), role: .client, streamProtocol: String(socket.subprotocol.dropFirst(HTTPExchange.tunnelPrefix.count)))
    }
}
