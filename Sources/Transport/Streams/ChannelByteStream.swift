import NIOCore
import Synchronization

/// The bytes of a socket (or of TLS over one). Reads from the socket stop while more than a window waits for its reader.
package final class ChannelByteStream: ByteStream, @unchecked Sendable {
    // Confined to the channel's event loop, but for `isClosed`.
    let channel: any Channel
    private var chunks: [ByteBuffer] = []
    private var buffered = 0
    private var ended = false
    private var failure: TransportError?
    private var waiters: [UnsafeContinuation<Void, Never>] = []
    private var reading = false
    private let flags = Mutex(Flags())

    private struct Flags {
        var closed = false
        var callbacks: [@Sendable () -> Void] = []
    }

    private static let window = 256 * 1024

    init(_ channel: any Channel) { self.channel = channel }

    package var isClosed: Bool { flags.withLock { $0.closed } }

    /// Calls `body` once when the connection is gone; at once if it is.
    package func onClose(_ body: @escaping @Sendable () -> Void) {
        let closed = flags.withLock { flags in
            if !flags.closed { flags.callbacks.append(body) }
            return flags.closed
        }
        if closed { body() }
    }

    package func read() async throws -> [UInt8]? { try await readBuffer().map { Array(buffer: $0) } }

    func readBuffer() async throws -> ByteBuffer? {
        while true {
            let outcome: Result<ByteBuffer?, TransportError>? = await withUnsafeContinuation { continuation in
                onLoop { continuation.resume(returning: $0.take()) }
            }
            if let outcome { return try outcome.get() }
            await withUnsafeContinuation { (continuation: UnsafeContinuation<Void, Never>) in
                onLoop { stream in
                    if stream.ended || stream.failure != nil || !stream.chunks.isEmpty {
                        continuation.resume()
                    } else {
                        stream.waiters.append(continuation)
                        stream.demand()
                    }
                }
            }
        }
    }

    package func write(_ bytes: [UInt8]) async throws { try await write(ByteBuffer(bytes: bytes)) }

    func write(_ buffer: ByteBuffer) async throws {
        do { try await channel.writeAndFlush(buffer).get() } catch { throw TransportError.closed }
    }

    package func closeWrite() async { try? await channel.close(mode: .output).get() }

    package func close() { onLoop { $0.channel.end() } }

    private func onLoop(_ body: @escaping @Sendable (ChannelByteStream) -> Void) {
        let loop = channel.eventLoop
        if loop.inEventLoop { body(self) } else { loop.execute { body(self) } }
    }

    private func take() -> Result<ByteBuffer?, TransportError>? {
        if !chunks.isEmpty {
            let chunk = chunks.removeFirst()
            buffered -= chunk.readableBytes
            demand()
            return .success(chunk)
        }
        if let failure { return .failure(failure) }
        return ended ? .success(nil) : nil
    }

    private func wake() {
        let waiting = waiters
        waiters = []
        for waiter in waiting { waiter.resume() }
    }

    // MARK: - For the handler below, on the loop

    /// Asks the socket for more where there is room.
    func demand() {
        // Before the channel is active a read would be forgotten; channelActive asks again.
        guard !reading, !ended, failure == nil, buffered < ChannelByteStream.window, channel.isActive else { return }
        reading = true
        channel.read()
    }

    func received(_ data: ByteBuffer) {
        guard data.readableBytes > 0 else { return }
        chunks.append(data)
        buffered += data.readableBytes
        wake()
    }

    func readCompleted() {
        reading = false
        demand()
    }

    func receivedEnd() {
        ended = true
        wake()
    }

    func closed(_ reason: TransportError?) {
        // What came before the end is still there to read; an orderly end was told by receivedEnd.
        if !ended { if let reason { failure = reason } else { ended = true } }
        wake()
        let callbacks = flags.withLock { flags in
            flags.closed = true
            defer { flags.callbacks = [] }
            return flags.callbacks
        }
        for callback in callbacks { callback() }
    }
}

/// Feeds a `ChannelByteStream` from its channel, for sockets that are nothing but bytes from the start.
final class ByteStreamHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer

    private let stream: ChannelByteStream
    private var failed = false

    init(_ stream: ChannelByteStream) { self.stream = stream }

    func channelActive(context: ChannelHandlerContext) {
        stream.demand()
        context.fireChannelActive()
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) { stream.received(unwrapInboundIn(data)) }
    func channelReadComplete(context: ChannelHandlerContext) { stream.readCompleted() }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if let event = event as? ChannelEvent, event == .inputClosed { stream.receivedEnd() }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        failed = true
        context.end()
    }

    func channelInactive(context: ChannelHandlerContext) { stream.closed(failed ? .closed : nil) }
}
