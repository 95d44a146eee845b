import NIOCore
import Synchronization

/// What answers requests. Called once per request, on the connection's event loop: it must not block the thread.
/// A handler that returns without an answer makes it a 500; one that returns in the middle of a body breaks the stream off.
package protocol HTTPHandler: Sendable {
    func handle(_ exchange: HTTPExchange) async
}

/// What an exchange needs of the connection it lives on. All calls on its event loop.
protocol ExchangeConnection: AnyObject {
    func sendHead(_ exchange: HTTPExchange, status: Int, headers: HTTPHeaders, bodyLength: Int?, end: Bool)
    func sendInterim(_ exchange: HTTPExchange, status: Int)
    func sendData(_ exchange: HTTPExchange, _ data: ByteBuffer, end: Bool, promise: EventLoopPromise<Void>?)
    func sendEnd(_ exchange: HTTPExchange, trailers: HTTPHeaders)
    /// Sends what was written, at the latest at the end of this tick of the loop.
    func flushSoon()
    /// The handler took that many bytes of the body: more may come.
    func consumed(_ exchange: HTTPExchange, _ count: Int)
    /// The handler is waiting for body bytes.
    func wantsBody(_ exchange: HTTPExchange)
    /// Breaks the exchange off (RST_STREAM, or closing the connection).
    func abort(_ exchange: HTTPExchange)
    /// The handler has returned and the answer is complete.
    func handlerReturned(_ exchange: HTTPExchange)
    /// Turns the connection into a plain stream of bytes; nil where the protocol has no such thing.
    func hijack(_ exchange: HTTPExchange, status: Int, headers: HTTPHeaders) -> ChannelByteStream?
}

/// One request and its answer. May be used from any thread; everything happens in the order of the calls of one task.
///
/// Confinement: what is not in `shared` is touched only on `loop`; every entry hops there when it comes from elsewhere.
package final class HTTPExchange: @unchecked Sendable {
    package let request: HTTPRequest
    let loop: any EventLoop
    let context: LoopContext
    let streamID: Int32
    private(set) var connection: (any ExchangeConnection)?

    var inbound = Inbound()
    var outbound = Outbound()
    let shared = Mutex(Shared())

    /// Body bytes that have arrived, and who waits for them.
    struct Inbound {
        var chunks: [ByteBuffer] = []
        var next = 0
        var buffered = 0
        var ended = false
        var failure: TransportError?
        var expectsContinue = false
        var waiters: [UnsafeContinuation<Void, Never>] = []
    }

    enum Phase { case waiting, streaming, ended }

    /// The answer's state: `waiting` for a head, `streaming` a body, `ended` (all handed to the queue, or hijacked, or gone).
    struct Outbound {
        var phase = Phase.waiting
        var queue: [ArraySlice<UInt8>] = []
        var next = 0
        var offset = 0
        var queued = 0
        var inFlight = 0
        var trailers: HTTPHeaders?
        var endRequested = false
        var endSent = false
        var writers: [UnsafeContinuation<Void, any Error>] = []
        var handlerReturned = false
    }

    struct Shared {
        var closed = false
        var pending: [[UInt8]] = []
        var waiting = 0
        var dirty = false
        var callbacks: [@Sendable () -> Void] = []
        var status = 0
        var onStatus: (@Sendable (Int) -> Void)?
    }

    init(request: HTTPRequest, connection: any ExchangeConnection, context: LoopContext, streamID: Int32 = 0) {
        self.request = request
        self.connection = connection
        self.context = context
        self.streamID = streamID
        loop = context.loop
    }

    /// The status that was answered; 0 before.
    package var status: Int { shared.withLock { $0.status } }
    func answered(_ status: Int) {
        let callback = shared.withLock { shared -> (@Sendable (Int) -> Void)? in
            guard shared.status == 0 else { return nil }
            shared.status = status
            return shared.onStatus.take()
        }
        callback?(status)
    }

    /// Calls `body` once, just before the first byte of the answer goes out. To be set before there is an answer.
    package func onStatus(_ body: @escaping @Sendable (Int) -> Void) { shared.withLock { $0.onStatus = body } }

    /// Whether the client has gone, or the answer is complete.
    package var isClosed: Bool { shared.withLock { $0.closed } }

    /// Calls `body` once when the client goes away or the answer has been handed over; at once if that has happened.
    package func onClose(_ body: @escaping @Sendable () -> Void) {
        let closed = shared.withLock { shared in
            if !shared.closed { shared.callbacks.append(body) }
            return shared.closed
        }
        if closed { body() }
    }

    /// Breaks the exchange off: the client sees a reset instead of a complete answer.
    package func abort() {
        onLoop { exchange in
            exchange.connection?.abort(exchange)
            exchange.closed(.closed)
        }
    }

    func onLoop(_ body: @escaping @Sendable (HTTPExchange) -> Void) {
        if loop.inEventLoop { body(self) } else { loop.execute { body(self) } }
    }

    // MARK: - For the connection, on the loop

    /// Runs the handler; called once.
    func run(_ handler: any HTTPHandler) {
        Task(executorPreference: context.executor) {
            await handler.handle(self)
            self.onLoop { $0.handlerDidReturn() }
        }
    }

    private func handlerDidReturn() {
        outbound.handlerReturned = true
        switch outbound.phase {
        case .waiting: respond(status: 500, headers: ["content-type": "text/plain"], body: Array("no answer\n".utf8))
        case .streaming:
            connection?.abort(self)
            closed(.closed)
        case .ended: break
        }
        connection?.handlerReturned(self)
    }

    /// The exchange is over: complete, broken off, or the client went away. Idempotent.
    func closed(_ reason: TransportError) {
        outbound.phase = .ended
        outbound.queue = []
        outbound.next = 0
        outbound.queued = 0
        if !inbound.ended && inbound.failure == nil { inbound.failure = reason }
        wakeReaders()
        let writers = outbound.writers
        outbound.writers = []
        for writer in writers { writer.resume(throwing: reason) }
        let callbacks = shared.withLock { shared in
            shared.closed = true
            shared.pending = []
            shared.waiting = 0
            defer { shared.callbacks = [] }
            return shared.callbacks
        }
        for callback in callbacks { callback() }
    }

    /// Lets go of the connection, after which nothing can be sent.
    func detach() { connection = nil }
}
