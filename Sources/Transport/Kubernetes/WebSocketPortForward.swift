import Synchronization

/// Port-forward over WebSocket channels: for the n-th port, channel 2n carries data and 2n+1 errors, each opened by the
/// port number as two bytes, low first. The Python client speaks this.
final class WebSocketPortForward: Sendable {
    private let socket: WebSocket
    private let base64: Bool
    private let queues: [ByteQueue]
    private let ports: [Int]
    private let state: Mutex<(handedOut: Int, open: Int)>
    let closing = RemoteCommandSession.Closing()

    private init(_ socket: WebSocket, _ ports: [Int]) {
        self.socket = socket
        self.ports = ports
        base64 = socket.subprotocol.contains("base64")
        queues = ports.map { _ in ByteQueue() }
        state = Mutex((0, ports.count))
    }

    static func open(_ socket: WebSocket, _ ports: [Int]) async throws -> WebSocketPortForward {
        let session = WebSocketPortForward(socket, ports)
        for (index, port) in ports.enumerated() {
            let bytes = [UInt8(port & 255), UInt8(port >> 8)]
            try await session.send(index * 2, bytes)
            try await session.send(index * 2 + 1, bytes)
        }
        Task { await session.receive() }
        return session
    }

    func next() async -> PortForwardConnection? {
        let index = state.withLock { state -> Int? in
            guard state.handedOut < ports.count else { return nil }
            defer { state.handedOut += 1 }
            return state.handedOut
        }
        guard let index else {
            await withUnsafeContinuation { (continuation: UnsafeContinuation<Void, Never>) in closing.add { continuation.resume() } }
            return nil
        }
        return PortForwardConnection(
            port: ports[index], data: Channel(session: self, number: index * 2, queue: queues[index]),
            error: Channel(session: self, number: index * 2 + 1, queue: nil)
        ) { [self] in
            let last = state.withLock { state in
                state.open -= 1
                return state.open == 0
            }
            if last { Task { await self.close() } }
        }
    }

    func close() async {
        await socket.close()
        ended()
    }

    private func ended() {
        for queue in queues { queue.finish() }
        closing.fire()
    }

    private func receive() async {
        while let message = try? await socket.receive() {
            let bytes = message.bytes
            guard let first = bytes.first else { continue }
            let channel = Int(base64 ? first &- 48 : first)
            guard channel % 2 == 0, channel / 2 < queues.count else { continue }
            let data = Array(bytes.dropFirst())
            guard let data = base64 ? Base64Text.decode(data) : data else { break }
            await queues[channel / 2].push(data)
        }
        ended()
    }

    fileprivate func send(_ channel: Int, _ bytes: [UInt8]) async throws {
        if base64 {
            try await socket.send([UInt8(48 + channel)], Base64Text.encode(bytes), text: true)
        } else {
            try await socket.send([UInt8(channel)], bytes)
        }
    }

    /// One channel as a stream. It has no half-close: once the pod has said all, the client has a moment for the rest of its own.
    private struct Channel: ByteStream {
        let session: WebSocketPortForward
        let number: Int
        let queue: ByteQueue?

        func read() async throws -> [UInt8]? { try await queue?.pop() }
        func write(_ bytes: [UInt8]) async throws { try await session.send(number, bytes) }
        func closeWrite() async {
            try? await Task.sleep(for: .seconds(1))
            queue?.finish()
        }
        func close() { queue?.discard() }
    }
}
