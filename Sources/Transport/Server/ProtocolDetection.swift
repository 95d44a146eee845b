import NIOCore
import NIOHTTP2
import NIOSSL
import NIOTLS

/// Finds out what a new connection speaks (TLS or plain, HTTP/1 or HTTP/2), sets up the handlers for it and leaves.
final class ProtocolDetection: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = ByteBuffer

    private let server: ServerShared
    private let loopContext: LoopContext
    private let tls: ServerTLS?
    private let sniffs: Bool
    private let record = HandshakeRecord()
    private var buffer = ByteBuffer()
    private var encrypted = false
    private var timer: Scheduled<Void>?
    private var done = false

    private static let preface = Array("PRI * HTTP/2.0".utf8)

    init(server: ServerShared, loopContext: LoopContext, tls: ServerTLS?, sniffs: Bool) {
        self.server = server
        self.loopContext = loopContext
        self.tls = tls
        self.sniffs = sniffs
    }

    func handlerAdded(context: ChannelHandlerContext) {
        let channel = context.channel
        timer = context.eventLoop.scheduleTask(in: TimeAmount(server.limits.head)) { channel.end() }
        if channel.isActive { context.read() }
    }

    func handlerRemoved(context: ChannelHandlerContext) { timer?.cancel() }

    func channelActive(context: ChannelHandlerContext) {
        context.read()
        context.fireChannelActive()
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        var data = unwrapInboundIn(data)
        buffer.writeBuffer(&data)
        guard let first = buffer.readableBytesView.first, !done else { return }
        if encrypted { return }
        // 22 is the TLS record type of a handshake, and no method of HTTP begins with it.
        switch (tls, first == 22) {
        case (let tls?, true):
            encrypt(context, tls)
            let bytes = buffer
            buffer = ByteBuffer()
            context.pipeline.fireChannelRead(bytes)
            context.pipeline.fireChannelReadComplete()
            return
        case (nil, true): return refuse(context, "Client sent a TLS handshake to an HTTP server.")
        case (_?, false) where !sniffs: return refuse(context, "Client sent an HTTP request to an HTTPS server.")
        default: break
        }
        let count = min(buffer.readableBytes, ProtocolDetection.preface.count)
        guard buffer.readableBytesView.prefix(count).elementsEqual(ProtocolDetection.preface.prefix(count)) else { return serve(context, http2: false) }
        if count == ProtocolDetection.preface.count { serve(context, http2: true) }
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        if !done { context.read() }
        context.fireChannelReadComplete()
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if case .handshakeCompleted(let negotiated)? = event as? TLSUserEvent {
            serve(context, http2: negotiated == "h2")
        } else if let event = event as? ChannelEvent, event == .inputClosed {
            context.end()
        } else {
            context.fireUserInboundEventTriggered(event)
        }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.end() }

    private func encrypt(_ context: ChannelHandlerContext, _ tls: ServerTLS) {
        encrypted = true
        do {
            try context.pipeline.syncOperations.addHandler(tls.handler(record), position: .before(self))
        } catch {
            context.end()
        }
    }

    /// In clear text, and in the oldest HTTP there is: whoever speaks the wrong protocol shall find words in what comes back.
    private func refuse(_ context: ChannelHandlerContext, _ words: String) {
        done = true
        buffer = ByteBuffer()
        let channel = context.channel
        channel.writeAndFlush(ByteBuffer(string: "HTTP/1.0 400 Bad Request\r\n\r\n\(words)\n")).whenComplete { _ in channel.end() }
    }

    private func serve(_ context: ChannelHandlerContext, http2: Bool) {
        guard !done else { return }
        done = true
        let channel = context.channel
        var certificates = record.certificates
        // A resumed session does not verify again, but remembers who it was made with.
        if encrypted, certificates.isEmpty, let leaf = try? channel.pipeline.syncOperations.nioSSL_peerCertificate(), let der = try? leaf.toDERBytes() {
            certificates = [der]
        }
        let peer = HTTPPeer(
            isTLS: encrypted, clientCertificates: certificates, remoteAddress: SocketNames.text(channel.remoteAddress),
            localPort: channel.localAddress?.port ?? 0, connectionID: server.nextID())
        let pipeline = context.pipeline.syncOperations
        do {
            if http2 {
                if encrypted { try pipeline.addHandler(RecordGathering()) }
                try pipeline.addHandlers([
                    HTTP2Connection.codec(server.limits), HTTP2Connection(server: server, peer: peer, loopContext: loopContext),
                ])
                try channel.syncOptions?.setOption(.autoRead, value: true)
            } else {
                try pipeline.addHandler(HTTP1Connection(server: server, peer: peer, loopContext: loopContext))
            }
        } catch {
            context.end()
            return
        }
        if buffer.readableBytes > 0 {
            let bytes = buffer
            buffer = ByteBuffer()
            context.fireChannelRead(wrapInboundOut(bytes))
            context.fireChannelReadComplete()
        }
        pipeline.removeHandler(context: context, promise: nil)
    }

    typealias InboundOut = ByteBuffer
}

/// Socket addresses as text.
enum SocketNames {
    static func text(_ address: SocketAddress?) -> String {
        switch address {
        case .v4?, .v6?:
            guard let host = address?.ipAddress, let port = address?.port else { return "" }
            return host.utf8.contains(0x3A) ? "[\(host)]:\(port)" : "\(host):\(port)"
        default: return ""
        }
    }
}
