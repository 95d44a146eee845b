import Glibc

/// A few threads for calls that block: files, hashing, unpacking. Jobs start in the order they come; threads begin when
/// there is work and end some seconds after there is none, so that an idle process has none, and one that probes every second
/// does not make a thread for each.
package final class BlockingThreads: Sendable {
    package static let shared = BlockingThreads(limit: 8)

    private let limit: Int
    private let state = Monitor(State())
    private static let linger = Duration.seconds(5)

    private struct State: Sendable {
        var jobs: [@Sendable () -> Void] = []
        var running = 0
        /// Of the running ones, those that wait for a job.
        var idle = 0
    }

    package init(limit: Int) { self.limit = limit }

    /// Runs `body` on one of the threads and returns what it returns.
    package func run<T: Sendable, Failure: Error>(_ body: @escaping @Sendable () throws(Failure) -> T) async throws(Failure) -> T {
        let result: Result<T, Failure> = await withCheckedContinuation { continuation in
            submit {
                do throws(Failure) { continuation.resume(returning: .success(try body())) } catch {
                    continuation.resume(returning: .failure(error))
                }
            }
        }
        return try result.get()
    }

    private func submit(_ job: @escaping @Sendable () -> Void) {
        let starts = state.changeForOne { state in
            state.jobs.append(job)
            guard state.idle < state.jobs.count, state.running < limit else { return false }
            state.running += 1
            return true
        }
        guard starts else { return }
        var thread = pthread_t()
        var attributes = pthread_attr_t()
        pthread_attr_init(&attributes)
        pthread_attr_setdetachstate(&attributes, Int32(PTHREAD_CREATE_DETACHED))
        pthread_attr_setstacksize(&attributes, 1 << 20)
        defer { pthread_attr_destroy(&attributes) }
        let code = pthread_create(
            &thread, &attributes,
            { raw in
                guard let raw else { return nil }
                Unmanaged<BlockingThreads>.fromOpaque(raw).takeRetainedValue().work()
                return nil
            }, Unmanaged.passRetained(self).toOpaque())
        // Without a thread the job would never run; EAGAIN here is a machine at its limits, where nothing else would work either.
        precondition(code == 0, "pthread_create: error \(code)")
    }

    private func work() {
        while let job = next() { job() }
    }

    /// Nil when nothing came for a while: the thread no longer counts then.
    private func next() -> (@Sendable () -> Void)? {
        var isIdle = false
        let job = state.wait(atMost: BlockingThreads.linger) { state -> (@Sendable () -> Void)? in
            guard state.jobs.isEmpty else {
                if isIdle { state.idle -= 1 }
                return state.jobs.removeFirst()
            }
            if !isIdle { state.idle += 1 }
            isIdle = true
            return nil
        }
        if let job { return job }
        return state.withLock { state in
            state.idle -= 1
            // One may have come since, counting on this thread.
            if !state.jobs.isEmpty { return state.jobs.removeFirst() }
            state.running -= 1
            return nil
        }
    }
}
