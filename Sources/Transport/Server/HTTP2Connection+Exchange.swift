import NIOCore
import NIOHPACK
import NIOHTTP2

extension HTTP2Connection: ExchangeConnection {
    func sendHead(_ exchange: HTTPExchange, status: Int, headers: HTTPHeaders, bodyLength: Int?, end: Bool) {
        let head = exchange.request.method == "HEAD"
        var fields = HPACKHeaders()
        fields.reserveCapacity(headers.count + 3)
        fields.add(name: ":status", value: String(status))
        var hasLength = false
        var hasDate = false
        for field in headers.fields {
            let name = HTTPHeaders.lowercased(field.name)
            switch name {
            // RFC 9113 8.2.2: fields about the connection do not exist here.
            case "connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade": continue
            case "content-length":
                if bodyLength != nil && !head { continue }
                hasLength = true
            case "date": hasDate = true
            default: break
            }
            fields.add(name: name, value: field.value, indexing: HTTP2Connection.varies(name) ? .nonIndexable : .indexable)
        }
        if let bodyLength, !hasLength, !(head && bodyLength == 0), status >= 200, status != 204, status != 304 {
            fields.add(name: "content-length", value: String(bodyLength), indexing: .nonIndexable)
        }
        if !hasDate { fields.add(name: "date", value: HTTPDate.current()) }
        let ends = end || head
        write(HTTP2StreamID(Int(exchange.streamID)), .headers(.init(headers: fields, endStream: ends)))
        if ends { responseEnded(exchange) }
    }

    /// Values that differ with every answer would only push useful entries out of the peer's table.
    private static func varies(_ name: String) -> Bool {
        switch name {
        case "audit-id", "content-length", "etag", "location", "content-range", "docker-content-digest": true
        default: false
        }
    }

    func sendInterim(_ exchange: HTTPExchange, status: Int) {
        write(HTTP2StreamID(Int(exchange.streamID)), .headers(.init(headers: HPACKHeaders([(":status", String(status))]))))
        flushSoon()
    }

    func sendData(_ exchange: HTTPExchange, _ data: ByteBuffer, end: Bool, promise: EventLoopPromise<Void>?) {
        if exchange.request.method == "HEAD" {
            promise?.succeed(())
            return
        }
        write(HTTP2StreamID(Int(exchange.streamID)), .data(.init(data: .byteBuffer(data), endStream: end)), promise)
        if end { responseEnded(exchange) }
    }

    func sendEnd(_ exchange: HTTPExchange, trailers: HTTPHeaders) {
        if exchange.request.method == "HEAD" { return }
        let id = HTTP2StreamID(Int(exchange.streamID))
        if trailers.isEmpty {
            write(id, .data(.init(data: .byteBuffer(ByteBuffer()), endStream: true)))
        } else {
            let fields = HPACKHeaders(trailers.fields.map { (HTTPHeaders.lowercased($0.name), $0.value) })
            write(id, .headers(.init(headers: fields, endStream: true)))
        }
        responseEnded(exchange)
    }

    /// A complete answer to an incomplete request: the client may stop sending (RFC 9113 8.1).
    private func responseEnded(_ exchange: HTTPExchange) {
        flushSoon()
        guard !exchange.inbound.ended else { return }
        let id = HTTP2StreamID(Int(exchange.streamID))
        if exchange.inbound.failure == nil { exchange.inbound.failure = .closed }
        giveBack(id, exchange.dropInbound(), open: true)
        loopContext.loop.execute {
            guard let still = self.streams[id], still === exchange, !exchange.inbound.ended else { return }
            self.write(id, .rstStream(.noError))
            self.flushSoon()
        }
    }

    func flushSoon() {
        guard !dirty else { return }
        dirty = true
        loopContext.loop.execute {
            self.dirty = false
            self.context?.flush()
        }
    }

    func consumed(_ exchange: HTTPExchange, _ count: Int) {
        giveBack(HTTP2StreamID(Int(exchange.streamID)), count, open: !exchange.inbound.ended)
    }

    func wantsBody(_ exchange: HTTPExchange) {}

    func abort(_ exchange: HTTPExchange) {
        guard streams[HTTP2StreamID(Int(exchange.streamID))] === exchange else { return }
        write(HTTP2StreamID(Int(exchange.streamID)), .rstStream(.internalError))
        flushSoon()
    }

    func handlerReturned(_ exchange: HTTPExchange) {}

    func hijack(_ exchange: HTTPExchange, status: Int, headers: HTTPHeaders) -> ChannelByteStream? { nil }
}
