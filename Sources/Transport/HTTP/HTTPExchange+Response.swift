import NIOCore
import NIOPosix
import Synchronization

// MARK: - The answer

extension HTTPExchange {
    /// How much may be on its way to the socket before a response waits.
    static let window = 256 * 1024
    static let piece = 64 * 1024

    /// A complete answer; returns at once, the bytes follow as the client takes them. Later answers are ignored.
    package func respond(status: Int, headers: HTTPHeaders = [:], body: [UInt8] = []) {
        answered(status)
        onLoop { exchange in
            guard exchange.outbound.phase == .waiting else { return }
            let connection = exchange.connection
            exchange.outbound.phase = .ended
            connection?.sendHead(exchange, status: status, headers: headers, bodyLength: body.count, end: body.isEmpty)
            if body.isEmpty {
                exchange.outbound.endSent = true
            } else if body.count <= HTTPExchange.piece {
                exchange.outbound.endSent = true
                connection?.sendData(exchange, ByteBuffer(bytes: body), end: true, promise: nil)
            } else {
                exchange.push(body[...])
                exchange.requestEnd(nil)
            }
            connection?.flushSoon()
        }
    }

    /// A complete answer from parts that are never joined: what is not yet sent stays in the caller's arrays.
    package func respond(status: Int, headers: HTTPHeaders = [:], chunks: [ArraySlice<UInt8>]) {
        answered(status)
        onLoop { exchange in
            guard exchange.outbound.phase == .waiting else { return }
            let total = chunks.reduce(0) { $0 + $1.count }
            exchange.outbound.phase = .ended
            exchange.connection?.sendHead(exchange, status: status, headers: headers, bodyLength: total, end: total == 0)
            if total == 0 {
                exchange.outbound.endSent = true
            } else {
                for chunk in chunks where !chunk.isEmpty { exchange.push(chunk) }
                exchange.requestEnd(nil)
            }
            exchange.connection?.flushSoon()
        }
    }

    /// Sends the head of a streamed answer now; `write`, `enqueue` and `finish` follow.
    package func start(status: Int, headers: HTTPHeaders = [:]) {
        answered(status)
        onLoop { exchange in
            guard exchange.outbound.phase == .waiting else { return }
            // The answer to HEAD is whole with its head: the client may already ask for something else.
            let whole = exchange.request.method == "HEAD"
            exchange.outbound.phase = whole ? .ended : .streaming
            exchange.outbound.endSent = whole
            exchange.connection?.sendHead(exchange, status: status, headers: headers, bodyLength: nil, end: whole)
            exchange.connection?.flushSoon()
        }
    }

    /// Adds to a streamed answer; returns when the client has taken enough that more may follow. Throws `.closed`.
    package func write(_ bytes: [UInt8]) async throws {
        try await withUnsafeThrowingContinuation { (continuation: UnsafeContinuation<Void, any Error>) in
            onLoop { exchange in
                guard exchange.outbound.phase == .streaming, exchange.connection != nil else {
                    continuation.resume(throwing: TransportError.closed)
                    return
                }
                if !bytes.isEmpty { exchange.push(bytes[...]) }
                exchange.pump()
                exchange.connection?.flushSoon()
                if exchange.outbound.queued == 0 {
                    continuation.resume()
                } else {
                    exchange.outbound.writers.append(continuation)
                }
            }
        }
    }

    /// Ends a streamed answer. Trailers go out where the protocol has them (HTTP/2, chunked).
    package func finish(trailers: HTTPHeaders = [:]) {
        onLoop { exchange in
            guard exchange.outbound.phase == .streaming else { return }
            exchange.takeEnqueued()
            exchange.outbound.phase = .ended
            exchange.requestEnd(trailers.isEmpty ? nil : trailers)
            exchange.connection?.flushSoon()
        }
    }

    /// Adds to a streamed answer without ever waiting, from any thread: for watch events. What several calls add within
    /// about a millisecond goes out together. False, and nothing is kept, once the client is gone or would have more
    /// than `limit` bytes waiting: the caller then ends the stream.
    package func enqueue(_ bytes: [UInt8], limit: Int = 4 << 20) -> Bool { enqueue(bytes, [], [], limit: limit) }

    /// The same for what comes in three parts, any of which may be shared with other exchanges.
    package func enqueue(_ first: [UInt8], _ second: [UInt8], _ third: [UInt8], limit: Int = 4 << 20) -> Bool {
        let count = first.count + second.count + third.count
        let outcome: (accepted: Bool, mark: Bool) = shared.withLock { shared in
            guard !shared.closed, shared.waiting + count <= limit else { return (false, false) }
            shared.waiting += count
            shared.pending.append(first)
            if !second.isEmpty { shared.pending.append(second) }
            if !third.isEmpty { shared.pending.append(third) }
            defer { shared.dirty = true }
            return (true, !shared.dirty)
        }
        if outcome.mark { context.fanOut.mark(self) }
        return outcome.accepted
    }

