import Synchronization

/// SPDY/3.1 over a byte stream, either side of it. Streams that the other side opens come out of `accept`.
package final class SPDYConnection: Sendable {
    enum Role { case server, client }

    private struct State {
        var codec = SPDYHeaderCodec()
        var framing = SPDYFraming()
        var streams: [UInt32: SPDYStream] = [:]
        var nextID: UInt32
        var lastReceived: UInt32 = 0
        var accepted: [SPDYStream] = []
        var acceptors: [UnsafeContinuation<Void, Never>] = []
        var closed = false
        var callbacks: [@Sendable () -> Void] = []
    }

    /// What both sides agreed on in `X-Stream-Protocol-Version` or the tunnel's subprotocol.
    package let streamProtocol: String
    private let role: Role
    private let stream: any ByteStream
    private let state: Mutex<State>
    let outbox: Outbox
    static let maximumStreams = 1000
    static let piece = 32 * 1024

    init(_ stream: any ByteStream, role: Role, streamProtocol: String) {
        self.stream = stream
        self.role = role
        self.streamProtocol = streamProtocol
        state = Mutex(State(nextID: role == .server ? 2 : 1))
        outbox = Outbox(stream)
        Task { await self.run() }
    }

    /// The next stream that the other side opened, already answered; nil once the connection has ended.
    package func accept() async -> SPDYStream? {
        while true {
            let (stream, ended) = state.withLock { state -> (SPDYStream?, Bool) in
                state.accepted.isEmpty ? (nil, state.closed) : (state.accepted.removeFirst(), false)
            }
            if let stream { return stream }
            if ended { return nil }
            await withUnsafeContinuation { (continuation: UnsafeContinuation<Void, Never>) in
                let ready = state.withLock { state in
                    if !state.accepted.isEmpty || state.closed { return true }
                    state.acceptors.append(continuation)
                    return false
                }
                if ready { continuation.resume() }
            }
        }
    }

    /// Opens a stream; it can be written to at once.
    package func open(_ headers: HTTPHeaders) throws(TransportError) -> SPDYStream {
        // The block is compressed and queued under one lock: the other side inflates in the order of the wire.
        let stream: SPDYStream? = state.withLock { state in
            guard !state.closed else { return nil }
            let stream = SPDYStream(id: state.nextID, headers: headers, connection: self)
            state.nextID += 2
            state.streams[stream.id] = stream
            var body = SPDYFraming.pair(stream.id, 0)
            body += [0, 0]
            outbox.enqueue(SPDYFraming.control(1, body + state.codec.encode(headers)))
            return stream
        }
        guard let stream else { throw TransportError.closed }
        return stream
    }

    package var isClosed: Bool { state.withLock { $0.closed } }

    package func onClose(_ body: @escaping @Sendable () -> Void) {
        let closed = state.withLock { state in
            if !state.closed { state.callbacks.append(body) }
            return state.closed
        }
        if closed { body() }
    }

    /// Ends the connection once everything written has left.
    package func close() async {
        let last = state.withLock { $0.lastReceived }
        outbox.enqueue(SPDYFraming.control(7, SPDYFraming.pair(last, 0)))
        await outbox.drained()
        await stream.closeWrite()
        stream.close()
        ended()
    }

    func forget(_ id: UInt32) { state.withLock { $0.streams[id] = nil } }

    private func run() async {
        do {
            while let bytes = try await stream.read() {
                state.withLock { $0.framing.append(bytes) }
                while let frame = try nextFrame() { await handle(frame) }
            }
        } catch {}
        ended()
        stream.close()
    }

    private func nextFrame() throws(SPDYFraming.Failure) -> SPDYFraming.Frame? {
        try state.withLock { (state) throws(SPDYFraming.Failure) in try state.framing.next(state.codec) }
    }

    private func handle(_ frame: SPDYFraming.Frame) async {
        switch frame {
        case .synStream(let id, let headers, let fin, let unidirectional): opened(id, headers, fin: fin, unidirectional)
        case .synReply(let id, _, let fin), .headers(let id, let fin): if fin { find(id)?.receivedEnd() }
        case .reset(let id, _):
            find(id)?.receivedReset()
            forget(id)
        case .ping(let id):
            // Ids of our own parity are answers to us.
            if (id % 2 == 1) == (role == .server) { outbox.enqueue(SPDYFraming.control(6, Array(SPDYFraming.pair(id, 0).prefix(4)))) }
        case .data(let id, let bytes, let fin):
            guard let stream = find(id) else { return }
            await stream.received(bytes)
            if fin { stream.receivedEnd() }
        case .goAway, .other: break
        }
    }

    private func find(_ id: UInt32) -> SPDYStream? { state.withLock { $0.streams[id] } }

    private func opened(_ id: UInt32, _ headers: HTTPHeaders, fin: Bool, _ unidirectional: Bool) {
        let (stream, acceptors) = state.withLock { state -> (SPDYStream?, [UnsafeContinuation<Void, Never>]) in
            guard (id % 2 == 1) == (role == .server), id > state.lastReceived, state.streams.count < SPDYConnection.maximumStreams else {
                return (nil, [])
            }
            state.lastReceived = id
            let stream = SPDYStream(id: id, headers: headers, connection: self)
            state.streams[id] = stream
            outbox.enqueue(SPDYFraming.control(2, Array(SPDYFraming.pair(id, 0).prefix(4)) + state.codec.encode([:])))
            state.accepted.append(stream)
            defer { state.acceptors = [] }
            return (stream, state.acceptors)
        }
        guard let stream else {
            outbox.enqueue(SPDYFraming.control(3, SPDYFraming.pair(id, 1)))
            return
        }
        if unidirectional { stream.refuseWrites() }
        if fin { stream.receivedEnd() }
        for acceptor in acceptors { acceptor.resume() }
    }

    private func ended() {
        let (streams, acceptors, callbacks) = state.withLock { state in
            state.closed = true
            defer {
                state.streams = [:]
                state.callbacks = []
                state.acceptors = []
            }
            return (Array(state.streams.values), state.acceptors, state.callbacks)
        }
        for stream in streams { stream.connectionEnded() }
        for acceptor in acceptors { acceptor.resume() }
        for callback in callbacks { callback() }
    }
}

