import Core
import Synchronization

/// Ends a wait at its time, also where what is waited for does not end with its task: a connection to a host that is silent.
enum Deadline {
    struct Passed: Error {}

    static func within<Value: Sendable>(_ limit: Duration, _ body: @escaping @Sendable () async throws -> Value) async throws -> Value {
        let outcome = Outcome<Value>()
        let work = Task {
            do { outcome.settle(.success(try await body())) } catch { outcome.settle(.failure(error)) }
        }
        let timer = Task {
            try await Task.sleep(for: limit)
            outcome.settle(.failure(Passed()))
        }
        defer {
            work.cancel()
            timer.cancel()
        }
        return try await withTaskCancellationHandler {
            try await outcome.value()
        } onCancel: {
            outcome.settle(.failure(CancellationError()))
        }
    }

    /// The first result counts.
    private final class Outcome<Value: Sendable>: Sendable {
        private enum State {
            case open
            case awaited(CheckedContinuation<Value, any Error>)
            case settled(Result<Value, any Error>)
        }

        private let state = Mutex(State.open)

        func settle(_ result: Result<Value, any Error>) {
            state.withLock { state -> CheckedContinuation<Value, any Error>? in
                switch state {
                case .open:
                    state = .settled(result)
                    return nil
                case .awaited(let continuation):
                    state = .settled(result)
                    return continuation
                case .settled: return nil
                }
            }?.resume(with: result)
        }

        func value() async throws -> Value {
            try await withCheckedThrowingContinuation { continuation in
                let ready = state.withLock { state -> Result<Value, any Error>? in
                    if case .settled(let result) = state { return result }
                    state = .awaited(continuation)
                    return nil
                }
                if let ready { continuation.resume(with: ready) }
            }
        }
    }
}
