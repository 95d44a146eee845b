import NIOCore

/// One HTTP/1.1 connection of a server: requests one after another, pipelined ones wait in the buffer.
/// Reading stops while a window of unread bytes waits, so a slow handler slows its client, not our memory.
final class HTTP1Connection: ChannelInboundHandler, @unchecked Sendable {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    // Confined to the channel's event loop.
    let server: ServerShared
    let peer: HTTPPeer
    let loopContext: LoopContext
    var context: ChannelHandlerContext?
    var parser = HTTP1Parser(.request)
    var buffer = ByteBuffer()
    var state = State()
    var hijacked: ChannelByteStream?
    private var timer: Scheduled<Void>?

    struct State {
        var exchange: HTTPExchange?
        /// The request of `exchange` has been read to its end.
        var requestDone = true
        /// The answer of `exchange` has been written to its end.
        var responseDone = true
        var keepAlive = true
        var chunked = false
        var omitsBody = false
        var sentHead = false
        var reading = false
        var processing = false
        var inputClosed = false
        var closing = false
        var draining = false
        var dirty = false
        var served = 0
        /// When the connection ends unless something happens; nil while a request is being answered.
        var deadline: NIODeadline?
        /// The answer is out, and the rest of the body is only read to be dropped.
        var lingers = false
    }

    static let window = 256 * 1024

