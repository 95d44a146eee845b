import NIOCore

/// What a client's exchange needs of its connection. All on the connection's event loop.
protocol ClientConnection: AnyObject, Sendable {
    var loop: any EventLoop { get }
    /// Sends the head and, where it is at hand, the whole body.
    func start(_ exchange: ClientExchange)
    func sendBody(_ exchange: ClientExchange, _ data: ByteBuffer, promise: EventLoopPromise<Void>?)
    func endBody(_ exchange: ClientExchange)
    func consumed(_ exchange: ClientExchange, _ count: Int)
    func cancel(_ exchange: ClientExchange)
}

/// A connection ended before the request that was meant for it.
struct ConnectionGone: Error {}

/// One request of a client and its answer. Confined to the connection's loop, where every entry hops to.
final class ClientExchange: @unchecked Sendable {
    enum Outcome: Sendable {
        case response(status: Int, headers: HTTPHeaders)
        case upgraded(status: Int, headers: HTTPHeaders, ChannelByteStream)
    }

    let request: HTTPClientRequest
    /// Whether a 101 (or any 2xx, when `hijacks`) hands the connection over.
    let upgrades: Bool
    let connection: any ClientConnection
    let loop: any EventLoop
    var streamID: Int32 = 0

    private var head: UnsafeContinuation<Outcome, any Error>?
    private var headDone = false
    private var chunks: [ByteBuffer] = []
    private(set) var buffered = 0
    private(set) var ended = false
    /// What came after the body.
    var trailers = HTTPHeaders()
    private var failure: TransportError?
    private var waiters: [UnsafeContinuation<Void, Never>] = []
    private var timer: Scheduled<Void>?

    init(_ request: HTTPClientRequest, connection: any ClientConnection, upgrades: Bool) {
        self.request = request
        self.connection = connection
        self.upgrades = upgrades
        loop = connection.loop
    }

    func onLoop(_ body: @escaping @Sendable (ClientExchange) -> Void) {
        if loop.inEventLoop { body(self) } else { loop.execute { body(self) } }
    }

    /// Sends the request and waits for the answer's head.
    func perform() async throws -> Outcome {
        try await withTaskCancellationHandler {
            try await withUnsafeThrowingContinuation { (continuation: UnsafeContinuation<Outcome, any Error>) in
                onLoop { exchange in
                    if let failure = exchange.failure { return continuation.resume(throwing: failure) }
                    exchange.head = continuation
                    if let timeout = exchange.request.timeout {
                        exchange.timer = exchange.loop.scheduleTask(in: TimeAmount(timeout)) {
                            exchange.fail(.timedOut("waiting for the answer"))
                            exchange.connection.cancel(exchange)
                        }
                    }
                    exchange.connection.start(exchange)
                    if exchange.failure == nil { exchange.streamBody() }
                }
            }
        } onCancel: {
            cancel()
        }
    }

    private func streamBody() {
        guard case .stream(_, let produce) = request.body else { return }
        Task {
            do {
                try await produce(HTTPBodyWriter(exchange: self))
                self.onLoop { $0.connection.endBody($0) }
            } catch {
                self.onLoop { exchange in
                    // A server that answers early has stopped listening; its answer stands.
                    if !exchange.headDone {
                        exchange.fail((error as? TransportError) ?? .closed)
                    }
                    if !exchange.ended { exchange.connection.cancel(exchange) }
                }
            }
        }
    }

    func writeBody(_ bytes: [UInt8]) async throws {
        guard !bytes.isEmpty else { return }
        let promise = loop.makePromise(of: Void.self)
        onLoop { exchange in
            if exchange.failure != nil {
                promise.fail(TransportError.closed)
            } else {
                exchange.connection.sendBody(exchange, ByteBuffer(bytes: bytes), promise: promise)
            }
        }
        do { try await promise.futureResult.get() } catch { throw TransportError.closed }
    }

    func nextChunk() async throws -> [UInt8]? {
        while true {
            let outcome: Result<[UInt8]?, TransportError>? = await withUnsafeContinuation { continuation in
                onLoop { continuation.resume(returning: $0.take()) }
            }
            if let outcome { return try outcome.get() }
            await withUnsafeContinuation { (continuation: UnsafeContinuation<Void, Never>) in
                onLoop { exchange in
                    if !exchange.chunks.isEmpty || exchange.ended || exchange.failure != nil {
                        continuation.resume()
                    } else {
                        exchange.waiters.append(continuation)
                    }
                }
            }
        }
    }

    func endTrailers() async -> HTTPHeaders {
        await withUnsafeContinuation { continuation in onLoop { continuation.resume(returning: $0.trailers) } }
    }

    private func take() -> Result<[UInt8]?, TransportError>? {
        if !chunks.isEmpty {
            var bytes: [UInt8] = []
            bytes.reserveCapacity(buffered)
            for chunk in chunks { bytes.append(contentsOf: chunk.readableBytesView) }
            let count = buffered
            chunks = []
            buffered = 0
            connection.consumed(self, count)
            return .success(bytes)
        }
        if let failure { return .failure(failure) }
        return ended ? .success(nil) : nil
    }

    /// Ends the transfer wherever it stands; nothing happens after its end. From any thread.
    func cancel() {
        onLoop { exchange in
            guard !exchange.ended, exchange.failure == nil else { return }
            exchange.fail(.closed)
            exchange.connection.cancel(exchange)
        }
    }

    // MARK: - For the connection, on the loop

    var isOver: Bool { ended || failure != nil }

    func received(status: Int, headers: HTTPHeaders) { settle(.success(.response(status: status, headers: headers))) }

    func upgraded(status: Int, headers: HTTPHeaders, _ stream: ChannelByteStream) {
        ended = true
        settle(.success(.upgraded(status: status, headers: headers, stream)))
    }

    func received(_ data: ByteBuffer) {
        guard data.readableBytes > 0, failure == nil else { return }
        chunks.append(data)
        buffered += data.readableBytes
        wake()
    }

    func receivedEnd() {
        ended = true
        wake()
    }

    func fail(_ error: TransportError) {
        guard !ended, failure == nil else { return }
        failure = error
        settle(.failure(error))
        wake()
    }

    /// The connection had ended before anything of the request went out: another may take it, whatever it asks for.
    func refuse() {
        guard !ended, failure == nil else { return }
        failure = .closed
        settle(.failure(ConnectionGone()))
        wake()
    }

    private func wake() {
        let waiting = waiters
        waiters = []
        for waiter in waiting { waiter.resume() }
    }

    private func settle(_ result: Result<Outcome, any Error>) {
        headDone = true
        timer?.cancel()
        timer = nil
        head.take()?.resume(with: result)
    }
}
