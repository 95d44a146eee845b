/// A WebSocket whose binary messages carry another protocol's bytes, message borders without meaning
/// (`SPDY/3.1+portforward.k8s.io`).
final class WebSocketTunnel: ByteStream {
    private let socket: WebSocket

    init(_ socket: WebSocket) { self.socket = socket }

    func read() async throws -> [UInt8]? {
        while let message = try await socket.receive() {
            guard case .binary(let bytes) = message else {
                await socket.close(code: 1003)
                throw TransportError.malformed("text message in a tunnel")
            }
            if !bytes.isEmpty { return bytes }
        }
        return nil
    }

    func write(_ bytes: [UInt8]) async throws { try await socket.send(bytes) }
    /// A tunnel has no half-close: its WebSocket says farewell.
    func closeWrite() async { await socket.close() }
    func close() { socket.abort() }
}

extension HTTPExchange {
    static let tunnelPrefix = "SPDY/3.1+"

    /// Turns the connection into SPDY/3.1, raw or (where the client asks for a WebSocket) through a tunnel, with the first
    /// of the client's stream protocols that is among `protocols`. Throws `.upgradeRefused` before anything is sent.
    package func acceptSPDY(protocols: [String]) async throws -> SPDYConnection {
        if request.asksWebSocket {
            let socket = try await acceptWebSocket(protocols: protocols.map { HTTPExchange.tunnelPrefix + $0 })
            return SPDYConnection(
                WebSocketTunnel(socket), role: .server, streamProtocol: String(socket.subprotocol.dropFirst(HTTPExchange.tunnelPrefix.count)))
        }
        guard request.asksSPDY else { throw TransportError.upgradeRefused(status: 400) }
        let offered = request.headers.list("x-stream-protocol-version")
        guard !offered.isEmpty else { throw TransportError.upgradeRefused(status: 400) }
        guard let chosen = offered.first(where: { protocols.contains($0) }) else { throw TransportError.upgradeRefused(status: 403) }
        let stream = try await hijack(
            status: 101, headers: ["Connection": "Upgrade", "Upgrade": "SPDY/3.1", "X-Stream-Protocol-Version": chosen])
        return SPDYConnection(stream, role: .server, streamProtocol: chosen)
    }
}
