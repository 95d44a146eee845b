import NIOCore
import Synchronization

/// One HTTP/1.1 connection of a client: one request at a time, back to the pool after each.
final class HTTP1ClientConnection: ChannelInboundHandler, ClientConnection, @unchecked Sendable {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    let loop: any EventLoop
    let endpoint: HTTPEndpoint
    private let pool: ConnectionPool
    // Confined to the loop.
    private var context: ChannelHandlerContext?
    private var parser = HTTP1Parser(.response)
    private var buffer = ByteBuffer()
    private var exchange: ClientExchange?
    private var hijacked: ChannelByteStream?
    private var reading = false
    private var chunkedRequest = false
    private var requestDone = true
    private var keepAlive = true
    private var awaitsHead = false
    private var idleTimer: Scheduled<Void>?
    private let usable = Mutex(true)

    private static let window = 256 * 1024

    init(_ channel: any Channel, endpoint: HTTPEndpoint, pool: ConnectionPool) {
        loop = channel.eventLoop
        self.endpoint = endpoint
        self.pool = pool
    }

    /// Whether the server has not closed it meanwhile; from any thread.
    var isUsable: Bool { usable.withLock { $0 } }

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        if context.channel.isActive { demand() }
    }

    func channelActive(context: ChannelHandlerContext) {
        demand()
        context.fireChannelActive()
    }

    func start(_ exchange: ClientExchange) {
        guard let context, self.exchange == nil, isUsable else { return exchange.refuse() }
        idleTimer?.cancel()
        idleTimer = nil
        self.exchange = exchange
        let request = exchange.request
        parser.answersHead = request.method == "HEAD"
        awaitsHead = true
        keepAlive = true
        var out = context.channel.allocator.buffer(capacity: 512)
        HTTP1Writer.requestLine(request.method, request.target, into: &out)
        if !request.headers.contains("host") { HTTP1Writer.field("Host", request.endpoint.authority, into: &out) }
        for field in request.headers.fields where !HTTPHeaders.equal(field.name, "content-length") && !HTTPHeaders.equal(field.name, "transfer-encoding") {
            HTTP1Writer.field(field.name, field.value, into: &out)
        }
        chunkedRequest = false
        requestDone = true
        if let length = request.declaredLength {
            HTTP1Writer.field("Content-Length", String(length), into: &out)
        } else if case .stream = request.body {
            chunkedRequest = true
            out.writeStaticString("Transfer-Encoding: chunked\r\n")
        }
        out.writeStaticString("\r\n")
        switch request.body {
        case .none: break
        case .bytes(let bytes): out.writeBytes(bytes)
        case .stream: requestDone = false
        }
        context.writeAndFlush(wrapOutboundOut(out), promise: nil)
        demand()
    }

    func sendBody(_ exchange: ClientExchange, _ data: ByteBuffer, promise: EventLoopPromise<Void>?) {
        guard let context, self.exchange === exchange, !requestDone else {
            promise?.fail(TransportError.closed)
            return
        }
        if chunkedRequest {
            var out = context.channel.allocator.buffer(capacity: data.readableBytes + 16)
            HTTP1Writer.chunkHead(data.readableBytes, into: &out)
            out.writeImmutableBuffer(data)
            out.writeStaticString("\r\n")
            context.writeAndFlush(wrapOutboundOut(out), promise: promise)
        } else {
            context.writeAndFlush(wrapOutboundOut(data), promise: promise)
        }
    }

    func endBody(_ exchange: ClientExchange) {
        guard let context, self.exchange === exchange, !requestDone else { return }
        requestDone = true
        if chunkedRequest { context.writeAndFlush(wrapOutboundOut(ByteBuffer(string: "0\r\n\r\n")), promise: nil) }
    }

    func consumed(_ exchange: ClientExchange, _ count: Int) { demand() }

    func cancel(_ exchange: ClientExchange) {
        guard self.exchange === exchange else { return }
        context?.end()
    }

    /// Closes it if it is idle.
    func closeIdle() {
        loop.execute { if self.exchange == nil, self.hijacked == nil { self.context?.end() } }
    }

    // MARK: - Reading

    private func demand() {
        guard let context, hijacked == nil, !reading else { return }
        if let exchange, exchange.buffered >= HTTP1ClientConnection.window { return }
        reading = true
        context.read()
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        var data = unwrapInboundIn(data)
        if let hijacked { return hijacked.received(data) }
        if buffer.readableBytes == 0 { buffer = data } else { buffer.writeBuffer(&data) }
        process()
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        if let hijacked { return hijacked.readCompleted() }
        reading = false
        demand()
    }

    private func process() {
        while let context, hijacked == nil {
            guard let exchange else {
                // Bytes that answer nothing: the connection is of no use any more.
                if buffer.readableBytes > 0 { context.end() }
                return
            }
            do throws(HTTP1Parser.Failure) {
                guard let event = try parser.next(&buffer) else { return }
                switch event {
                case .head(let head): received(head, exchange)
                case .body(let data): exchange.received(data)
                case .end: if !awaitsHead { answered(exchange) }
                }
            } catch {
                exchange.fail(.malformed(error.text))
                context.end()
                return
            }
        }
    }

    private func received(_ head: HTTP1Parser.Head, _ exchange: ClientExchange) {
        let isUpgrade = head.status == 101 || exchange.upgrades && (200..<300).contains(head.status) && exchange.request.headers.contains("upgrade")
        if exchange.upgrades, isUpgrade, let context {
            usable.withLock { $0 = false }
            let stream = ChannelByteStream(context.channel)
            hijacked = stream
            self.exchange = nil
            if buffer.readableBytes > 0 { stream.received(buffer) }
            buffer = ByteBuffer()
            exchange.upgraded(status: head.status, headers: head.headers, stream)
            if !reading { stream.demand() }
            return
        }
        // Interim answers (100, 103) announce the real one.
        if head.status < 200 { return }
        awaitsHead = false
        keepAlive = head.keepsAlive && head.framing != .untilClose
        exchange.received(status: head.status, headers: head.headers)
    }

    private func answered(_ exchange: ClientExchange) {
        self.exchange = nil
        exchange.receivedEnd()
        guard keepAlive, requestDone, let context else {
            usable.withLock { $0 = false }
            context?.end()
            return
        }
        let channel = context.channel
        idleTimer = loop.scheduleTask(in: TimeAmount(pool.idleTimeout)) { [weak self] in
            guard let self, self.exchange == nil else { return }
            self.usable.withLock { $0 = false }
            channel.end()
        }
        pool.release(self)
    }

    // MARK: - The end

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        guard let event = event as? ChannelEvent, event == .inputClosed else { return context.fireUserInboundEventTriggered(event) }
        if let hijacked { return hijacked.receivedEnd() }
        inputEnded()
        context.end()
    }

    private func inputEnded() {
        usable.withLock { $0 = false }
        guard let exchange else { return }
        self.exchange = nil
        if !awaitsHead && parser.finished() { exchange.receivedEnd() } else { exchange.fail(.closed) }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.end() }

    func channelInactive(context: ChannelHandlerContext) {
        inputEnded()
        idleTimer?.cancel()
        idleTimer = nil
        pool.forget(self)
        hijacked?.closed(nil)
        hijacked = nil
        self.context = nil
        context.fireChannelInactive()
    }
}
