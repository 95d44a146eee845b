import NIOCore
import NIOHPACK
import NIOHTTP2

/// One HTTP/2 connection of a server: maps frames to exchanges itself, without a channel per stream, so that a request costs
/// one object and an idle watch little more. Flow control towards us counts bytes as their handlers take them.
final class HTTP2Connection: ChannelInboundHandler, @unchecked Sendable {
    typealias InboundIn = HTTP2Frame
    typealias OutboundOut = HTTP2Frame

    // Confined to the channel's event loop.
    let server: ServerShared
    let peer: HTTPPeer
    let loopContext: LoopContext
    var context: ChannelHandlerContext?
    var streams: [HTTP2StreamID: HTTPExchange] = [:]
    /// Exchanges whose body was not complete when their head came; they start when this batch of frames has been read.
    private var starting: [HTTPExchange] = []
    /// Bytes taken that have not been given back to the peer's windows.
    var connectionCredit = 0
    var streamCredit: [HTTP2StreamID: Int] = [:]
    var isReading = false
    var dirty = false
    private var lastStream = HTTP2StreamID(0)
    private var draining = false
    private var closing = false
    private var timer: Scheduled<Void>?
    private var idleSince: NIODeadline? = .now()

    init(server: ServerShared, peer: HTTPPeer, loopContext: LoopContext) {
        self.server = server
        self.peer = peer
        self.loopContext = loopContext
    }

