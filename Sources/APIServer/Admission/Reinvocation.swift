import Synchronization
import Tree

/// What the two rounds of mutating admission know of each other: upstream's reinvocation context.
final class Reinvocation: Sendable {
    private struct State {
        var isWanted = false
        var isSecondRound = false
        /// Webhooks that may be asked again and were asked since the last change.
        var asked: Set<String> = []
        /// Webhooks after whose answer the object changed.
        var due: Set<String> = []
        var lastOutput: Node?

        mutating func changed() {
            due.formUnion(asked)
            asked = []
        }
    }

    private let state = Mutex(State())

    var isSecondRound: Bool { state.withLock { $0.isSecondRound } }

    /// Starts the second round, if anything asks for one.
    func begin() -> Bool {
        state.withLock { state in
            state.isSecondRound = state.isWanted
            return state.isWanted
        }
    }

    /// The plugins before the webhooks may have changed the object in the second round.
    func webhooksBegin(with object: Node) {
        state.withLock { if $0.isSecondRound, let last = $0.lastOutput, last != object { $0.changed() } }
    }

    func webhooksEnd(with object: Node) { state.withLock { $0.lastOutput = object } }

    func mayCall(_ webhook: String) -> Bool { state.withLock { !$0.isSecondRound || $0.due.contains(webhook) } }

    func called(_ webhook: String, isRepeatable: Bool, changed: Bool) {
        state.withLock { state in
            if changed {
                state.changed()
                state.isWanted = true
            }
            if isRepeatable { state.asked.insert(webhook) }
        }
    }
}
