import Core
import NIOCore
import NIOPosix
import Synchronization

/// The sender of a datagram, and where an answer goes.
package struct UDPPeer: Sendable, Hashable, CustomStringConvertible {
    let address: SocketAddress

    /// nil where `host` is not an address.
    package init?(host: String, port: Int) {
        guard let address = try? SocketAddress(ipAddress: host, port: port) else { return nil }
        self.address = address
    }

    init(_ address: SocketAddress) { self.address = address }

    package var description: String { SocketNames.text(address) }
    package var host: String { address.ipAddress ?? "" }
    package var port: Int { address.port ?? 0 }
}

/// A UDP socket. The handler is called on its event loop for each datagram and must not block; it may answer at once
/// or later by `send`.
package final class UDPServer: Sendable {
    package typealias Handler = @Sendable (_ server: UDPServer, _ datagram: [UInt8], _ from: UDPPeer) -> Void

    package enum Address: Sendable {
        case udp(host: String, port: Int)
        /// A bound socket, from another network namespace; the server owns it from now on.
        case descriptor(Int32)
    }

    private let loops: EventLoops
    private let handler: Handler
    private let channel = Mutex<(any Channel)?>(nil)

    package init(loops: EventLoops = .shared, handler: @escaping Handler) {
        self.loops = loops
        self.handler = handler
    }

    /// Begins to receive; returns the bound address.
    @discardableResult
    package func start(_ address: Address) async throws -> String {
        let bootstrap = DatagramBootstrap(group: loops.group)
            .channelOption(.socketOption(.so_reuseaddr), value: 1)
            .channelOption(.datagramVectorReadMessageCount, value: 16)
            .channelOption(.recvAllocator, value: FixedSizeRecvByteBufferAllocator(capacity: 16 * 4096))
            .channelInitializer { [self] channel in
                channel.eventLoop.makeCompletedFuture { try channel.pipeline.syncOperations.addHandler(DatagramHandler(self)) }
            }
        do {
            let bound: any Channel
            switch address {
            case .udp(let host, let port): bound = try await bootstrap.bind(host: host, port: port).get()
            case .descriptor(let descriptor): bound = try await bootstrap.withBoundSocket(descriptor).get()
            }
            channel.withLock { $0 = bound }
            return SocketNames.text(bound.localAddress)
        } catch let error as IOError {
            throw SystemFailure("bind", "\(address)", errno: error.errnoCode)
        }
    }

    package var port: Int? { channel.withLock { $0?.localAddress?.port } }

    /// Sends without waiting; what the kernel cannot take is lost, as datagrams are.
    package func send(_ datagram: [UInt8], to peer: UDPPeer) {
        guard let channel = channel.withLock({ $0 }) else { return }
        channel.writeAndFlush(AddressedEnvelope(remoteAddress: peer.address, data: ByteBuffer(bytes: datagram)), promise: nil)
    }

    package func close() async {
        let bound = channel.withLock { $0.take() }
        try? await bound?.close().get()
    }

    fileprivate func received(_ datagram: [UInt8], _ from: UDPPeer) { handler(self, datagram, from) }
}

private final class DatagramHandler: ChannelInboundHandler {
    typealias InboundIn = AddressedEnvelope<ByteBuffer>

    private let server: UDPServer

    init(_ server: UDPServer) { self.server = server }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let envelope = unwrapInboundIn(data)
        server.received(Array(buffer: envelope.data), UDPPeer(envelope.remoteAddress))
    }

    /// An ICMP refusal of an earlier answer must not end the server.
    func errorCaught(context: ChannelHandlerContext, error: any Error) {}
}