    /// The protocol handler below this one.
    static func codec(_ limits: HTTPServerLimits) -> NIOHTTP2Handler {
        var connection = NIOHTTP2Handler.ConnectionConfiguration()
        connection.initialSettings = [
            HTTP2Setting(parameter: .maxConcurrentStreams, value: limits.streams),
            HTTP2Setting(parameter: .initialWindowSize, value: limits.streamWindow),
            HTTP2Setting(parameter: .maxHeaderListSize, value: HTTP1Parser.maximumHead),
        ]
        // Informers cancel watches by resets and Go pings for flow control: the library's limits are far below honest clients.
        connection.maximumSequentialEmptyDataFrames = 16
        connection.maximumRecentlyResetStreams = 1000
        connection.controlFrameRateLimit.maximumCount = 10_000
        var stream = NIOHTTP2Handler.StreamConfiguration()
        stream.streamResetFrameRateLimit.maximumCount = 10_000
        stream.streamErrorRateLimit.maximumCount = 1000
        return NIOHTTP2Handler(mode: .server, connectionConfiguration: connection, streamConfiguration: stream)
    }

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        server.add(self, peer.connectionID)
        armTimer()
        if context.channel.isActive { widenWindow() }
    }

    func handlerRemoved(context: ChannelHandlerContext) { ended() }

    func channelActive(context: ChannelHandlerContext) {
        widenWindow()
        context.fireChannelActive()
    }

    private var widened = false

    /// The connection's window starts at 64 KB, whatever the settings say.
    private func widenWindow() {
        guard !widened, server.limits.connectionWindow > 65535 else { return }
        widened = true
        loopContext.loop.execute {
            self.write(.rootStream, .windowUpdate(windowSizeIncrement: self.server.limits.connectionWindow - 65535))
            self.flushSoon()
        }
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        isReading = true
        let frame = unwrapInboundIn(data)
        switch frame.payload {
        case .headers(let payload): headers(frame.streamID, payload)
        case .data(let payload): body(frame.streamID, payload)
        case .rstStream: streamEnded(frame.streamID, .closed)
        default: break
        }
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        isReading = false
        if !starting.isEmpty {
            let ready = starting
            starting = []
            for exchange in ready { exchange.run(server.handler) }
        }
        context.fireChannelReadComplete()
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        switch event {
        case let event as StreamClosedEvent: streamEnded(event.streamID, .closed)
        case let event as ChannelEvent where event == .inputClosed: context.close(promise: nil)
        default: break
        }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        // Errors of one stream have been answered with a reset; the connection goes on.
        if error is NIOHTTP2Errors.StreamError { return }
        if error is NIOHTTP2Errors.NoSuchStream { return }
        context.close(promise: nil)
    }

    func channelInactive(context: ChannelHandlerContext) {
        ended()
        context.fireChannelInactive()
    }

    private func ended() {
        guard context != nil else { return }
        context = nil
        timer?.cancel()
        timer = nil
        starting = []
        server.remove(peer.connectionID)
        let running = streams.values
        streams = [:]
        for exchange in running {
            exchange.closed(.closed)
            exchange.detach()
        }
    }

    // MARK: - Requests

    private func headers(_ id: HTTP2StreamID, _ payload: HTTP2Frame.FramePayload.Headers) {
        if let exchange = streams[id] {
            // Trailers: nobody asks for them.
            if payload.endStream { bodyEnded(exchange) }
            return
        }
        var method = "", target = "", authority: String?
        var fields = HTTPHeaders()
        fields.reserve(payload.headers.count)
        for (name, value, _) in payload.headers {
            switch name {
            case ":method": method = value
            case ":path": target = value
            case ":authority": authority = value
            case ":scheme": break
            default: fields.append(name, value)
            }
        }
        if let authority, !fields.contains("host") { fields.append("host", authority) }
        lastStream = id
        idleSince = nil
        let request = HTTPRequest(method: method, target: target, headers: fields, majorVersion: 2, peer: peer)
        let exchange = HTTPExchange(request: request, connection: self, context: loopContext, streamID: Int32(Int(id)))
        streams[id] = exchange
        if payload.endStream {
            exchange.inbound.ended = true
            exchange.run(server.handler)
        } else {
            exchange.inbound.expectsContinue = HTTPHeaders.equal(fields["expect"] ?? "", "100-continue")
            starting.append(exchange)
        }
    }

    private func body(_ id: HTTP2StreamID, _ payload: HTTP2Frame.FramePayload.Data) {
        let padding = payload.paddingBytes.map { $0 + 1 } ?? 0
        guard case .byteBuffer(let data) = payload.data else { return }
        if padding > 0 { giveBack(id, padding, open: !payload.endStream) }
        guard let exchange = streams[id], exchange.outbound.phase != .ended || exchange.inbound.failure == nil else {
            giveBack(id, data.readableBytes, open: !payload.endStream)
            return
        }
        exchange.received(data)
        if payload.endStream { bodyEnded(exchange) }
    }

    private func bodyEnded(_ exchange: HTTPExchange) {
        exchange.receivedEnd()
        if let index = starting.firstIndex(where: { $0 === exchange }) {
            starting.remove(at: index)
            exchange.run(server.handler)
        }
    }

    /// The stream is over for the protocol: complete, or reset by either side.
    private func streamEnded(_ id: HTTP2StreamID, _ reason: TransportError) {
        guard let exchange = streams.removeValue(forKey: id) else { return }
        starting.removeAll { $0 === exchange }
        streamCredit[id] = nil
        exchange.closed(reason)
        giveBack(id, exchange.dropInbound(), open: false)
        exchange.detach()
        if streams.isEmpty {
            idleSince = .now()
            if draining { closeDrained() }
        }
    }

    /// Returns received bytes to the peer's windows, in steps of a quarter window so that few frames are spent on it.
    func giveBack(_ id: HTTP2StreamID, _ count: Int, open: Bool) {
        guard count > 0, context != nil else { return }
        connectionCredit += count
        if connectionCredit >= server.limits.connectionWindow / 4 {
            write(.rootStream, .windowUpdate(windowSizeIncrement: connectionCredit))
            connectionCredit = 0
            flushSoon()
        }
        guard open else { return }
        let credit = (streamCredit[id] ?? 0) + count
        if credit >= server.limits.streamWindow / 4 {
            streamCredit[id] = 0
            write(id, .windowUpdate(windowSizeIncrement: credit))
            flushSoon()
        } else {
            streamCredit[id] = credit
        }
    }

    func write(_ id: HTTP2StreamID, _ payload: HTTP2Frame.FramePayload, _ promise: EventLoopPromise<Void>? = nil) {
        guard let context else {
            promise?.fail(TransportError.closed)
            return
        }
        context.write(wrapOutboundOut(HTTP2Frame(streamID: id, payload: payload)), promise: promise)
    }

    // MARK: - The connection's end

    private func armTimer() {
        timer = loopContext.loop.scheduleTask(in: TimeAmount(server.limits.idle)) { [weak self] in
            guard let self, self.context != nil else { return }
            if let idleSince = self.idleSince, self.streams.isEmpty, idleSince + TimeAmount(self.server.limits.idle) <= .now() {
                self.closeDrained()
            } else {
                self.armTimer()
            }
        }
    }

    private func closeDrained() {
        guard let context, !closing else { return }
        closing = true
        // On a later turn and after the last byte: closing throws away what the socket has not taken.
        context.eventLoop.execute {
            guard let context = self.context else { return }
            let sent = context.eventLoop.makePromise(of: Void.self)
            sent.futureResult.whenComplete { _ in self.context?.close(promise: nil) }
            self.write(.rootStream, .goAway(lastStreamID: self.lastStream, errorCode: .noError, opaqueData: nil), sent)
            context.flush()
        }
    }
}

extension HTTP2Connection: ServerConnection {
    func drain() {
        loopContext.loop.execute {
            guard !self.draining, self.context != nil else { return }
            self.draining = true
            // Requests that are on their way are still taken; the second GOAWAY names the last of them.
            self.write(.rootStream, .goAway(lastStreamID: .maxID, errorCode: .noError, opaqueData: nil))
            self.context?.flush()
            if self.streams.isEmpty { self.loopContext.loop.scheduleTask(in: .milliseconds(50)) { self.finishDrain() } }
        }
    }

    private func finishDrain() { if streams.isEmpty { closeDrained() } }

    func closeNow() { loopContext.loop.execute { self.context?.close(promise: nil) } }
}