    init(server: ServerShared, peer: HTTPPeer, loopContext: LoopContext) {
        self.server = server
        self.peer = peer
        self.loopContext = loopContext
    }

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        server.add(self, peer.connectionID)
        setDeadline(server.limits.head)
        if context.channel.isActive { demand() }
    }

    func handlerRemoved(context: ChannelHandlerContext) { ended() }

    func channelActive(context: ChannelHandlerContext) {
        demand()
        context.fireChannelActive()
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        var data = unwrapInboundIn(data)
        if let hijacked {
            hijacked.received(data)
            return
        }
        if state.closing { return }
        if buffer.readableBytes == 0 { buffer = data } else { buffer.writeBuffer(&data) }
        process()
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        if let hijacked {
            hijacked.readCompleted()
            return
        }
        state.reading = false
        demand()
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        guard let event = event as? ChannelEvent, event == .inputClosed else { return context.fireUserInboundEventTriggered(event) }
        if let hijacked { return hijacked.receivedEnd() }
        state.inputClosed = true
        // A client that half-closes may still read a finite answer, but nobody watches on such a connection.
        if state.exchange == nil || !state.requestDone || state.exchange?.outbound.phase == .streaming { context.end() }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.end() }

    func channelInactive(context: ChannelHandlerContext) {
        ended()
        context.fireChannelInactive()
    }

    private func ended() {
        guard context != nil else { return }
        context = nil
        timer?.cancel()
        timer = nil
        server.remove(peer.connectionID)
        hijacked?.closed(nil)
        hijacked = nil
        if let exchange = state.exchange {
            state.exchange = nil
            exchange.closed(.closed)
            exchange.detach()
        }
    }

    // MARK: - Reading

    /// Asks for more bytes where there is room for them.
    func demand() {
        guard let context, hijacked == nil, !state.reading, !state.inputClosed, !state.closing else { return }
        if let exchange = state.exchange {
            guard exchange.inbound.buffered < HTTP1Connection.window, buffer.readableBytes < HTTP1Connection.window else { return }
        }
        state.reading = true
        context.read()
    }

    /// Takes apart what is in the buffer until bytes or the end of the running exchange are missing.
    func process() {
        guard !state.processing else { return }
        state.processing = true
        defer { state.processing = false }
        while context != nil, hijacked == nil, !state.closing {
            if state.exchange != nil && state.requestDone { return }
            do throws(HTTP1Parser.Failure) {
                guard let event = try parser.next(&buffer) else { break }
                switch event {
                case .head(let head): begin(head)
                case .body(let data): body(data)
                case .end: requestEnded()
                }
            } catch {
                refuse(error)
                return
            }
        }
        if let exchange = state.exchange, !state.requestDone { start(exchange) }
    }

    private func begin(_ head: HTTP1Parser.Head) {
        let request = HTTPRequest(method: head.method, target: head.target, headers: head.headers, peer: peer)
        let exchange = HTTPExchange(request: request, connection: self, context: loopContext)
        state.exchange = exchange
        state.requestDone = false
        state.responseDone = false
        state.keepAlive = head.keepsAlive && !state.draining
        state.omitsBody = head.method == "HEAD"
        state.chunked = false
        state.sentHead = false
        state.deadline = nil
        state.lingers = false
        httpMinor = head.minorVersion
        started = false
        if head.minorVersion == 1, head.framing != .none, HTTPHeaders.equal(head.headers["expect"] ?? "", "100-continue") {
            exchange.inbound.expectsContinue = true
        }
        if head.minorVersion == 1, !head.headers.contains("host") { refuse(HTTP1Parser.Failure("missing Host header")) }
    }

    private var httpMinor = 1
    private var started = false

    var isHTTP10: Bool { httpMinor == 0 }

    private func body(_ data: ByteBuffer) {
        guard let exchange = state.exchange else { return }
        if exchange.outbound.phase != .ended { exchange.received(data) }
    }

    private func requestEnded() {
        guard let exchange = state.exchange else { return }
        state.requestDone = true
        exchange.receivedEnd()
        start(exchange)
        if state.responseDone { finishExchange() }
    }

    private func start(_ exchange: HTTPExchange) {
        guard !started, !state.closing else { return }
        started = true
        exchange.run(server.handler)
    }

    /// Answers a malformed request and ends the connection: what follows cannot be told apart any more.
    private func refuse(_ failure: HTTP1Parser.Failure) {
        guard let context, !state.closing else { return }
        state.closing = true
        if state.sentHead {
            context.end()
            return
        }
        var out = context.channel.allocator.buffer(capacity: 160)
        HTTP1Writer.statusLine(failure.status, into: &out)
        let text = "\(failure.status) \(HTTPStatus.reason(failure.status)): \(failure.text)"
        HTTP1Writer.field("Content-Type", "text/plain; charset=utf-8", into: &out)
        HTTP1Writer.field("Connection", "close", into: &out)
        HTTP1Writer.field("Content-Length", String(text.utf8.count), into: &out)
        out.writeStaticString("\r\n")
        out.writeString(text)
        closeAfter(context.writeAndFlush(wrapOutboundOut(out)))
    }

    private func closeAfter(_ future: EventLoopFuture<Void>) {
        future.whenComplete { _ in self.context?.end() }
    }

    // MARK: - The exchange's end

    /// Both sides are through: the next request, or the end of the connection.
    func finishExchange() {
        guard let context, let exchange = state.exchange, state.responseDone else { return }
        // An unread rest of the body is read on and dropped: the next request may come right behind it, and its sender shall see the
        // answer. Closing on unread bytes resets the connection, and the answer goes with it.
        if !state.requestDone, !exchange.inbound.expectsContinue, state.keepAlive || !isHTTP10, !state.draining {
            exchange.closed(.closed)
            _ = exchange.dropInbound()
            if !state.lingers { setDeadline(server.limits.linger) }
            state.lingers = true
            demand()
            return
        }
        let keep = state.keepAlive && state.requestDone && !state.draining && !state.inputClosed
        state.exchange = nil
        state.served += 1
        exchange.closed(.closed)
        exchange.detach()
        if keep {
            setDeadline(server.limits.idle)
            if !state.processing, buffer.readableBytes > 0 { context.eventLoop.execute { self.process() } }
            demand()
        } else {
            state.closing = true
            let promise = context.eventLoop.makePromise(of: Void.self)
            context.writeAndFlush(wrapOutboundOut(ByteBuffer()), promise: promise)
            closeAfter(promise.futureResult)
        }
    }

    // MARK: - Deadlines

    private func setDeadline(_ time: Duration) {
        state.deadline = .now() + TimeAmount(time)
        if timer == nil { arm() }
    }

    /// One timer per connection, that looks at its deadline when it fires: moving the deadline costs nothing.
    private func arm() {
        guard let context else { return }
        let at = state.deadline ?? .now() + TimeAmount(server.limits.idle)
        timer = context.eventLoop.scheduleTask(deadline: at) { [weak self] in
            guard let self, self.context != nil else { return }
            self.timer = nil
            if self.hijacked != nil { return }
            if let deadline = self.state.deadline, deadline <= .now() {
                self.context?.end()
            } else {
                self.arm()
            }
        }
    }
}

extension HTTP1Connection: ServerConnection {
    func drain() {
        loopContext.loop.execute {
            self.state.draining = true
            if self.state.exchange == nil || self.state.lingers, self.hijacked == nil { self.context?.end() }
        }
    }

    func closeNow() { loopContext.loop.execute { self.context?.end() } }
}
