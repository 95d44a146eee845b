import Core
package import Store
import Synchronization

/// Shares the server among those who ask: each priority level has so many seats, a request takes as many as it is wide, and whoever
/// finds none waits in a queue of its flow. Queues take turns, so one flow that asks without end delays itself alone. Seats that a level
/// does not need are lent to others.
package final class FlowControl: Sendable {
    /// Upstream lets a request wait for a quarter of the time that it may take.
    static let patience = Duration.seconds(15)
    private static let adjustment = 10.0
    /// The most of a level's seats that one request may take.
    private static let widest = 0.15

    struct LevelState {
        var queues: FairQueues
        var level: FlowSchemas.Level
        var nominal = 0
        var lowest = 0
        var highest = 0
        var demand = SeatDemand()
        var dropped = DroppedRequests()
        var rejected: [String: Int] = [:]

        /// In place, so that the dictionary's value is not copied: with it went all requests of the level.
        mutating func change<Result>(_ body: (inout LevelState) -> Result) -> Result { body(&self) }

        mutating func release(_ id: UInt64, _ now: Double, _ turns: inout [UInt64]) {
            queues.release(id, now: now, turns: &turns)
            demand.set(queues.demand, now: now)
        }
    }

    struct State {
        var levels: [String: LevelState] = [:]
        var waiting: [UInt64: OneShot] = [:]
        var nextID: UInt64 = 1
        var revision: Int64 = -1
        var adjusted = 0.0
    }

    /// A request's place, to be given back.
    struct Seat: Sendable {
        let id: UInt64
        let level: String
    }

    let schemas: FlowSchemas
    private let estimator: WorkEstimator
    private let seatLimit: Int
    private let began = ContinuousClock.now
    private let state = Mutex(State())

    /// `seats`: upstream's defaults for reading and writing requests together.
    package init(_ store: Store, seats: Int = 600) {
        schemas = FlowSchemas(store)
        estimator = WorkEstimator(store)
        seatLimit = seats
    }

    func match(_ user: UserInfo, _ info: RequestInfo) -> FlowSchemas.Match? { schemas.match(user, info) }

    private var now: Double {
        let (seconds, attoseconds) = (ContinuousClock.now - began).components
        return Double(seconds) + Double(attoseconds) / 1e18
    }

    // MARK: - Requests

    /// Takes seats, at once or when they get free. Nil: there are too many already.
    func enter(_ match: FlowSchemas.Match, _ info: RequestInfo, user: String = "", limit: Int = 0, sendsInitial: Bool = false) async -> Seat? {
        let name = match.level.name
        var turns: [UInt64] = []
        let (id, arrival, shot) = state.withLock { state -> (UInt64, FairQueues.Arrival, OneShot?) in
            let now = self.now
            refresh(&state, now, &turns)
            let id = state.nextID
            state.nextID += 1
            let arrival = state.levels[name, default: LevelState(queues: FairQueues(limit: 1), level: match.level)].change { level -> FairQueues.Arrival in
                let most = level.level.isExempt ? 0 : FlowControl.most(level)
                let estimate = estimator.estimate(info, limit: limit, sendsInitial: sendsInitial, most: most)
                let request = FairQueues.Request(
                    id: id, estimate: estimate, schema: match.schema, flow: match.flow, info: info, user: user, arrived: .now())
                let arrival = level.queues.arrive(request, now: now, turns: &turns)
                level.demand.set(level.queues.demand, now: now)
                if case .rejected = arrival {
                    level.dropped.record(Timestamp.now().seconds)
                    level.rejected[level.level.queues ? "queue-full" : "concurrency-limit", default: 0] += 1
                }
                return arrival
            }
            guard case .waits = arrival else { return (id, arrival, nil) }
            let shot = OneShot()
            state.waiting[id] = shot
            return (id, arrival, shot)
        }
        wake(turns)
        switch arrival {
        case .runs: return Seat(id: id, level: name)
        case .rejected: return nil
        case .waits:
            if await shot?.fired(within: FlowControl.patience) ?? true { return Seat(id: id, level: name) }
            return giveUp(id, name) ? nil : Seat(id: id, level: name)
        }
    }

    /// A request that waited too long goes. False where its turn came in the same moment.
    private func giveUp(_ id: UInt64, _ name: String) -> Bool {
        state.withLock { state in
            let now = self.now
            state.waiting[id] = nil
            return state.levels[name]?.change { level in
                guard level.queues.giveUp(id, now: now) else { return false }
                level.demand.set(level.queues.demand, now: now)
                level.dropped.record(Timestamp.now().seconds)
                level.rejected["time-out", default: 0] += 1
                return true
            } ?? false
        }
    }

    /// Gives seats to those whose turn it is, or back; what watchers cost is kept a moment longer.
    func leave(_ seat: Seat) {
        var turns: [UInt64] = []
        let rest = state.withLock { state in
            let now = self.now
            return state.levels[seat.level]?.change { level -> Double in
                guard let estimate = level.queues.finish(seat.id, now: now), estimate.additionalLatency > 0 else {
                    level.release(seat.id, now, &turns)
                    return 0
                }
                return estimate.additionalLatency
            } ?? 0
        }
        wake(turns)
        guard rest > 0 else { return }
        Task {
            try? await Task.sleep(for: .nanoseconds(Int64(rest * 1e9)))
            release(seat)
        }
    }

    private func release(_ seat: Seat) {
        var turns: [UInt64] = []
        state.withLock { state in
            let now = self.now
            state.levels[seat.level]?.change { $0.release(seat.id, now, &turns) }
        }
        wake(turns)
    }

    private func wake(_ turns: [UInt64]) {
        guard !turns.isEmpty else { return }
        for shot in state.withLock({ state in turns.compactMap { state.waiting.removeValue(forKey: $0) } }) { shot.fire() }
    }

    func watchBegins(_ info: RequestInfo) { estimator.watchBegins(info) }
    func watchEnds(_ info: RequestInfo) { estimator.watchEnds(info) }

    /// For `Retry-After`, in seconds.
    func retryAfter(_ level: String) -> Int64 { state.withLock { $0.levels[level]?.dropped.retryAfter ?? 1 } }

    /// How many wait in a level.
    func waiting(_ level: String) -> Int { state.withLock { $0.levels[level]?.queues.waiting ?? 0 } }

    /// What is there now, for dumps and metrics.
    func snapshot() -> [(name: String, state: LevelState)] {
        var turns: [UInt64] = []
        let levels = state.withLock { state in
            refresh(&state, self.now, &turns)
            return state.levels
        }
        wake(turns)
        return levels.sorted { $0.key < $1.key }.map { ($0.key, $0.value) }
    }

    private static func most(_ level: LevelState) -> Int {
        let limit = Double(level.nominal)
        return Int(max(1, min((limit * widest).rounded(.up), Double(level.nominal / max(1, level.level.handSize)))))
    }

    // MARK: - Shares

    /// Takes changed objects over, and lends seats anew when it is time. Nobody waits for either: it happens as requests come.
    private func refresh(_ state: inout State, _ now: Double, _ turns: inout [UInt64]) {
        if schemas.revision != state.revision {
            let (levels, revision) = schemas.currentLevels()
            state.revision = revision
            configure(&state, levels, now)
            for name in state.levels.keys { state.levels[name]?.queues.changed(now: now, turns: &turns) }
        }
        let periods = Int((now - state.adjusted) / FlowControl.adjustment)
        guard periods > 0 else { return }
        state.adjusted = now
        borrow(&state, now, periods)
        for name in state.levels.keys { state.levels[name]?.queues.changed(now: now, turns: &turns) }
    }

    private func configure(_ state: inout State, _ levels: [String: FlowSchemas.Level], _ now: Double) {
        let total = levels.values.reduce(0) { $0 + $1.shares }
        for (name, level) in levels {
            var found = state.levels[name] ?? LevelState(queues: FairQueues(limit: 1), level: level)
            found.level = level
            let nominal = total > 0 ? Int((Double(seatLimit) * Double(level.shares) / Double(total)).rounded(.up)) : seatLimit
            let isNew = found.nominal != nominal
            found.nominal = nominal
            found.lowest = nominal - Int((Double(nominal * level.lendable) / 100).rounded())
            found.highest = level.borrowing.map { nominal + Int((Double(nominal * $0) / 100).rounded()) } ?? nominal + seatLimit
            if isNew { found.queues.limit = max(1, nominal) }
            found.queues.configure(level)
            state.levels[name] = found
        }
        for (name, level) in state.levels where levels[name] == nil && level.queues.requests.isEmpty { state.levels[name] = nil }
    }

    private func borrow(_ state: inout State, _ now: Double, _ periods: Int) {
        var names: [String] = []
        var items: [SeatShares.Item] = []
        var left = state.levels.values.reduce(0) { $0 + $1.nominal }
        let total = left
        for name in state.levels.keys.sorted() {
            guard var level = state.levels[name] else { continue }
            level.demand.look(now: now, periods: periods)
            state.levels[name] = level
            if level.level.isExempt {
                let taken = max(level.lowest, level.demand.highWatermark)
                state.levels[name]?.queues.limit = taken
                left -= taken
                continue
            }
            let lower = max(level.lowest, min(level.nominal, level.demand.highWatermark))
            names.append(name)
            items.append(.init(lower: Double(lower), upper: Double(level.highest), target: max(Double(lower), level.demand.smoothed)))
        }
        let lowest = names.reduce(0) { $0 + (state.levels[$1]?.lowest ?? 0) }
        let needed = Int(items.reduce(0) { $0 + $1.lower })
        let shares = left > needed ? SeatShares.allocate(Double(total), items) : []
        for (index, name) in names.enumerated() {
            let own = state.levels[name]?.lowest ?? 0
            let limit: Int
            if left <= lowest { limit = own } else if left <= needed {
                limit = own + Int(((items[index].lower - Double(own)) * Double(left - lowest) / Double(needed - lowest)).rounded())
            } else {
                limit = Int(shares[index].rounded())
            }
            state.levels[name]?.queues.limit = max(1, limit)
        }
    }
}
