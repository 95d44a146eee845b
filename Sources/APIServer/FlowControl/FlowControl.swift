package import Store
import Synchronization

/// Shares the server among those who ask: each priority level has so many seats, and whoever finds none waits in the queue of its flow.
/// Flows of a level take turns, so one that asks without end delays itself alone.
package final class FlowControl: Sendable {
    private static let patience = Duration.seconds(15)

    private struct LevelState {
        var busy: Int64 = 0
        var waiting: [String: [OneShot]] = [:]
        /// Flows with somebody waiting, the next one first.
        var turns: [String] = []
    }

    private let schemas: FlowSchemas
    private let seatLimit: Int64
    private let state = Mutex<[String: LevelState]>([:])

    /// `seats`: upstream's defaults for reading and writing requests together.
    package init(_ store: Store, seats: Int64 = 600) {
        schemas = FlowSchemas(store)
        seatLimit = seats
    }

    func match(_ user: UserInfo, _ info: RequestInfo) -> FlowSchemas.Match? { schemas.match(user, info) }

    /// Takes a seat, at once or when one gets free. False: there are too many already.
    func enter(_ match: FlowSchemas.Match) async -> Bool {
        guard !match.level.isExempt else { return true }
        let limit = limit(match.level)
        let shot = OneShot()
        enum Step { case seated, waits, refused }
        let step = state.withLock { levels -> Step in
            var level = levels[match.level.name] ?? LevelState()
            defer { levels[match.level.name] = level }
            if level.busy < limit {
                level.busy += 1
                return .seated
            }
            guard match.level.queues, (level.waiting[match.flow]?.count ?? 0) < match.level.queueLength else { return .refused }
            if level.waiting[match.flow, default: []].isEmpty { level.turns.append(match.flow) }
            level.waiting[match.flow, default: []].append(shot)
            return .waits
        }
        switch step {
        case .seated: return true
        case .refused: return false
        case .waits:
            if await shot.fired(within: FlowControl.patience) { return true }
            // Either it gives up its place, or its turn came in the same moment.
            return state.withLock { levels in
                guard var level = levels[match.level.name], var queue = level.waiting[match.flow], let index = queue.firstIndex(where: { $0 === shot }) else {
                    return true
                }
                queue.remove(at: index)
                level.waiting[match.flow] = queue.isEmpty ? nil : queue
                if queue.isEmpty { level.turns.removeAll { $0 == match.flow } }
                levels[match.level.name] = level
                return false
            }
        }
    }

    /// Gives the seat to the next flow in turn, or back.
    func leave(_ match: FlowSchemas.Match) {
        guard !match.level.isExempt else { return }
        let next = state.withLock { levels -> OneShot? in
            guard var level = levels[match.level.name] else { return nil }
            defer { levels[match.level.name] = level }
            guard !level.turns.isEmpty else {
                level.busy -= 1
                return nil
            }
            let flow = level.turns.removeFirst()
            var queue = level.waiting[flow] ?? []
            guard !queue.isEmpty else {
                level.busy -= 1
                return nil
            }
            let shot = queue.removeFirst()
            level.waiting[flow] = queue.isEmpty ? nil : queue
            if !queue.isEmpty { level.turns.append(flow) }
            return shot
        }
        next?.fire()
    }

    /// How many wait in a level.
    func waiting(_ level: String) -> Int { state.withLock { $0[level]?.waiting.values.reduce(0) { $0 + $1.count } ?? 0 } }

    private func limit(_ level: FlowSchemas.Level) -> Int64 {
        let total = schemas.levels.filter { !$0.isExempt }.reduce(0) { $0 + $1.shares }
        guard total > 0 else { return seatLimit }
        return max(1, (seatLimit * level.shares + total - 1) / total)
    }
}
