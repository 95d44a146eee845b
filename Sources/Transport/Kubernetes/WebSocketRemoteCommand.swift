/// Exec and attach over a WebSocket: the first byte of each message is its channel, as a number or (base64) as a digit.
final class WebSocketRemoteCommand: RemoteCommandWire {
    private let socket: WebSocket
    private let base64: Bool
    private let hasStatus: Bool

    private init(_ socket: WebSocket) {
        self.socket = socket
        base64 = socket.subprotocol.contains("base64")
        hasStatus = socket.subprotocol.hasPrefix("v4.") || socket.subprotocol.hasPrefix("v5.")
    }

    static func open(_ socket: WebSocket, _ options: RemoteCommandOptions) async throws -> RemoteCommandSession {
        let wire = WebSocketRemoteCommand(socket)
        let input = ByteQueue()
        let resizes = ByteQueue(limit: 16 * 1024)
        let closing = RemoteCommandSession.Closing()
        // An empty message tells old clients that the session is there.
        try await wire.send(options.stdout ? .stdout : options.stderr ? .stderr : .error, [])
        Task {
            await wire.receive(into: input, resizes)
            input.finish()
            resizes.finish()
            closing.fire()
        }
        return RemoteCommandSession(options: options, wire: wire, input: input, resizeInput: resizes, closing: closing)
    }

    private func receive(into input: ByteQueue, _ resizes: ByteQueue) async {
        let closes = socket.subprotocol == "v5.channel.k8s.io"
        while let message = try? await socket.receive() {
            let bytes = message.bytes
            guard let first = bytes.first else { continue }
            if closes, first == 255 {
                guard bytes.count == 2 else { return }
                if bytes[1] == RemoteCommandSession.Channel.stdin.rawValue { input.finish() }
                continue
            }
            let channel = base64 ? first &- 48 : first
            var data = Array(bytes.dropFirst())
            if base64 {
                guard let decoded = Base64Text.decode(data) else { return }
                data = decoded
            }
            switch RemoteCommandSession.Channel(rawValue: channel) {
            case .stdin: await input.push(data)
            case .resize: await resizes.push(data)
            default: break
            }
        }
    }

    private func send(_ channel: RemoteCommandSession.Channel, _ bytes: [UInt8]) async throws {
        if base64 {
            try await socket.send([48 + channel.rawValue], Base64Text.encode(bytes), text: true)
        } else {
            try await socket.send([channel.rawValue], bytes)
        }
    }

    func writeOutput(_ channel: RemoteCommandSession.Channel, _ bytes: [UInt8]) async throws {
        guard !bytes.isEmpty else { return }
        try await send(channel, bytes)
    }

    func finish(_ outcome: RemoteCommandOutcome) async {
        if hasStatus {
            try? await send(.error, Array(outcome.status.utf8))
        } else if outcome != .exited(code: 0) {
            try? await send(.error, Array(outcome.message.utf8))
        }
        await socket.close()
    }

    func abort() { socket.abort() }
}
