import Synchronization

/// Lets one at a time have what a key stands for; the others suspend, and come in the order in which they asked. For work that suspends
/// itself, over which no lock may be held.
package final class Turns<Key: Hashable & Sendable>: Sendable {
    /// Who waits for each that is taken.
    private let taken = Mutex<[Key: [CheckedContinuation<Void, Never>]]>([:])

    package init() {}

    /// False where somebody has it.
    package func tryTake(_ key: Key) -> Bool {
        taken.withLock { taken in
            guard taken[key] == nil else { return false }
            taken[key] = []
            return true
        }
    }

    /// Not ended by cancellation: it comes when those before have given it back.
    package func take(_ key: Key) async {
        await withCheckedContinuation { continuation in
            let isFree = taken.withLock { taken in
                guard taken[key] != nil else {
                    taken[key] = []
                    return true
                }
                taken[key]?.append(continuation)
                return false
            }
            if isFree { continuation.resume() }
        }
    }

    /// To the next one who waits.
    package func giveBack(_ key: Key) {
        let next = taken.withLock { taken -> CheckedContinuation<Void, Never>? in
            guard taken[key]?.isEmpty == false else {
                taken[key] = nil
                return nil
            }
            return taken[key]?.removeFirst()
        }
        next?.resume()
    }
}
