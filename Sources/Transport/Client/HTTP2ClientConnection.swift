import NIOCore
import NIOHPACK
import NIOHTTP2
import Synchronization

/// One HTTP/2 connection of a client, shared by many requests.
final class HTTP2ClientConnection: ChannelInboundHandler, ClientConnection, @unchecked Sendable {
    typealias InboundIn = HTTP2Frame
    typealias OutboundOut = HTTP2Frame

    let loop: any EventLoop
    let endpoint: HTTPEndpoint
    private let pool: ConnectionPool
    // Confined to the loop.
    private var context: ChannelHandlerContext?
    private var streams: [HTTP2StreamID: ClientExchange] = [:]
    private var nextStream = 1
    private var connectionCredit = 0
    private var streamCredit: [HTTP2StreamID: Int] = [:]
    private var dirty = false
    private var lastActivity = NIODeadline.now()
    private var pinged = false
    private var timer: RepeatedTask?
    private let shared = Mutex(Shared())

    private struct Shared {
        var usable = true
        var running = 0
        var limit = 100
    }

    static let streamWindow = 1 << 20
    static let connectionWindow = 16 << 20
    /// A silent connection is asked for a sign of life after this, and given up after as long again, as client-go does.
    static let pingAfter = TimeAmount.seconds(30)

    init(_ channel: any Channel, endpoint: HTTPEndpoint, pool: ConnectionPool) {
        loop = channel.eventLoop
        self.endpoint = endpoint
        self.pool = pool
    }

    static func codec() -> NIOHTTP2Handler {
        var connection = NIOHTTP2Handler.ConnectionConfiguration()
        connection.initialSettings = [
            HTTP2Setting(parameter: .enablePush, value: 0), HTTP2Setting(parameter: .initialWindowSize, value: streamWindow),
            HTTP2Setting(parameter: .maxHeaderListSize, value: HTTP1Parser.maximumHead),
        ]
        connection.maximumSequentialEmptyDataFrames = 16
        connection.controlFrameRateLimit.maximumCount = 10_000
        var stream = NIOHTTP2Handler.StreamConfiguration()
        stream.streamResetFrameRateLimit.maximumCount = 10_000
        return NIOHTTP2Handler(mode: .client, connectionConfiguration: connection, streamConfiguration: stream)
    }

