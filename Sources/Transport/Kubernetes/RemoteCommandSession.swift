import Synchronization

/// The wire of one exec or attach session; WebSocket and SPDY differ only here.
protocol RemoteCommandWire: Sendable {
    func writeOutput(_ channel: RemoteCommandSession.Channel, _ bytes: [UInt8]) async throws
    func finish(_ outcome: RemoteCommandOutcome) async
    func abort()
}

/// The server's end of an exec or attach: what the client types, what it sees, how it ends. One reader of `stdin`,
/// one of `resizes`; outputs may be written by different tasks. `finish` must be called, or `abort`.
package final class RemoteCommandSession: Sendable {
    enum Channel: UInt8 {
        case stdin = 0
        case stdout = 1
        case stderr = 2
        case error = 3
        case resize = 4
    }

    package let options: RemoteCommandOptions
    private let wire: any RemoteCommandWire
    private let input: ByteQueue
    private let resizeInput: ByteQueue
    private let pendingSizes = Mutex<[TerminalSize]>([])
    private let closing: Closing

    /// Whether the client has gone, and who wants to know.
    final class Closing: Sendable {
        private let state = Mutex<(closed: Bool, callbacks: [@Sendable () -> Void])>((false, []))

        var isClosed: Bool { state.withLock { $0.closed } }

        func add(_ body: @escaping @Sendable () -> Void) {
            let closed = state.withLock { state in
                if !state.closed { state.callbacks.append(body) }
                return state.closed
            }
            if closed { body() }
        }

        func fire() {
            let callbacks = state.withLock { state in
                state.closed = true
                defer { state.callbacks = [] }
                return state.callbacks
            }
            for callback in callbacks { callback() }
        }
    }

    init(options: RemoteCommandOptions, wire: any RemoteCommandWire, input: ByteQueue, resizeInput: ByteQueue, closing: Closing) {
        self.options = options
        self.wire = wire
        self.input = input
        self.resizeInput = resizeInput
        self.closing = closing
        if !options.stdin { input.finish() }
    }

    /// Whether the client has gone.
    package var isClosed: Bool { closing.isClosed }
    package func onClose(_ body: @escaping @Sendable () -> Void) { closing.add(body) }

    /// What the client sends; nil once it closed its input or has gone.
    package func readStdin() async -> [UInt8]? { try? await input.pop() }

    package func writeStdout(_ bytes: [UInt8]) async throws { try await wire.writeOutput(.stdout, bytes) }
    package func writeStderr(_ bytes: [UInt8]) async throws { try await wire.writeOutput(options.tty ? .stdout : .stderr, bytes) }

    /// The client's next terminal size; nil when no more will come.
    package func nextResize() async -> TerminalSize? {
        while true {
            let next = pendingSizes.withLock { $0.isEmpty ? nil : $0.removeFirst() }
            if let next { return next }
            guard let text = try? await resizeInput.pop() else { return nil }
            pendingSizes.withLock { $0 += TerminalSize.parse(text) }
        }
    }

    /// Nobody listens any more: whoever waits for the client's next bytes or size gets nil, and what still comes is dropped.
    package func endInput() {
        input.discard()
        resizeInput.discard()
    }

    /// Tells the client how the command ended, after all output, and closes.
    package func finish(_ outcome: RemoteCommandOutcome) async {
        endInput()
        await wire.finish(outcome)
        closing.fire()
    }

    package func abort() {
        endInput()
        wire.abort()
        closing.fire()
    }
}

extension HTTPExchange {
    /// Turns an exec or attach request into a session, whichever protocol the client speaks.
    /// Throws `.upgradeRefused` before anything is sent, and `.timedOut` when a SPDY client does not open its streams.
    package func acceptRemoteCommand(_ options: RemoteCommandOptions) async throws -> RemoteCommandSession {
        if request.asksWebSocket {
            let socket = try await acceptWebSocket(protocols: RemoteCommandProtocol.webSocket)
            return try await WebSocketRemoteCommand.open(socket, options)
        }
        let connection = try await acceptSPDY(protocols: RemoteCommandProtocol.spdy)
        return try await SPDYRemoteCommand.open(connection, options)
    }
}
