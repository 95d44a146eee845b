import Core
import NIOCore
import NIOPosix
import NIOSSL
import NIOTLS
import Synchronization

/// Makes connections for a client: TCP, unix socket or a descriptor from its caller, TLS on top where asked.
final class Dialer: Sendable {
    typealias Connector = @Sendable (HTTPEndpoint) async throws -> Int32

    private let loops: EventLoops
    private let tls: ClientTLS
    private let connector: Connector?
    private let connectTimeout: Duration
    private let contexts = Mutex<[Bool: NIOSSLContext]>([:])

    init(loops: EventLoops, tls: ClientTLS, connector: Connector?, connectTimeout: Duration) {
        self.loops = loops
        self.tls = tls
        self.connector = connector
        self.connectTimeout = connectTimeout
    }

    /// A connection with no handler of ours on it yet, and the protocol that TLS settled on.
    func dial(_ endpoint: HTTPEndpoint, http2: Bool) async throws -> (channel: any Channel, negotiated: String?) {
        let finished = loops.group.next().makePromise(of: String?.self)
        let context = endpoint.isTLS ? try context(http2) : nil
        let name = tls.serverName ?? endpoint.host
        let bootstrap = ClientBootstrap(group: loops.group)
            .connectTimeout(TimeAmount(connectTimeout))
            .channelOption(.autoRead, value: false)
            .channelOption(.allowRemoteHalfClosure, value: true)
            .channelOption(.recvAllocator, value: AdaptiveRecvByteBufferAllocator(minimum: 1024, initial: 4096, maximum: 65536))
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    if endpoint.unixPath == nil { try? channel.syncOptions?.setOption(.tcpOption(.tcp_nodelay), value: 1) }
                    guard let context else { return try channel.pipeline.syncOperations.addHandler(EarlyEnd()) }
                    // An address cannot be asked for by name; the certificate is then checked against the peer's address.
                    let handler = try NIOSSLClientHandler(context: context, serverHostname: Dialer.isAddress(name) ? nil : name)
                    try channel.pipeline.syncOperations.addHandlers([handler, HandshakeWait(finished), EarlyEnd()])
                }
            }
        let channel: any Channel
        do {
            if let connector {
                channel = try await bootstrap.withConnectedSocket(try await connector(endpoint)).get()
            } else if let path = endpoint.unixPath {
                channel = try await UnixPath.short(path) { try await bootstrap.connect(unixDomainSocketPath: $0).get() }
            } else {
                channel = try await bootstrap.connect(host: endpoint.host, port: endpoint.port).get()
            }
        } catch {
            finished.fail(error)
            if let error = error as? TransportError { throw error }
            if let error = error as? SystemFailure { throw error }
            throw TransportError.unreachable("\(endpoint.unixPath ?? endpoint.authority): \(Dialer.reason(error))")
        }
        guard context != nil else {
            finished.succeed(nil)
            return (channel, nil)
        }
        let timer = channel.eventLoop.scheduleTask(in: TimeAmount(connectTimeout)) {
            finished.fail(TransportError.timedOut("TLS handshake"))
            channel.close(promise: nil)
        }
        defer { timer.cancel() }
        do {
            return (channel, try await finished.futureResult.get())
        } catch {
            channel.close(promise: nil)
            throw (error as? TransportError) ?? TransportError.handshake("\(endpoint.authority): \(Dialer.reason(error))")
        }
    }

    private func context(_ http2: Bool) throws(TransportError) -> NIOSSLContext {
        if let made = contexts.withLock({ $0[http2] }) { return made }
        let context = try tls.context(protocols: http2 ? ["h2", "http/1.1"] : ["http/1.1"])
        contexts.withLock { $0[http2] = context }
        return context
    }

    static func isAddress(_ host: String) -> Bool { (try? SocketAddress(ipAddress: host, port: 0)) != nil }

    private static func reason(_ error: any Error) -> String {
        switch error {
        case let error as IOError: SystemFailure("connect", errno: error.errnoCode).reason.lowercased()
        case let error as NIOConnectionError:
            error.connectionErrors.first.map { reason($0.error) } ?? "name cannot be resolved"
        case ChannelError.connectTimeout: "timed out"
        default: "\(error)"
        }
    }
}

/// Waits for the handshake, then keeps what the server sends at once (its SETTINGS) until the protocol's handlers are there.
final class HandshakeWait: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = ByteBuffer

    private let finished: EventLoopPromise<String?>
    private var done = false
    private var early: [ByteBuffer] = []
    private var context: ChannelHandlerContext?

    init(_ finished: EventLoopPromise<String?>) { self.finished = finished }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) { early.append(unwrapInboundIn(data)) }

    /// Leaves the pipeline, after which bytes go to the handlers behind it.
    func leave() {
        guard let context else { return }
        for data in early { context.fireChannelRead(NIOAny(data)) }
        if !early.isEmpty { context.fireChannelReadComplete() }
        early = []
        context.pipeline.syncOperations.removeHandler(context: context, promise: nil)
    }

    func handlerRemoved(context: ChannelHandlerContext) { self.context = nil }

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        if context.channel.isActive { context.read() }
    }

    func channelActive(context: ChannelHandlerContext) {
        context.read()
        context.fireChannelActive()
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        if !done { context.read() }
        context.fireChannelReadComplete()
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if case .handshakeCompleted(let negotiated)? = event as? TLSUserEvent {
            done = true
            finished.succeed(negotiated)
        }
        context.fireUserInboundEventTriggered(event)
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        if done { return context.fireErrorCaught(error) }
        finished.fail(error)
        context.close(promise: nil)
    }

    func channelInactive(context: ChannelHandlerContext) {
        if !done { finished.fail(TransportError.closed) }
        context.fireChannelInactive()
    }
}

/// Notices that the server ends the connection while nobody else listens yet: nobody is told later.
final class EarlyEnd: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = ByteBuffer

    private(set) var hasEnded = false

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if let event = event as? ChannelEvent, event == .inputClosed { hasEnded = true }
        context.fireUserInboundEventTriggered(event)
    }

    func channelInactive(context: ChannelHandlerContext) {
        hasEnded = true
        context.fireChannelInactive()
    }
}