    /// Sends part of a file as (a part of) a streamed answer. Reading happens off the loop.
    package func sendFile(descriptor: Int32, offset: Int64, count: Int) async throws {
        let file = NIOFileHandle(_deprecatedTakingOwnershipOfDescriptor: descriptor)
        // The descriptor stays the caller's: the handle must let go of it however this ends.
        defer { _ = try? file.takeDescriptorOwnership() }
        let reader = NonBlockingFileIO(threadPool: .singleton)
        var at = offset
        var left = count
        while left > 0 {
            let buffer = try await reader.read(
                fileHandle: file, fromOffset: at, byteCount: min(left, HTTPExchange.window), allocator: ByteBufferAllocator())
            guard buffer.readableBytes > 0 else { throw TransportError.malformed("file is shorter than announced") }
            try await write(Array(buffer: buffer))
            at += Int64(buffer.readableBytes)
            left -= buffer.readableBytes
        }
    }

    // MARK: On the loop

    /// Takes what `enqueue` left and sends it.
    func drainEnqueued() {
        guard takeEnqueued() else { return }
        pump()
        connection?.flushSoon()
    }

    @discardableResult
    private func takeEnqueued() -> Bool {
        let pending = shared.withLock { shared in
            shared.dirty = false
            defer { shared.pending = [] }
            return shared.pending
        }
        guard outbound.phase == .streaming, !pending.isEmpty else { return false }
        for part in pending { push(part[...]) }
        return true
    }

    private func push(_ bytes: ArraySlice<UInt8>) {
        guard !bytes.isEmpty else { return }
        outbound.queue.append(bytes)
        outbound.queued += bytes.count
    }

    private func requestEnd(_ trailers: HTTPHeaders?) {
        outbound.trailers = trailers
        outbound.endRequested = true
        pump()
    }

    /// Hands queued bytes to the connection, a window's worth at a time.
    private func pump() {
        guard let connection, !outbound.endSent else { return }
        while outbound.queued > 0, outbound.inFlight < HTTPExchange.window {
            let buffer = nextPiece()
            let count = buffer.readableBytes
            let last = outbound.queued == 0 && outbound.endRequested && outbound.trailers == nil
            if last {
                outbound.endSent = true
                connection.sendData(self, buffer, end: true, promise: nil)
                return
            }
            outbound.inFlight += count
            let promise = loop.makePromise(of: Void.self)
            promise.futureResult.whenComplete { _ in self.written(count) }
            connection.sendData(self, buffer, end: false, promise: promise)
        }
        if outbound.queued == 0, outbound.endRequested, !outbound.endSent {
            outbound.endSent = true
            connection.sendEnd(self, trailers: outbound.trailers ?? [:])
        }
    }

    /// Up to a piece of what is queued, small chunks gathered: this is the only copy on the way to the socket.
    private func nextPiece() -> ByteBuffer {
        var buffer = ByteBufferAllocator().buffer(capacity: min(outbound.queued, HTTPExchange.piece))
        while outbound.queued > 0, buffer.readableBytes < HTTPExchange.piece {
            let chunk = outbound.queue[outbound.next]
            let count = min(chunk.count - outbound.offset, HTTPExchange.piece - buffer.readableBytes)
            let start = chunk.startIndex + outbound.offset
            buffer.writeBytes(chunk[start..<start + count])
            outbound.offset += count
            outbound.queued -= count
            if outbound.offset == chunk.count {
                outbound.offset = 0
                outbound.queue[outbound.next] = []
                outbound.next += 1
            }
        }
        if outbound.queued == 0 {
            outbound.queue.removeAll(keepingCapacity: false)
            outbound.next = 0
        } else if outbound.next > 1024 {
            outbound.queue.removeFirst(outbound.next)
            outbound.next = 0
        }
        return buffer
    }

    private func written(_ count: Int) {
        outbound.inFlight -= count
        shared.withLock { $0.waiting = max(0, $0.waiting - count) }
        if outbound.queued > 0 || outbound.endRequested && !outbound.endSent {
            pump()
            connection?.flushSoon()
        }
        if outbound.queued == 0, !outbound.writers.isEmpty {
            let writers = outbound.writers
            outbound.writers = []
            for writer in writers { writer.resume() }
        }
    }
}
