/// Exec and attach over SPDY: a stream for each of error, stdin, stdout, stderr and (from v3 on) resize, opened by the client.
final class SPDYRemoteCommand: RemoteCommandWire {
    private let connection: SPDYConnection
    private let streams: [String: SPDYStream]

    private init(_ connection: SPDYConnection, _ streams: [String: SPDYStream]) {
        self.connection = connection
        self.streams = streams
    }

    static let creationTimeout = Duration.seconds(30)

    static func open(_ connection: SPDYConnection, _ options: RemoteCommandOptions) async throws -> RemoteCommandSession {
        let version = connection.streamProtocol
        let resizes = version == "v4.channel.k8s.io" || version == "v3.channel.k8s.io"
        var expected = 1
        for wanted in [options.stdin, options.stdout, options.stderr, options.tty && resizes] where wanted { expected += 1 }
        guard let streams = await collect(connection, expected) else {
            await connection.close()
            throw TransportError.timedOut("waiting for client to create streams")
        }
        let input = ByteQueue()
        let sizes = ByteQueue(limit: 16 * 1024)
        let closing = RemoteCommandSession.Closing()
        connection.onClose { closing.fire() }
        if let stdin = streams["stdin"] { Task { await feed(stdin, input) } } else { input.finish() }
        if let resize = streams["resize"] { Task { await feed(resize, sizes) } } else { sizes.finish() }
        return RemoteCommandSession(
            options: options, wire: SPDYRemoteCommand(connection, streams), input: input, resizeInput: sizes, closing: closing)
    }

    private static func feed(_ stream: SPDYStream, _ queue: ByteQueue) async {
        while let bytes = try? await stream.read() { await queue.push(bytes) }
        queue.finish()
    }

    private static func collect(_ connection: SPDYConnection, _ expected: Int) async -> [String: SPDYStream]? {
        await withTaskGroup(of: [String: SPDYStream]?.self) { group in
            group.addTask {
                var streams: [String: SPDYStream] = [:]
                while streams.count < expected, let stream = await connection.accept() {
                    if let type = stream.headers["streamtype"] { streams[type] = stream } else { stream.reset() }
                }
                return streams.count == expected ? streams : nil
            }
            group.addTask {
                try? await Task.sleep(for: creationTimeout)
                if !Task.isCancelled { await connection.close() }
                return nil
            }
            let first = await group.next() ?? nil
            group.cancelAll()
            return first
        }
    }

    func writeOutput(_ channel: RemoteCommandSession.Channel, _ bytes: [UInt8]) async throws {
        try await streams[channel == .stderr ? "stderr" : "stdout"]?.write(bytes)
    }

    func finish(_ outcome: RemoteCommandOutcome) async {
        if connection.streamProtocol == "v4.channel.k8s.io" {
            try? await streams["error"]?.write(Array(outcome.status.utf8))
        } else if outcome != .exited(code: 0) {
            try? await streams["error"]?.write(Array(outcome.message.utf8))
        }
        for stream in streams.values { stream.close() }
        await connection.close()
    }

    func abort() { Task { await connection.close() } }
}
