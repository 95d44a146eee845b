import Glibc
import Synchronization

/// A few threads for calls that block: files, hashing, unpacking. Jobs start in the order they come; threads begin when
/// there is work and end when there is none, so that an idle process has none.
package final class BlockingThreads: Sendable {
    package static let shared = BlockingThreads(limit: 8)

    private let limit: Int
    private let state = Mutex(State())

    private struct State: Sendable {
        var jobs: [@Sendable () -> Void] = []
        var running = 0
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
        let starts = state.withLock { state in
            state.jobs.append(job)
            guard state.running < limit else { return false }
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
        while true {
            let job = state.withLock { state -> (@Sendable () -> Void)? in
                guard !state.jobs.isEmpty else {
                    state.running -= 1
                    return nil
                }
                return state.jobs.removeFirst()
            }
            guard let job else { return }
            job()
        }
    }
}