/// One stream of a SPDY connection. Half-closes are carried through; a slow reader holds up the whole connection
/// once a window's worth waits for it, as with every peer of this protocol.
package final class SPDYStream: ByteStream, Sendable {
    package let id: UInt32
    package let headers: HTTPHeaders
    private let connection: SPDYConnection
    private let inbound = ByteQueue(limit: 1 << 20)
    private let state = Mutex(State())

    private struct State {
        var writeClosed = false
        var readEnded = false
    }

    init(id: UInt32, headers: HTTPHeaders, connection: SPDYConnection) {
        self.id = id
        self.headers = headers
        self.connection = connection
    }

    package func read() async throws -> [UInt8]? { try await inbound.pop() }

    package func write(_ bytes: [UInt8]) async throws {
        var at = 0
        while at < bytes.count {
            guard !state.withLock({ $0.writeClosed }) else { throw TransportError.closed }
            let end = min(at + SPDYConnection.piece, bytes.count)
            try await connection.outbox.write(SPDYFraming.data(id, bytes[at..<end], fin: false))
            at = end
        }
    }

    package func closeWrite() async {
        let (first, done) = state.withLock { state in
            defer { state.writeClosed = true }
            return (!state.writeClosed, state.readEnded)
        }
        if first { connection.outbox.enqueue(SPDYFraming.data(id, [], fin: true)) }
        if done { connection.forget(id) }
    }

    /// Ends both directions: our end is told, what still comes is dropped.
    package func close() {
        let first = state.withLock { state in
            defer { state.writeClosed = true }
            return !state.writeClosed
        }
        if first { connection.outbox.enqueue(SPDYFraming.data(id, [], fin: true)) }
        inbound.discard()
    }

    /// Breaks the stream off.
    package func reset() {
        state.withLock { $0.writeClosed = true }
        connection.outbox.enqueue(SPDYFraming.control(3, SPDYFraming.pair(id, 5)))
        inbound.discard()
        connection.forget(id)
    }

    func received(_ bytes: [UInt8]) async { await inbound.push(bytes) }

    func receivedEnd() {
        inbound.finish()
        let done = state.withLock { state in
            state.readEnded = true
            return state.writeClosed
        }
        if done { connection.forget(id) }
    }

    func receivedReset() {
        state.withLock { $0.writeClosed = true }
        inbound.finish(.closed)
    }

    func connectionEnded() {
        state.withLock { $0.writeClosed = true }
        inbound.finish()
    }

    func refuseWrites() { state.withLock { $0.writeClosed = true } }
}
