import Synchronization

/// Frames on their way into a byte stream, in the order they were added, by any number of tasks. While one write is
/// under way the next frames gather, so that many small ones cost one system call.
final class Outbox: Sendable {
    private struct State {
        var frames: [[UInt8]] = []
        var bytes = 0
        var writing = false
        var failed = false
        var waiters: [UnsafeContinuation<Void, any Error>] = []
        var idle: [UnsafeContinuation<Void, Never>] = []
    }

    private let stream: any ByteStream
    private let limit: Int
    private let state = Mutex(State())

    init(_ stream: any ByteStream, limit: Int = 256 * 1024) {
        self.stream = stream
        self.limit = limit
    }

    /// Adds a frame without waiting; for what must not block (acknowledgements) or is made under another lock.
    func enqueue(_ frame: [UInt8]) { _ = enqueue(frame, limit: .max) }

    /// The same, unless more than `limit` bytes would wait then or nothing gets through any more: false.
    func enqueue(_ frame: [UInt8], limit: Int) -> Bool {
        let (accepted, starts) = state.withLock { state -> (Bool, Bool) in
            guard !state.failed, state.bytes + frame.count <= limit else { return (false, false) }
            state.frames.append(frame)
            state.bytes += frame.count
            guard !state.writing else { return (true, false) }
            state.writing = true
            return (true, true)
        }
        if starts { Task { await self.drain() } }
        return accepted
    }

    /// Adds a frame; returns when there is room for the next. Throws `.closed`.
    func write(_ frame: [UInt8]) async throws {
        enqueue(frame)
        try await room()
    }

    /// Waits while more than the limit is unsent.
    func room() async throws {
        try await withUnsafeThrowingContinuation { (continuation: UnsafeContinuation<Void, any Error>) in
            let now: Result<Void, any Error>? = state.withLock { state in
                if state.failed { return .failure(TransportError.closed) }
                if state.bytes <= limit { return .success(()) }
                state.waiters.append(continuation)
                return nil
            }
            if let now { continuation.resume(with: now) }
        }
    }

    /// Waits until everything has left.
    func drained() async {
        await withUnsafeContinuation { (continuation: UnsafeContinuation<Void, Never>) in
            let waits = state.withLock { state in
                if state.writing { state.idle.append(continuation) }
                return state.writing
            }
            if !waits { continuation.resume() }
        }
    }

    private func drain() async {
        while true {
            let batch: [UInt8]? = state.withLock { state in
                guard !state.frames.isEmpty, !state.failed else {
                    state.writing = false
                    return nil
                }
                defer { state.frames = [] }
                return state.frames.count == 1 ? state.frames[0] : state.frames.flattened
            }
            guard let batch else { break }
            do {
                try await stream.write(batch)
                let waiters = state.withLock { state -> [UnsafeContinuation<Void, any Error>] in
                    state.bytes -= batch.count
                    guard state.bytes <= limit else { return [] }
                    defer { state.waiters = [] }
                    return state.waiters
                }
                for waiter in waiters { waiter.resume() }
            } catch {
                let waiters = state.withLock { state in
                    state.failed = true
                    state.frames = []
                    state.bytes = 0
                    defer { state.waiters = [] }
                    return state.waiters
                }
                for waiter in waiters { waiter.resume(throwing: TransportError.closed) }
            }
        }
        let idle = state.withLock { state in
            defer { state.idle = [] }
            return state.idle
        }
        for continuation in idle { continuation.resume() }
    }
}