    /// Takes a place for one more request; false where there is none. From any thread.
    func reserve() -> Bool {
        shared.withLock { shared in
            guard shared.usable, shared.running < shared.limit else { return false }
            shared.running += 1
            return true
        }
    }

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        loop.execute {
            self.write(.rootStream, .windowUpdate(windowSizeIncrement: HTTP2ClientConnection.connectionWindow - 65535))
            self.flushSoon()
        }
        timer = loop.scheduleRepeatedTask(initialDelay: HTTP2ClientConnection.pingAfter, delay: HTTP2ClientConnection.pingAfter) { [weak self] _ in
            self?.checkAlive()
        }
    }

    private func checkAlive() {
        let silent = NIODeadline.now() - lastActivity
        if streams.isEmpty {
            if silent >= TimeAmount(pool.idleTimeout) { closeIdle() }
        } else if pinged {
            context?.close(promise: nil)
        } else if silent >= HTTP2ClientConnection.pingAfter {
            pinged = true
            write(.rootStream, .ping(HTTP2PingData(withInteger: 1), ack: false))
            flushSoon()
        }
    }

    func start(_ exchange: ClientExchange) {
        guard context != nil, nextStream < Int(Int32.max) - 2 else {
            release()
            return exchange.refuse()
        }
        let request = exchange.request
        let id = HTTP2StreamID(nextStream)
        exchange.streamID = Int32(nextStream)
        nextStream += 2
        streams[id] = exchange
        lastActivity = .now()
        var fields = HPACKHeaders()
        fields.reserveCapacity(request.headers.count + 5)
        fields.add(name: ":method", value: request.method)
        fields.add(name: ":scheme", value: endpoint.isTLS ? "https" : "http")
        fields.add(name: ":authority", value: request.headers["host"] ?? endpoint.authority)
        fields.add(name: ":path", value: request.target.isEmpty ? "/" : request.target)
        for field in request.headers.fields {
            let name = HTTPHeaders.lowercased(field.name)
            switch name {
            case "host", "connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade", "content-length": continue
            case "authorization": fields.add(name: name, value: field.value, indexing: .neverIndexed)
            default: fields.add(name: name, value: field.value)
            }
        }
        if let length = request.declaredLength { fields.add(name: "content-length", value: String(length), indexing: .nonIndexable) }
        var body: [UInt8] = []
        if case .bytes(let bytes) = request.body { body = bytes }
        var streams = false
        if case .stream = request.body { streams = true }
        write(id, .headers(.init(headers: fields, endStream: body.isEmpty && !streams)))
        if !body.isEmpty { write(id, .data(.init(data: .byteBuffer(ByteBuffer(bytes: body)), endStream: true))) }
        flushSoon()
    }

    func sendBody(_ exchange: ClientExchange, _ data: ByteBuffer, promise: EventLoopPromise<Void>?) {
        guard streams[HTTP2StreamID(Int(exchange.streamID))] === exchange else {
            promise?.fail(TransportError.closed)
            return
        }
        write(HTTP2StreamID(Int(exchange.streamID)), .data(.init(data: .byteBuffer(data))), promise)
        flushSoon()
    }

    func endBody(_ exchange: ClientExchange) {
        guard streams[HTTP2StreamID(Int(exchange.streamID))] === exchange else { return }
        write(HTTP2StreamID(Int(exchange.streamID)), .data(.init(data: .byteBuffer(ByteBuffer()), endStream: true)))
        flushSoon()
    }

    func consumed(_ exchange: ClientExchange, _ count: Int) { giveBack(HTTP2StreamID(Int(exchange.streamID)), count, open: !exchange.isOver) }

    func cancel(_ exchange: ClientExchange) {
        let id = HTTP2StreamID(Int(exchange.streamID))
        guard streams[id] === exchange else { return }
        write(id, .rstStream(.cancel))
        flushSoon()
        streamEnded(id)
    }

    func closeIdle() {
        loop.execute {
            self.shared.withLock { $0.usable = false }
            if self.streams.isEmpty { self.context?.close(promise: nil) }
        }
    }

    // MARK: - Frames

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let frame = unwrapInboundIn(data)
        lastActivity = .now()
        pinged = false
        switch frame.payload {
        case .headers(let payload): headers(frame.streamID, payload)
        case .data(let payload): body(frame.streamID, payload)
        case .rstStream: streamEnded(frame.streamID)
        case .goAway: shared.withLock { $0.usable = false }
        case .settings(.settings(let settings)):
            for setting in settings where setting.parameter == .maxConcurrentStreams {
                shared.withLock { $0.limit = max(1, Int(setting.value)) }
            }
        default: break
        }
    }

    private func headers(_ id: HTTP2StreamID, _ payload: HTTP2Frame.FramePayload.Headers) {
        guard let exchange = streams[id] else { return }
        var status = 0
        var fields = HTTPHeaders()
        fields.reserve(payload.headers.count)
        for (name, value, _) in payload.headers {
            if name == ":status" { status = Int(value) ?? 0 } else { fields.append(name, value) }
        }
        // Without a status these are trailers.
        if status >= 200 { exchange.received(status: status, headers: fields) } else if status == 0 { exchange.trailers = fields }
        if payload.endStream { answered(id, exchange) }
    }

    private func body(_ id: HTTP2StreamID, _ payload: HTTP2Frame.FramePayload.Data) {
        guard case .byteBuffer(let data) = payload.data else { return }
        if let padding = payload.paddingBytes { giveBack(id, padding + 1, open: !payload.endStream) }
        guard let exchange = streams[id], !exchange.isOver else { return giveBack(id, data.readableBytes, open: !payload.endStream) }
        exchange.received(data)
        if payload.endStream { answered(id, exchange) }
    }

    private func answered(_ id: HTTP2StreamID, _ exchange: ClientExchange) { exchange.receivedEnd() }

    private func streamEnded(_ id: HTTP2StreamID) {
        guard let exchange = streams.removeValue(forKey: id) else { return }
        streamCredit[id] = nil
        exchange.fail(.closed)
        release()
    }

    private func release() {
        let closes = shared.withLock { shared in
            shared.running -= 1
            return !shared.usable
        }
        if closes, streams.isEmpty { context?.close(promise: nil) }
    }

    private func giveBack(_ id: HTTP2StreamID, _ count: Int, open: Bool) {
        guard count > 0, context != nil else { return }
        connectionCredit += count
        if connectionCredit >= HTTP2ClientConnection.connectionWindow / 4 {
            write(.rootStream, .windowUpdate(windowSizeIncrement: connectionCredit))
            connectionCredit = 0
            flushSoon()
        }
        guard open, streams[id] != nil else { return }
        let credit = (streamCredit[id] ?? 0) + count
        if credit >= HTTP2ClientConnection.streamWindow / 4 {
            streamCredit[id] = 0
            write(id, .windowUpdate(windowSizeIncrement: credit))
            flushSoon()
        } else {
            streamCredit[id] = credit
        }
    }

    private func write(_ id: HTTP2StreamID, _ payload: HTTP2Frame.FramePayload, _ promise: EventLoopPromise<Void>? = nil) {
        guard let context else {
            promise?.fail(TransportError.closed)
            return
        }
        context.write(wrapOutboundOut(HTTP2Frame(streamID: id, payload: payload)), promise: promise)
    }

    private func flushSoon() {
        guard !dirty else { return }
        dirty = true
        loop.execute {
            self.dirty = false
            self.context?.flush()
        }
    }

    // MARK: - The end

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        switch event {
        case let event as StreamClosedEvent: streamEnded(event.streamID)
        case let event as ChannelEvent where event == .inputClosed: context.close(promise: nil)
        default: break
        }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        if error is NIOHTTP2Errors.StreamError || error is NIOHTTP2Errors.NoSuchStream { return }
        context.close(promise: nil)
    }

    func channelInactive(context: ChannelHandlerContext) {
        shared.withLock { $0.usable = false }
        timer?.cancel()
        timer = nil
        self.context = nil
        let running = streams.values
        streams = [:]
        for exchange in running { exchange.fail(.closed) }
        pool.forget(self)
        context.fireChannelInactive()
    }
}
