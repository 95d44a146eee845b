import NIOCore

// MARK: - The request's body

extension HTTPExchange {
    /// The whole body. Throws `.bodyTooLarge` as soon as the declared or received length exceeds `limit`,
    /// and `.closed` when the client goes away first.
    package func body(limit: Int) async throws -> [UInt8] {
        if let length = request.contentLength, length > limit { throw TransportError.bodyTooLarge(limit: limit) }
        var whole: [UInt8] = []
        while let chunk = try await nextChunk() {
            guard whole.count + chunk.count <= limit else { throw TransportError.bodyTooLarge(limit: limit) }
            if whole.isEmpty { whole = chunk } else { whole += chunk }
        }
        return whole
    }

    /// The next bytes of the body as they come, nil at its end. The client is slowed down to the pace of these calls.
    package func nextChunk() async throws -> [UInt8]? {
        while true {
            switch await poll() {
            case .chunk(let bytes): return bytes
            case .end: return nil
            case .failed(let error): throw error
            case .empty: await waitForBody()
            }
        }
    }

    enum Poll: Sendable {
        case chunk([UInt8])
        case end
        case empty
        case failed(TransportError)
    }

    private func poll() async -> Poll {
        if loop.inEventLoop { return take() }
        return await withUnsafeContinuation { continuation in
            loop.execute { continuation.resume(returning: self.take()) }
        }
    }

    private func waitForBody() async {
        await withUnsafeContinuation { (continuation: UnsafeContinuation<Void, Never>) in
            onLoop { exchange in
                let inbound = exchange.inbound
                if inbound.ended || inbound.failure != nil || inbound.next < inbound.chunks.count {
                    continuation.resume()
                    return
                }
                exchange.inbound.waiters.append(continuation)
                exchange.connection?.wantsBody(exchange)
            }
        }
    }

    private func take() -> Poll {
        guard inbound.next < inbound.chunks.count else {
            if let failure = inbound.failure { return .failed(failure) }
            if inbound.ended { return .end }
            if inbound.expectsContinue {
                inbound.expectsContinue = false
                if outbound.phase == .waiting { connection?.sendInterim(self, status: 100) }
            }
            return .empty
        }
        // All that is there goes out at once: fewer suspensions, and body(limit:) has one array.
        let parts = inbound.chunks[inbound.next...]
        let total = inbound.buffered
        var bytes: [UInt8] = []
        if parts.count == 1, let only = parts.first {
            bytes = Array(buffer: only)
        } else {
            bytes.reserveCapacity(total)
            for part in parts { bytes.append(contentsOf: part.readableBytesView) }
        }
        inbound.chunks.removeAll(keepingCapacity: false)
        inbound.next = 0
        inbound.buffered = 0
        connection?.consumed(self, total)
        return .chunk(bytes)
    }

    // MARK: For the connection, on the loop

    func wakeReaders() {
        guard !inbound.waiters.isEmpty else { return }
        let waiting = inbound.waiters
        inbound.waiters = []
        for waiter in waiting { waiter.resume() }
    }

    func received(_ data: ByteBuffer) {
        guard data.readableBytes > 0, inbound.failure == nil else { return }
        inbound.chunks.append(data)
        inbound.buffered += data.readableBytes
        wakeReaders()
    }

    func receivedEnd() {
        inbound.ended = true
        wakeReaders()
    }

    /// Bytes that arrived and nobody read; they are dropped, so that they can be given back to the window.
    func dropInbound() -> Int {
        defer {
            inbound.chunks = []
            inbound.next = 0
            inbound.buffered = 0
        }
        return inbound.buffered
    }
}
