import NIOCore
import Synchronization

/// Limits of a server, with upstream's values where it has them.
package struct HTTPServerLimits: Sendable {
    /// A connection without a request ends after this.
    package var idle: Duration = .seconds(90)
    /// A request's head must be whole this long after the connection opened or the request before it ended.
    package var head: Duration = .seconds(32)
    /// How long the rest of a long body is read after its answer, so that the sender gets to the answer.
    package var linger: Duration = .seconds(30)
    /// Simultaneous requests of one HTTP/2 connection; client-go opens another connection when it reaches them.
    package var streams = 1000
    /// Body bytes that one HTTP/2 stream may send ahead of its handler.
    package var streamWindow = 1 << 20
    /// The same for a whole connection.
    package var connectionWindow = 16 << 20

    package init() {}
}

/// What the connections of one server share.
final class ServerShared: Sendable {
    let handler: any HTTPHandler
    let limits: HTTPServerLimits
    private let state = Mutex(State())

    private struct State {
        var next: UInt64 = 1
        var connections: [UInt64: any ServerConnection] = [:]
        var draining = false
        var emptied: [UnsafeContinuation<Void, Never>] = []
    }

    init(handler: any HTTPHandler, limits: HTTPServerLimits) {
        self.handler = handler
        self.limits = limits
    }

    func nextID() -> UInt64 {
        state.withLock { state in
            defer { state.next += 1 }
            return state.next
        }
    }

    var isDraining: Bool { state.withLock { $0.draining } }
    var count: Int { state.withLock { $0.connections.count } }

    func add(_ connection: any ServerConnection, _ id: UInt64) {
        let draining = state.withLock { state in
            state.connections[id] = connection
            return state.draining
        }
        if draining { connection.drain() }
    }

    func remove(_ id: UInt64) {
        let waiting = state.withLock { state -> [UnsafeContinuation<Void, Never>] in
            state.connections[id] = nil
            guard state.connections.isEmpty else { return [] }
            defer { state.emptied = [] }
            return state.emptied
        }
        for continuation in waiting { continuation.resume() }
    }

    /// Asks every connection to end after its running requests.
    func drain() {
        let all = state.withLock { state in
            state.draining = true
            return Array(state.connections.values)
        }
        for connection in all { connection.drain() }
    }

    func closeAll() {
        for connection in state.withLock({ Array($0.connections.values) }) { connection.closeNow() }
    }

    func whenEmpty() async {
        await withUnsafeContinuation { (continuation: UnsafeContinuation<Void, Never>) in
            let empty = state.withLock { state in
                if !state.connections.isEmpty { state.emptied.append(continuation) }
                return state.connections.isEmpty
            }
            if empty { continuation.resume() }
        }
    }
}

/// A connection as its server sees it; from any thread.
protocol ServerConnection: AnyObject, Sendable {
    func drain()
    func closeNow()
}
