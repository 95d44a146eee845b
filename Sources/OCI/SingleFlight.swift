import Synchronization

/// Lets the first caller of a key do the work, and gives those who come meanwhile the same result.
///
/// The work runs in a task of its own, for it must outlive a caller that gives up while others wait; it is cancelled
/// when the last of them has gone.
final class SingleFlight<Key: Hashable & Sendable, Value: Sendable>: Sendable {
    private struct Flight: Sendable {
        let task: Task<Value, any Error>
        let number: UInt64
        var waiters: Int
    }
    private struct State: Sendable {
        var flights: [Key: Flight] = [:]
        var numbers: UInt64 = 0
    }
    private let state = Mutex(State())

    func run(_ key: Key, _ work: @escaping @Sendable () async throws -> Value) async throws -> Value {
        let flight = state.withLock { state -> Flight in
            if var flight = state.flights[key] {
                flight.waiters += 1
                state.flights[key] = flight
                return flight
            }
            state.numbers += 1
            let flight = Flight(task: Task { try await work() }, number: state.numbers, waiters: 1)
            state.flights[key] = flight
            return flight
        }
        return try await withTaskCancellationHandler {
            defer { finish(key, flight.number) }
            return try await flight.task.value
        } onCancel: {
            leave(key, flight.number)
        }
    }

    private func finish(_ key: Key, _ number: UInt64) {
        state.withLock { state in
            if state.flights[key]?.number == number { state.flights[key] = nil }
        }
    }

    private func leave(_ key: Key, _ number: UInt64) {
        let abandoned = state.withLock { state -> Task<Value, any Error>? in
            guard var flight = state.flights[key], flight.number == number else { return nil }
            flight.waiters -= 1
            state.flights[key] = flight.waiters > 0 ? flight : nil
            return flight.waiters > 0 ? nil : flight.task
        }
        abandoned?.cancel()
    }
}
