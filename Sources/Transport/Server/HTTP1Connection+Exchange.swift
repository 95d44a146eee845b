import NIOCore

extension HTTP1Connection: ExchangeConnection {
    func sendHead(_ exchange: HTTPExchange, status: Int, headers: HTTPHeaders, bodyLength: Int?, end: Bool) {
        guard let context, state.exchange === exchange, !state.sentHead else { return }
        state.sentHead = true
        if exchange.inbound.expectsContinue || headers.hasToken("connection", "close") { state.keepAlive = false }
        let bodyless = status == 204 || status == 304 || status < 200
        state.omitsBody = state.omitsBody || bodyless
        var out = context.channel.allocator.buffer(capacity: 256)
        HTTP1Writer.statusLine(status, into: &out)
        var hasLength = false
        for field in headers.fields {
            if HTTPHeaders.equal(field.name, "transfer-encoding") { continue }
            if HTTPHeaders.equal(field.name, "content-length") {
                // A HEAD answer announces what GET would send; else our own count is the truth.
                if bodyLength != nil && !(state.omitsBody && bodyLength == 0) { continue }
                hasLength = true
            }
            HTTP1Writer.field(field.name, field.value, into: &out)
        }
        if !headers.contains("date") { HTTP1Writer.field("Date", HTTPDate.current(), into: &out) }
        if !hasLength && !bodyless {
            if let bodyLength {
                HTTP1Writer.field("Content-Length", String(bodyLength), into: &out)
            } else if isHTTP10 {
                state.keepAlive = false
            } else {
                state.chunked = true
                out.writeStaticString("Transfer-Encoding: chunked\r\n")
            }
        }
        if !headers.contains("connection") {
            if !state.keepAlive || state.draining {
                state.keepAlive = false
                out.writeStaticString("Connection: close\r\n")
            } else if isHTTP10 {
                out.writeStaticString("Connection: keep-alive\r\n")
            }
        }
        out.writeStaticString("\r\n")
        context.write(wrapOutboundOut(out), promise: nil)
        if end { responseEnded() }
    }

    func sendInterim(_ exchange: HTTPExchange, status: Int) {
        guard let context, state.exchange === exchange, !state.sentHead else { return }
        var out = ByteBuffer()
        HTTP1Writer.statusLine(status, into: &out)
        out.writeStaticString("\r\n")
        context.writeAndFlush(wrapOutboundOut(out), promise: nil)
    }

    func sendData(_ exchange: HTTPExchange, _ data: ByteBuffer, end: Bool, promise: EventLoopPromise<Void>?) {
        guard let context, state.exchange === exchange, state.sentHead, !state.responseDone else {
            promise?.fail(TransportError.closed)
            return
        }
        if state.omitsBody {
            promise?.succeed(())
        } else if state.chunked {
            var out = context.channel.allocator.buffer(capacity: data.readableBytes + 24)
            HTTP1Writer.chunkHead(data.readableBytes, into: &out)
            out.writeImmutableBuffer(data)
            out.writeStaticString(end ? "\r\n0\r\n\r\n" : "\r\n")
            context.write(wrapOutboundOut(out), promise: promise)
        } else {
            context.write(wrapOutboundOut(data), promise: promise)
        }
        if end { responseEnded() }
    }

    func sendEnd(_ exchange: HTTPExchange, trailers: HTTPHeaders) {
        guard let context, state.exchange === exchange, state.sentHead, !state.responseDone else { return }
        if state.chunked && !state.omitsBody {
            var out = context.channel.allocator.buffer(capacity: 16)
            out.writeStaticString("0\r\n")
            for field in trailers.fields { HTTP1Writer.field(field.name, field.value, into: &out) }
            out.writeStaticString("\r\n")
            context.write(wrapOutboundOut(out), promise: nil)
        }
        responseEnded()
    }

    private func responseEnded() {
        // The exchange ends together with the flush, on a later turn: the handler may still be on the stack of this one.
        state.responseDone = true
        flushSoon()
    }

    func flushSoon() {
        guard !state.dirty else { return }
        state.dirty = true
        loopContext.loop.execute {
            self.state.dirty = false
            self.context?.flush()
            if self.state.responseDone { self.finishExchange() }
        }
    }

    func consumed(_ exchange: HTTPExchange, _ count: Int) { demand() }
    func wantsBody(_ exchange: HTTPExchange) { demand() }

    func abort(_ exchange: HTTPExchange) {
        guard state.exchange === exchange else { return }
        state.closing = true
        // What was written before still goes out, so that the client sees where it broke off.
        context?.flush()
        context?.end()
    }

    func handlerReturned(_ exchange: HTTPExchange) {}

    func hijack(_ exchange: HTTPExchange, status: Int, headers: HTTPHeaders) -> ChannelByteStream? {
        guard let context, state.exchange === exchange, !state.sentHead, exchange.outbound.phase == .waiting else { return nil }
        exchange.outbound.phase = .ended
        state.sentHead = true
        var out = context.channel.allocator.buffer(capacity: 256)
        HTTP1Writer.statusLine(status, into: &out)
        for field in headers.fields { HTTP1Writer.field(field.name, field.value, into: &out) }
        out.writeStaticString("\r\n")
        context.writeAndFlush(wrapOutboundOut(out), promise: nil)
        let stream = ChannelByteStream(context.channel)
        hijacked = stream
        state.exchange = nil
        let pending = exchange.inbound.chunks
        exchange.detach()
        for chunk in pending { stream.received(chunk) }
        if buffer.readableBytes > 0 { stream.received(buffer) }
        buffer = ByteBuffer()
        if state.inputClosed { stream.receivedEnd() }
        if !state.reading { stream.demand() }
        stream.onClose { exchange.onLoop { $0.closed(.closed) } }
        return stream
    }
}
