import Synchronization

/// Bytes from one task to another, bounded: `push` waits while more than the limit is unread. One reader.
final class ByteQueue: Sendable {
    private struct State {
        var chunks: [[UInt8]] = []
        var bytes = 0
        var ended = false
        var failure: TransportError?
        var readers: [UnsafeContinuation<Void, Never>] = []
        var pushers: [UnsafeContinuation<Void, Never>] = []
        /// The reader has gone: what comes is dropped.
        var discarding = false
    }

    private let limit: Int
    private let state = Mutex(State())

    init(limit: Int = 256 * 1024) { self.limit = limit }

    /// Adds bytes, then waits until there is room for more.
    func push(_ chunk: [UInt8]) async {
        guard !chunk.isEmpty else { return }
        let (readers, full) = state.withLock { state -> ([UnsafeContinuation<Void, Never>], Bool) in
            guard !state.ended, !state.discarding else { return ([], false) }
            state.chunks.append(chunk)
            state.bytes += chunk.count
            defer { state.readers = [] }
            return (state.readers, state.bytes > limit)
        }
        for reader in readers { reader.resume() }
        guard full else { return }
        await withUnsafeContinuation { (continuation: UnsafeContinuation<Void, Never>) in
            let waits = state.withLock { state in
                guard state.bytes > limit, !state.ended, !state.discarding else { return false }
                state.pushers.append(continuation)
                return true
            }
            if !waits { continuation.resume() }
        }
    }

    /// What is queued stays readable; after it comes the end, or the failure.
    func finish(_ failure: TransportError? = nil) {
        let waiting = state.withLock { state -> [UnsafeContinuation<Void, Never>] in
            guard !state.ended else { return [] }
            state.ended = true
            state.failure = failure
            defer {
                state.pushers = []
                state.readers = []
            }
            return state.pushers + state.readers
        }
        for continuation in waiting { continuation.resume() }
    }

    /// The reader loses interest.
    func discard() {
        let waiting = state.withLock { state -> [UnsafeContinuation<Void, Never>] in
            state.discarding = true
            state.chunks = []
            state.bytes = 0
            defer { state.pushers = [] }
            return state.pushers
        }
        for continuation in waiting { continuation.resume() }
        finish()
    }

    /// Everything that is queued as one chunk, nil at the end.
    func pop() async throws(TransportError) -> [UInt8]? {
        while true {
            let outcome: Result<[UInt8]?, TransportError>? = state.withLock { state in
                if !state.chunks.isEmpty {
                    let all = state.chunks.count == 1 ? state.chunks[0] : state.chunks.flattened
                    state.chunks = []
                    state.bytes = 0
                    return .success(all)
                }
                guard state.ended else { return nil }
                if let failure = state.failure { return .failure(failure) }
                return .success(nil)
            }
            if let outcome {
                let pushers = state.withLock { state in
                    defer { state.pushers = [] }
                    return state.pushers
                }
                for pusher in pushers { pusher.resume() }
                return try outcome.get()
            }
            await withUnsafeContinuation { (continuation: UnsafeContinuation<Void, Never>) in
                let ready = state.withLock { state in
                    if !state.chunks.isEmpty || state.ended { return true }
                    state.readers.append(continuation)
                    return false
                }
                if ready { continuation.resume() }
            }
        }
    }
}
