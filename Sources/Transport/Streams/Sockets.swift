import Core
import NIOCore
import NIOPosix
import Synchronization

/// Plain sockets as byte streams.
package enum Sockets {
    package static func connect(host: String, port: Int, timeout: Duration = .seconds(10), loops: EventLoops = .shared) async throws -> ChannelByteStream {
        try await connect(loops, "\(host):\(port)") { try await $0.connectTimeout(TimeAmount(timeout)).connect(host: host, port: port).get() }
    }

    package static func connect(unixPath path: String, loops: EventLoops = .shared) async throws -> ChannelByteStream {
        try await connect(loops, path) { bootstrap in try await UnixPath.short(path) { try await bootstrap.connect(unixDomainSocketPath: $0).get() } }
    }

    /// Takes over a connected stream socket; it is closed with the stream.
    package static func adopt(descriptor: Int32, loops: EventLoops = .shared) async throws -> ChannelByteStream {
        try await connect(loops, "descriptor \(descriptor)") { try await $0.withConnectedSocket(descriptor).get() }
    }

    private static func connect(
        _ loops: EventLoops, _ name: String, _ make: (ClientBootstrap) async throws -> any Channel
    ) async throws -> ChannelByteStream {
        let bootstrap = ClientBootstrap(group: loops.group)
            .channelOption(.autoRead, value: false)
            .channelOption(.allowRemoteHalfClosure, value: true)
            .channelOption(.recvAllocator, value: AdaptiveRecvByteBufferAllocator(minimum: 1024, initial: 16384, maximum: 131_072))
        do {
            let channel = try await make(bootstrap)
            let stream = ChannelByteStream(channel)
            try await channel.eventLoop.submit {
                try channel.pipeline.syncOperations.addHandler(ByteStreamHandler(stream))
                if channel.isActive { stream.demand() } else { stream.closed(.closed) }
            }.get()
            return stream
        } catch let error as IOError {
            throw SystemFailure("connect", name, errno: error.errnoCode)
        } catch let error as SystemFailure {
            throw error
        } catch let error as NIOConnectionError {
            if let first = error.connectionErrors.first?.error as? IOError { throw SystemFailure("connect", name, errno: first.errnoCode) }
            throw TransportError.unreachable(name)
        } catch {
            throw TransportError.unreachable(name)
        }
    }
}

/// Accepts stream connections and gives each to a task of its own.
package final class StreamListener: Sendable {
    package typealias Handler = @Sendable (_ stream: ChannelByteStream, _ remoteAddress: String) async -> Void

    private let listener: Listener
    private let loops: EventLoops
    private let handler: Handler
    private let channel = Mutex<(any Channel)?>(nil)
    private let open = Mutex<(closed: Bool, streams: [ObjectIdentifier: ChannelByteStream])>((false, [:]))

    package init(_ listener: Listener, loops: EventLoops = .shared, handler: @escaping Handler) {
        self.listener = listener
        self.loops = loops
        self.handler = handler
    }

    /// Begins to listen; returns the bound address.
    @discardableResult
    package func start() async throws -> String {
        let isUnix = if case .unix = listener { true } else { false }
        let bootstrap = ServerBootstrap(group: loops.group)
            .serverChannelOption(.backlog, value: 1024)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelOption(.autoRead, value: false)
            .childChannelOption(.allowRemoteHalfClosure, value: true)
            .childChannelOption(.recvAllocator, value: AdaptiveRecvByteBufferAllocator(minimum: 1024, initial: 16384, maximum: 131_072))
            .childChannelInitializer { [self] channel in
                channel.eventLoop.makeCompletedFuture {
                    if !isUnix { try? channel.syncOptions?.setOption(.tcpOption(.tcp_nodelay), value: 1) }
                    try self.accepted(channel)
                }
            }
        let bound: any Channel
        do {
            switch listener {
            case .tcp(let host, let port): bound = try await bootstrap.bind(host: host, port: port).get()
            case .unix(let path, let mode):
                bound = try await bootstrap.bind(unixDomainSocketPath: path, cleanupExistingSocketFile: true).get()
                try FileMode.set(path, mode)
            case .descriptor(let descriptor): bound = try await bootstrap.withBoundSocket(descriptor).get()
            }
        } catch let error as IOError {
            throw SystemFailure("bind", "\(listener)", errno: error.errnoCode)
        }
        channel.withLock { $0 = bound }
        if case .unix(let path, _) = listener { return path }
        return SocketNames.text(bound.localAddress)
    }

    package var port: Int? { channel.withLock { $0?.localAddress?.port } }

    /// Stops listening and ends every connection it accepted.
    package func close() async {
        let bound = channel.withLock { $0.take() }
        try? await bound?.close().get()
        let streams = open.withLock { open in
            open.closed = true
            defer { open.streams = [:] }
            return Array(open.streams.values)
        }
        for stream in streams { stream.close() }
    }

    private func accepted(_ channel: any Channel) throws {
        let stream = ChannelByteStream(channel)
        try channel.pipeline.syncOperations.addHandler(ByteStreamHandler(stream))
        let id = ObjectIdentifier(stream)
        let refused = open.withLock { open in
            if !open.closed { open.streams[id] = stream }
            return open.closed
        }
        guard !refused else { return stream.close() }
        stream.onClose { self.open.withLock { _ = $0.streams.removeValue(forKey: id) } }
        let address = SocketNames.text(channel.remoteAddress)
        Task(executorPreference: loops.context(of: channel.eventLoop).executor) {
            await self.handler(stream, address)
            stream.close()
        }
    }
}
