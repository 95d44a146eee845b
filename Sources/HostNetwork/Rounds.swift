import Core

/// Does what many callers ask for in rounds: while one round is at work, those who come gather, and the next one serves them all. For
/// work of which the kernel does many at the price of one.
final class Rounds<Item: Sendable>: Sendable {
    private struct State: Sendable {
        var waiting: [(ticket: UInt64, item: Item)] = []
        var next: UInt64 = 0
        var isBusy = false
        var done: [UInt64: Result<Void, SystemFailure>] = [:]
    }

    private enum Turn {
        case done(Result<Void, SystemFailure>)
        case lead([(ticket: UInt64, item: Item)])
    }

    private let state = Monitor(State())
    private let work: @Sendable ([Item]) throws(SystemFailure) -> Void

    /// `work` must be fit to be done again: where a round of several fails, each of them is tried alone, so that everybody gets his own failure.
    init(_ work: @escaping @Sendable ([Item]) throws(SystemFailure) -> Void) { self.work = work }

    /// Returns when the item's round is done.
    func perform(_ item: Item) throws(SystemFailure) {
        let ticket = state.withLock { state in
            state.next += 1
            state.waiting.append((state.next, item))
            return state.next
        }
        let turn = state.wait { state -> Turn? in
            if let result = state.done.removeValue(forKey: ticket) { return .done(result) }
            guard !state.isBusy else { return nil }
            state.isBusy = true
            defer { state.waiting = [] }
            return .lead(state.waiting)
        }
        guard case .lead(let round) = turn else {
            if case .done(let result) = turn { try result.get() }
            return
        }
        let results = self.results(of: round.map { $0.item })
        let own = state.change { state in
            state.isBusy = false
            for (member, result) in zip(round, results) { state.done[member.ticket] = result }
            return state.done.removeValue(forKey: ticket)
        }
        try own?.get()
    }

    private func results(of items: [Item]) -> [Result<Void, SystemFailure>] {
        func attempt(_ items: [Item]) -> Result<Void, SystemFailure> { Result { () throws(SystemFailure) in try work(items) } }
        let whole = attempt(items)
        if case .failure = whole, items.count > 1 { return items.map { attempt([$0]) } }
        return items.map { _ in whole }
    }
}
