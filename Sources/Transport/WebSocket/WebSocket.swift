import Core
import Synchronization

/// A WebSocket over any byte stream. Pings are answered while someone reads; one reader, any number of senders.
package final class WebSocket: Sendable {
    package enum Message: Sendable, Equatable {
        case binary([UInt8])
        case text([UInt8])

        package var bytes: [UInt8] {
            switch self {
            case .binary(let bytes), .text(let bytes): bytes
            }
        }
    }

    /// The subprotocol both sides agreed on; empty for none.
    package let subprotocol: String
    let stream: any ByteStream
    private let role: WebSocketFraming.Role
    private let framing: Mutex<WebSocketFraming>
    private let outbox: Outbox
    private let closing = Mutex(false)

    init(_ stream: any ByteStream, role: WebSocketFraming.Role, subprotocol: String, maximumMessage: Int = 16 << 20) {
        self.stream = stream
        self.role = role
        self.subprotocol = subprotocol
        framing = Mutex(WebSocketFraming(role, maximumMessage: maximumMessage))
        outbox = Outbox(stream)
    }

    /// The next message; nil once the other side has closed. Throws `.malformed` when it breaks the protocol and
    /// `.closed` when the connection ends without a farewell.
    package func receive() async throws -> Message? {
        while true {
            let event: WebSocketFraming.Event?
            do throws(WebSocketFraming.Failure) {
                event = try framing.withLock { (framing) throws(WebSocketFraming.Failure) in try framing.next() }
            } catch {
                await close(code: error.code, reason: error.text)
                throw TransportError.malformed(error.text)
            }
            switch event {
            case .binary(let bytes): return .binary(bytes)
            case .text(let bytes): return .text(bytes)
            case .ping(let payload): outbox.enqueue(frame(.pong, [payload]))
            case .pong: break
            case .close(let code, _):
                await close(code: code == 1005 ? 1000 : code)
                return nil
            case nil:
                guard let bytes = try await stream.read() else {
                    if closing.withLock({ $0 }) { return nil }
                    throw TransportError.closed
                }
                framing.withLock { $0.append(bytes) }
            }
        }
    }

    /// Sends one message; `parts` are joined. Returns when there is room for the next.
    package func send(_ parts: [UInt8]..., text: Bool = false) async throws {
        try await outbox.write(frame(text ? .text : .binary, parts))
    }

    /// Adds a message without waiting. False, and nothing is kept, where more than `limit` bytes would wait or the other side is gone.
    package func enqueue(_ parts: [[UInt8]], text: Bool, limit: Int) -> Bool {
        outbox.enqueue(frame(text ? .text : .binary, parts), limit: limit)
    }

    package func ping(_ payload: [UInt8] = []) async throws { try await outbox.write(frame(.ping, [payload])) }

    /// Says farewell once everything sent has left, and ends the connection.
    package func close(code: UInt16 = 1000, reason: String = "") async {
        let already = closing.withLock { closing in
            defer { closing = true }
            return closing
        }
        guard !already else { return }
        outbox.enqueue(frame(.close, [[UInt8(code >> 8), UInt8(code & 255)] + Array(reason.utf8.prefix(120))]))
        await outbox.drained()
        await stream.closeWrite()
        // The other side's farewell is waited for briefly, or its last bytes in flight would turn our end into a reset.
        let stream = stream
        await withTaskGroup(of: Void.self) { group in
            group.addTask {
                try? await Task.sleep(for: .milliseconds(500))
                stream.close()
            }
            group.addTask {
                while let _ = try? await stream.read() {}
                stream.close()
            }
            await group.next()
            group.cancelAll()
        }
    }

    /// Ends the connection at once.
    package func abort() { stream.close() }

    private func frame(_ opcode: WebSocketFraming.Opcode, _ parts: [[UInt8]]) -> [UInt8] {
        WebSocketFraming.encode(opcode, parts, mask: role == .client ? Identifier.randomBytes(4) : nil)
    }
}

/// The handshake of RFC 6455 as seen from both sides.
enum WebSocketHandshake {
    static let version = "13"

    static func accept(_ key: String) -> String {
        Encoding.base64(SHA1.hash(Array((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").utf8)))
    }
}

extension HTTPExchange {
    /// Turns the connection into a WebSocket with the first of the client's subprotocols that is among `protocols`
    /// (which may contain "" for clients that name none). Throws `.upgradeRefused` before anything is sent.
    package func acceptWebSocket(protocols: [String] = [""], maximumMessage: Int = 16 << 20) async throws -> WebSocket {
        guard request.asksWebSocket, let key = request.headers["sec-websocket-key"] else { throw TransportError.upgradeRefused(status: 400) }
        guard request.headers["sec-websocket-version"] == WebSocketHandshake.version else { throw TransportError.upgradeRefused(status: 426) }
        let offered = request.headers.list("sec-websocket-protocol")
        guard let chosen = (offered.isEmpty ? [""] : offered).first(where: { protocols.contains($0) }) else {
            throw TransportError.upgradeRefused(status: 403)
        }
        var headers: HTTPHeaders = ["Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Accept": WebSocketHandshake.accept(key)]
        if !chosen.isEmpty { headers.append("Sec-WebSocket-Protocol", chosen) }
        let stream = try await hijack(status: 101, headers: headers)
        return WebSocket(stream, role: .server, subprotocol: chosen, maximumMessage: maximumMessage)
    }

    /// Answers with this head and turns the connection into plain bytes (HTTP/1.1 only; throws `.upgradeRefused` otherwise).
    package func hijack(status: Int = 101, headers: HTTPHeaders) async throws -> ChannelByteStream {
        try await withUnsafeThrowingContinuation { (continuation: UnsafeContinuation<ChannelByteStream, any Error>) in
            onLoop { exchange in
                if let stream = exchange.connection?.hijack(exchange, status: status, headers: headers) {
                    exchange.answered(status)
                    continuation.resume(returning: stream)
                } else {
                    continuation.resume(throwing: TransportError.upgradeRefused(status: 400))
                }
            }
        }
    }
}
