import NIOCore
import NIOHTTP2
import Synchronization

/// The open connections of a client by endpoint. While the first connection to an endpoint that may speak HTTP/2 is being
/// made, others wait for it, since they will most likely share it.
final class ConnectionPool: Sendable {
    private struct Slot {
        var idle: [HTTP1ClientConnection] = []
        var http2: [HTTP2ClientConnection] = []
        var dialing = false
        /// What the endpoint spoke last time.
        var speaksHTTP2: Bool?
        var waiters: [UnsafeContinuation<Void, Never>] = []
    }

    private struct State {
        var slots: [HTTPEndpoint: Slot] = [:]
        var closed = false
    }

    private let dialer: Dialer
    private let http2: Bool
    let idleTimeout: Duration
    private let state = Mutex(State())

    init(dialer: Dialer, http2: Bool, idleTimeout: Duration) {
        self.dialer = dialer
        self.http2 = http2
        self.idleTimeout = idleTimeout
    }

    private enum Choice {
        case use(any ClientConnection)
        case wait
        case dial
        case closed
    }

    /// A new HTTP/1.1 connection that is nobody else's.
    func own(_ endpoint: HTTPEndpoint) async throws -> any ClientConnection { try await dial(endpoint, false) }

    /// A connection with a place for one request, and whether it has served before.
    func checkout(_ endpoint: HTTPEndpoint) async throws -> (connection: any ClientConnection, reused: Bool) {
        let mayShare = http2 && (endpoint.isTLS || endpoint.speaksHTTP2)
        while true {
            switch choose(endpoint, mayShare) {
            case .use(let connection): return (connection, true)
            case .closed: throw TransportError.closed
            case .dial: return (try await dial(endpoint, mayShare), false)
            case .wait:
                await withUnsafeContinuation { (continuation: UnsafeContinuation<Void, Never>) in
                    let waits = state.withLock { state in
                        guard state.slots[endpoint]?.dialing == true else { return false }
                        state.slots[endpoint]?.waiters.append(continuation)
                        return true
                    }
                    if !waits { continuation.resume() }
                }
            }
        }
    }

    private func choose(_ endpoint: HTTPEndpoint, _ mayShare: Bool) -> Choice {
        state.withLock { state in
            if state.closed { return .closed }
            var slot = state.slots[endpoint] ?? Slot()
            defer { state.slots[endpoint] = slot }
            if mayShare { for connection in slot.http2 where connection.reserve() { return .use(connection) } }
            while let connection = slot.idle.popLast() { if connection.isUsable { return .use(connection) } }
            guard mayShare, slot.speaksHTTP2 != false else { return .dial }
            if slot.dialing { return .wait }
            slot.dialing = true
            return .dial
        }
    }

    private func dial(_ endpoint: HTTPEndpoint, _ mayShare: Bool) async throws -> any ClientConnection {
        let result: Result<any ClientConnection, any Error>
        do {
            let (channel, negotiated) = try await dialer.dial(endpoint, http2: mayShare)
            result = .success(try await setUp(channel, endpoint, negotiated))
        } catch {
            result = .failure(error)
        }
        let waiters = state.withLock { state -> [UnsafeContinuation<Void, Never>] in
            guard mayShare, var slot = state.slots[endpoint] else { return [] }
            slot.dialing = false
            switch result {
            case .success(let connection as HTTP2ClientConnection):
                slot.speaksHTTP2 = true
                slot.http2.append(connection)
            case .success: slot.speaksHTTP2 = false
            case .failure: break
            }
            let waiters = slot.waiters
            slot.waiters = []
            state.slots[endpoint] = slot
            return waiters
        }
        for waiter in waiters { waiter.resume() }
        return try result.get()
    }

    private func setUp(_ channel: any Channel, _ endpoint: HTTPEndpoint, _ negotiated: String?) async throws -> any ClientConnection {
        try await channel.eventLoop.submit { () -> any ClientConnection in
            let end = try channel.pipeline.syncOperations.handler(type: EarlyEnd.self)
            guard channel.isActive, !end.hasEnded else {
                channel.close(promise: nil)
                throw ConnectionGone()
            }
            channel.pipeline.syncOperations.removeHandler(end, promise: nil)
            let wait = try? channel.pipeline.syncOperations.handler(type: HandshakeWait.self)
            defer { wait?.leave() }
            if negotiated == "h2" || endpoint.speaksHTTP2 {
                let connection = HTTP2ClientConnection(channel, endpoint: endpoint, pool: self)
                guard connection.reserve() else { throw ConnectionGone() }
                try channel.pipeline.syncOperations.addHandlers([HTTP2ClientConnection.codec(), connection])
                try channel.syncOptions?.setOption(.autoRead, value: true)
                return connection
            }
            let connection = HTTP1ClientConnection(channel, endpoint: endpoint, pool: self)
            try channel.pipeline.syncOperations.addHandler(connection)
            return connection
        }.get()
    }

    func release(_ connection: HTTP1ClientConnection) {
        let keep = state.withLock { state in
            guard !state.closed, (state.slots[connection.endpoint]?.idle.count ?? 0) < 100 else { return false }
            state.slots[connection.endpoint, default: Slot()].idle.append(connection)
            return true
        }
        if !keep { connection.closeIdle() }
    }

    func forget(_ connection: HTTP1ClientConnection) {
        state.withLock { $0.slots[connection.endpoint]?.idle.removeAll { $0 === connection } }
    }

    func forget(_ connection: HTTP2ClientConnection) {
        state.withLock { $0.slots[connection.endpoint]?.http2.removeAll { $0 === connection } }
    }

    func close() {
        let slots = state.withLock { state in
            state.closed = true
            defer { state.slots = [:] }
            return Array(state.slots.values)
        }
        for slot in slots {
            for connection in slot.idle { connection.closeIdle() }
            for connection in slot.http2 { connection.closeIdle() }
        }
    }
}
