import Core
import NIOCore
import NIOPosix
import Synchronization

/// Where a server listens.
package enum Listener: Sendable, Equatable {
    /// Port 0 takes a free one.
    case tcp(host: String, port: Int)
    /// A stale socket file is replaced; `mode` are its permission bits.
    case unix(path: String, mode: UInt32)
    /// A socket that is bound and listening, from systemd or another network namespace; the server owns it from now on.
    case descriptor(Int32)
}

/// Serves HTTP/1.1 and HTTP/2, over TLS or plain, on any number of listeners.
package final class HTTPServer: Sendable {
    private let listeners: [Listener]
    private let tls: ServerTLS?
    private let sniffTLS: Bool
    private let loops: EventLoops
    private let shared: ServerShared
    private let channels = Mutex<[any Channel]>([])

    /// With `sniffTLS` each TCP connection is TLS or plain as its first byte says; unix sockets are always plain.
    package init(
        listeners: [Listener], tls: ServerTLS? = nil, sniffTLS: Bool = false, loops: EventLoops = .shared,
        limits: HTTPServerLimits = HTTPServerLimits(), handler: any HTTPHandler
    ) {
        self.listeners = listeners
        self.tls = tls
        self.sniffTLS = sniffTLS
        self.loops = loops
        shared = ServerShared(handler: handler, limits: limits)
    }

    /// Connections that are open now.
    package var connectionCount: Int { shared.count }

    /// Begins to listen, on all or on none; returns the bound addresses in the order of the listeners (`host:port`, or the path).
    @discardableResult
    package func start() async throws -> [String] {
        var names: [String] = []
        do {
            for listener in listeners {
                let channel = try await bind(listener)
                channels.withLock { $0.append(channel) }
                if case .unix(let path, _) = listener { names.append(path) } else { names.append(SocketNames.text(channel.localAddress)) }
            }
        } catch {
            await stopListening()
            throw error
        }
        return names
    }

    /// The port of the first TCP listener, once started.
    package var port: Int? { channels.withLock { $0.lazy.compactMap { $0.localAddress?.port }.first } }

    /// Takes no more connections, lets running requests end for `grace`, then closes what is left.
    package func shutdown(grace: Duration = .seconds(5)) async {
        await stopListening()
        shared.drain()
        let timer = loops.group.next().scheduleTask(in: TimeAmount(grace)) { self.shared.closeAll() }
        await shared.whenEmpty()
        timer.cancel()
    }

    private func stopListening() async {
        let open = channels.withLock { channels in
            defer { channels = [] }
            return channels
        }
        for channel in open { try? await channel.close().get() }
    }

    private func bind(_ listener: Listener) async throws -> any Channel {
        let isUnix = if case .unix = listener { true } else { false }
        let tls = isUnix ? nil : tls
        let bootstrap = ServerBootstrap(group: loops.group)
            .serverChannelOption(.backlog, value: 1024)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelOption(.autoRead, value: false)
            .childChannelOption(.allowRemoteHalfClosure, value: true)
            .childChannelOption(.recvAllocator, value: AdaptiveRecvByteBufferAllocator(minimum: 1024, initial: 4096, maximum: 65536))
            .childChannelInitializer { [shared, loops, sniffTLS] channel in
                channel.eventLoop.makeCompletedFuture {
                    if !isUnix {
                        try? channel.syncOptions?.setOption(.tcpOption(.tcp_nodelay), value: 1)
                        try? channel.syncOptions?.setOption(.socketOption(.so_keepalive), value: 1)
                    }
                    try channel.pipeline.syncOperations.addHandler(
                        ProtocolDetection(server: shared, loopContext: loops.context(of: channel.eventLoop), tls: tls, sniffs: sniffTLS))
                }
            }
        do {
            switch listener {
            case .tcp(let host, let port): return try await bootstrap.bind(host: host, port: port).get()
            case .unix(let path, let mode):
                let channel = try await bootstrap.bind(unixDomainSocketPath: path, cleanupExistingSocketFile: true).get()
                try FileMode.set(path, mode)
                return channel
            case .descriptor(let descriptor): return try await bootstrap.withBoundSocket(descriptor).get()
            }
        } catch let error as IOError {
            throw SystemFailure("bind", HTTPServer.name(listener), errno: error.errnoCode)
        }
    }

    private static func name(_ listener: Listener) -> String {
        switch listener {
        case .tcp(let host, let port): "\(host):\(port)"
        case .unix(let path, _): path
        case .descriptor(let descriptor): "descriptor \(descriptor)"
        }
    }
}
