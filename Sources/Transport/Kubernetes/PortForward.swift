import Synchronization

/// One connection that a client of port-forward wants to a port of the pod. `finish` or `fail` must be called.
package final class PortForwardConnection: Sendable {
    package let port: Int
    /// The bytes of the connection, half-closes included (but for old WebSocket clients, which have none).
    package let data: any ByteStream
    private let error: any ByteStream
    private let done: @Sendable () -> Void

    init(port: Int, data: any ByteStream, error: any ByteStream, done: @escaping @Sendable () -> Void = {}) {
        self.port = port
        self.data = data
        self.error = error
        self.done = done
    }

    /// Both directions are through.
    package func finish() async {
        await data.closeWrite()
        await error.closeWrite()
        data.close()
        error.close()
        done()
    }

    /// The pod's port could not be reached or broke off; the client shows the text.
    package func fail(_ message: String) async {
        try? await error.write(Array(message.utf8))
        await error.closeWrite()
        if let stream = data as? SPDYStream { stream.reset() } else { data.close() }
        done()
    }
}

/// The server's end of a port-forward session, whichever protocol the client speaks: SPDY, SPDY in a WebSocket tunnel,
/// or one WebSocket with two channels a port.
package final class PortForwardSession: Sendable {
    private let connection: SPDYConnection?
    private let channels: WebSocketPortForward?
    private let pairs = Mutex<[String: (SPDYStream?, SPDYStream?)]>([:])

    static let protocols = ["portforward.k8s.io"]
    static let maximumHalfPairs = 200

    init(_ connection: SPDYConnection) {
        self.connection = connection
        channels = nil
    }

    init(_ channels: WebSocketPortForward) {
        self.channels = channels
        connection = nil
    }

    /// The next connection the client wants; nil once the session has ended.
    package func next() async -> PortForwardConnection? {
        if let channels { return await channels.next() }
        guard let connection else { return nil }
        while let stream = await connection.accept() {
            guard let port = stream.headers["port"].flatMap({ Int($0) }), (1...65535).contains(port),
                let type = stream.headers["streamtype"], type == "data" || type == "error"
            else {
                stream.reset()
                continue
            }
            if let pair = pair(stream, isData: type == "data") { return PortForwardConnection(port: port, data: pair.0, error: pair.1) }
        }
        return nil
    }

    package func close() async {
        await connection?.close()
        await channels?.close()
    }

    package func onClose(_ body: @escaping @Sendable () -> Void) {
        connection?.onClose(body)
        channels?.closing.add(body)
    }

    /// Data and error streams find each other by request id; clients from before that header open error first, then data.
    private func pair(_ stream: SPDYStream, isData: Bool) -> (SPDYStream, SPDYStream)? {
        let id = stream.headers["requestid"] ?? String(isData ? Int(stream.id) - 2 : Int(stream.id))
        let (complete, refused): ((SPDYStream, SPDYStream)?, Bool) = pairs.withLock { pairs in
            var entry = pairs[id] ?? (nil, nil)
            if isData {
                guard entry.0 == nil else { return (nil, true) }
                entry.0 = stream
            } else {
                guard entry.1 == nil else { return (nil, true) }
                entry.1 = stream
            }
            if let data = entry.0, let error = entry.1 {
                pairs[id] = nil
                return ((data, error), false)
            }
            guard pairs.count < PortForwardSession.maximumHalfPairs else { return (nil, true) }
            pairs[id] = entry
            return (nil, false)
        }
        if refused { stream.reset() }
        return complete
    }
}

extension HTTPExchange {
    /// Turns a port-forward request into a session. Throws `.upgradeRefused` before anything is sent.
    package func acceptPortForward() async throws -> PortForwardSession {
        let offered = request.headers.list("sec-websocket-protocol")
        if request.asksWebSocket, !offered.contains(where: { $0.hasPrefix(HTTPExchange.tunnelPrefix) }) {
            let ports = request.queryItems.filter { $0.name == "ports" || $0.name == "port" }
                .flatMap { $0.value.utf8.split(separator: 0x2C).map { Int(String(decoding: $0, as: UTF8.self)) ?? 0 } }
            guard !ports.isEmpty, ports.count <= 100, ports.allSatisfy({ (1...65535).contains($0) }) else {
                throw TransportError.upgradeRefused(status: 400)
            }
            let socket = try await acceptWebSocket(protocols: ["v4.channel.k8s.io", "v4.base64.channel.k8s.io", ""])
            return PortForwardSession(try await WebSocketPortForward.open(socket, ports))
        }
        return PortForwardSession(try await acceptSPDY(protocols: PortForwardSession.protocols))
    }
}
