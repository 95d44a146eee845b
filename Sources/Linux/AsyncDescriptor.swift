import CLinux
package import Core
import Glibc
import Synchronization

/// Reads and writes a pipe, socket or terminal without blocking a thread. One reader and one writer at a time;
/// memory is bounded by what the caller asks for, and a slow peer slows the caller.
package final class AsyncDescriptor: Sendable {
    private struct Side {
        var ready = true
        var waiter: CheckedContinuation<Void, Never>?
    }
    private enum Direction: Sendable { case input, output }
    private struct State {
        var input = Side()
        var output = Side()
        subscript(_ direction: Direction) -> Side {
            get { direction == .input ? input : output }
            set { if direction == .input { input = newValue } else { output = newValue } }
        }
        var token: UInt64 = 0
        var closed = false
    }

    private let descriptor: Descriptor
    private let loop: EventLoopThread
    private let state = Mutex(State())

    /// Takes over the descriptor and makes it non-blocking.
    package init(_ descriptor: Descriptor) throws(SystemFailure) {
        self.descriptor = descriptor
        loop = try EventLoopThread.shared.get()
        try descriptor.setNonblocking()
        let token = try loop.watch(descriptor.raw) { [weak self] events in self?.notice(events) }
        state.withLock { $0.token = token }
    }

    deinit { close() }

    /// The next bytes, at most `limit`; nil at the end. A terminal whose other side is gone has ended.
    package func read(upTo limit: Int = 32768) async throws -> [UInt8]? {
        while true {
            guard prepare(.input) else { return nil }
            var failure: Int32 = 0
            let bytes = [UInt8](unsafeUninitializedCapacity: limit) { buffer, count in
                let got = Glibc.read(descriptor.raw, buffer.baseAddress, limit)
                failure = got < 0 ? errno : 0
                count = max(0, got)
            }
            switch failure {
            case 0: return bytes.isEmpty ? nil : bytes
            case EINTR: continue
            case EAGAIN: try await wait(.input)
            case EIO, EBADF, ECONNRESET: return nil
            default: throw SystemFailure("read", errno: failure)
            }
        }
    }

    /// Returns when the kernel has taken everything.
    package func write(_ bytes: [UInt8]) async throws {
        var done = 0
        while done < bytes.count {
            guard prepare(.output) else { throw SystemFailure("write", errno: EPIPE) }
            let count = bytes.withUnsafeBytes { Glibc.write(descriptor.raw, $0.baseAddress?.advanced(by: done), $0.count - done) }
            if count >= 0 {
                done += count
                continue
            }
            let failure = errno
            if failure == EINTR { continue }
            guard failure == EAGAIN else { throw SystemFailure("write", errno: failure) }
            try await wait(.output)
        }
    }

    /// Ends a terminal's or pipe's other side; waiting calls return.
    package func close() {
        let (token, waiters) = state.withLock { state -> (UInt64, [CheckedContinuation<Void, Never>]) in
            guard !state.closed else { return (0, []) }
            state.closed = true
            let waiters = [state.input.waiter, state.output.waiter].compactMap { $0 }
            state.input.waiter = nil
            state.output.waiter = nil
            return (state.token, waiters)
        }
        if token != 0 { loop.unwatch(descriptor.raw, token) }
        descriptor.close()
        for waiter in waiters { waiter.resume() }
    }

    package func setWindow(rows: UInt16, columns: UInt16) throws(SystemFailure) {
        guard jangada_set_window(descriptor.raw, rows, columns) == 0 else { throw SystemFailure("ioctl", "TIOCSWINSZ") }
    }

    /// Forgets an earlier edge, before the attempt that will find out anew. False once closed.
    private func prepare(_ side: Direction) -> Bool {
        state.withLock { state in
            state[side].ready = false
            return !state.closed
        }
    }

    private func wait(_ side: Direction) async throws {
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let now = state.withLock { state in
                    if state.closed || state[side].ready || Task.isCancelled { return true }
                    precondition(state[side].waiter == nil, "one reader and one writer at a time")
                    state[side].waiter = continuation
                    return false
                }
                if now { continuation.resume() }
            }
        } onCancel: {
            wake(side)
        }
        try Task.checkCancellation()
    }

    private func wake(_ side: Direction) {
        let waiter = state.withLock { state in
            state[side].ready = true
            defer { state[side].waiter = nil }
            return state[side].waiter
        }
        waiter?.resume()
    }

    private func notice(_ events: UInt32) {
        let ended = UInt32(JANGADA_EVENT_HUP | JANGADA_EVENT_ERR)
        if events & (UInt32(JANGADA_EVENT_IN | JANGADA_EVENT_RDHUP) | ended) != 0 { wake(.input) }
        if events & (UInt32(JANGADA_EVENT_OUT) | ended) != 0 { wake(.output) }
    }
}
