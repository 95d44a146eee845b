import NIOCore

/// Hands what is written between two flushes to TLS as one piece. A frame is written in parts (its head, its payload), and each part
/// would become a record of its own, which costs both ends more than the copy.
final class RecordGathering: ChannelOutboundHandler {
    typealias OutboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    /// Four full records: more is not gathered, so that long answers do not wait in memory.
    private static let limit = 64 * 1024

    private var gathered = ByteBuffer()
    /// The last piece's size, so that long answers do not grow a small buffer step by step.
    private var expected = 2048
    private var promises: [EventLoopPromise<Void>] = []

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        var bytes = unwrapOutboundIn(data)
        if gathered.readableBytes + bytes.readableBytes > RecordGathering.limit { handOver(context) }
        if gathered.readableBytes == 0 {
            gathered = context.channel.allocator.buffer(capacity: expected)
        }
        gathered.writeBuffer(&bytes)
        if let promise { promises.append(promise) }
    }

    func flush(context: ChannelHandlerContext) {
        handOver(context)
        context.flush()
    }

    func close(context: ChannelHandlerContext, mode: CloseMode, promise: EventLoopPromise<Void>?) {
        handOver(context)
        context.close(mode: mode, promise: promise)
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        let left = promises
        promises = []
        for promise in left { promise.fail(TransportError.closed) }
    }

    private func handOver(_ context: ChannelHandlerContext) {
        guard gathered.readableBytes > 0 || !promises.isEmpty else { return }
        let whole = gathered
        expected = max(2048, whole.readableBytes)
        let waiting = promises
        gathered = ByteBuffer()
        promises = []
        guard waiting.count > 1 else { return context.write(wrapOutboundOut(whole), promise: waiting.first) }
        let sent = context.eventLoop.makePromise(of: Void.self)
        for promise in waiting { sent.futureResult.cascade(to: promise) }
        context.write(wrapOutboundOut(whole), promise: sent)
    }
}
