import CLinux
import Core
import Glibc
import Linux
import Synchronization

/// The daemon's end of a sandbox init's socket: requests with replies, and events. Safe to use from anywhere.
final class SandboxConnection: Sendable {
    struct Reply: Sendable {
        let status: Int32
        let records: [UInt8]
        let descriptors: [Descriptor]
    }

    private struct State {
        var pending: [UInt32: CheckedContinuation<Reply, any Error>] = [:]
        var outgoing: [(bytes: [UInt8], descriptors: [Descriptor])] = []
        var next: UInt32 = 1
        var token: UInt64 = 0
        var closed = false
    }

    private let socket: Descriptor
    private let loop: EventLoopThread
    private let state = Mutex(State())
    private let onEvent: @Sendable (_ type: Int, _ records: [UInt8]) -> Void
    private let onClose: @Sendable () -> Void

    init(
        directory: String, onEvent: @escaping @Sendable (Int, [UInt8]) -> Void, onClose: @escaping @Sendable () -> Void
    ) throws(SystemFailure) {
        socket = try UnixSocket.connect(directory: directory, name: "sock")
        loop = try EventLoopThread.shared.get()
        self.onEvent = onEvent
        self.onClose = onClose
        let token = try loop.watch(socket.raw) { [weak self] _ in self?.progress() }
        state.withLock { $0.token = token }
    }

    deinit { close() }

    /// A status other than 0 is in the reply; what is thrown is the loss of the connection.
    func request(_ type: Int, _ records: [UInt8] = [], descriptors: [Descriptor] = []) async throws -> Reply {
        try await withCheckedThrowingContinuation { continuation in
            let accepted = state.withLock { state in
                guard !state.closed, state.outgoing.count < 256 else { return false }
                let number = state.next
                state.next = state.next == UInt32.max ? 1 : state.next + 1
                state.pending[number] = continuation
                state.outgoing.append((SandboxConnection.message(type, number, records), descriptors))
                return true
            }
            if accepted { progress() } else { continuation.resume(throwing: SystemFailure("sandbox", errno: ENOTCONN)) }
        }
    }

    func close() {
        let (token, pending) = state.withLock { state -> (UInt64, [CheckedContinuation<Reply, any Error>]) in
            guard !state.closed else { return (0, []) }
            state.closed = true
            defer { state.pending = [:] }
            state.outgoing = []
            return (state.token, Array(state.pending.values))
        }
        if token != 0 { loop.unwatch(socket.raw, token) }
        socket.close()
        for continuation in pending { continuation.resume(throwing: SystemFailure("sandbox", errno: ENOTCONN)) }
    }

    private static func message(_ type: Int, _ number: UInt32, _ records: [UInt8]) -> [UInt8] {
        var head = jangada_message()
        head.magic = JANGADA_MAGIC
        head.type = UInt16(type)
        head.request = number
        return withUnsafeBytes(of: head) { Array($0) } + records
    }

    /// Sends what waits and takes what came. Replies and events are handed out in the order of their arrival, outside the lock.
    private func progress() {
        var lost = false
        let work = state.withLock { state -> [Received] in
            guard !state.closed else { return [] }
            lost = !send(&state)
            return receive(&state, &lost)
        }
        for item in work {
            switch item {
            case .reply(let continuation, let reply): continuation.resume(returning: reply)
            case .event(let type, let records): onEvent(type, records)
            }
        }
        if lost {
            close()
            onClose()
        }
    }

    private enum Received {
        case reply(CheckedContinuation<Reply, any Error>, Reply)
        case event(Int, [UInt8])
    }

    private func send(_ state: inout State) -> Bool {
        while let first = state.outgoing.first {
            do throws(SystemFailure) {
                try UnixSocket.send(socket, first.bytes, descriptors: first.descriptors.map(\.raw))
            } catch {
                return error.errno == EAGAIN
            }
            state.outgoing.removeFirst()
        }
        return true
    }

    private func receive(_ state: inout State, _ lost: inout Bool) -> [Received] {
        var out: [Received] = []
        let headSize = MemoryLayout<jangada_message>.size
        while true {
            let received: (bytes: [UInt8], descriptors: [Descriptor])?
            do throws(SystemFailure) { received = try UnixSocket.receive(socket, limit: Int(JANGADA_MAX_MESSAGE)) } catch {
                lost = true
                return out
            }
            guard let message = received else { return out }
            guard message.bytes.count >= headSize else {
                lost = true
                return out
            }
            let head = message.bytes.withUnsafeBytes { $0.loadUnaligned(as: jangada_message.self) }
            let records = Array(message.bytes[headSize...])
            if Int(head.type) != JANGADA_REPLY {
                out.append(.event(Int(head.type), records))
            } else if let continuation = state.pending.removeValue(forKey: head.request) {
                out.append(.reply(continuation, Reply(status: head.status, records: records, descriptors: message.descriptors)))
            }
        }
    }
}
