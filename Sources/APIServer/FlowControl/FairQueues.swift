import Core

/// The queues of one priority level, as a machine without clock or waiting: flows are dealt over queues, and queues take turns by the
/// virtual time at which each would have been served, so that who asks much waits longer and a wide request counts as several.
struct FairQueues {
    enum Arrival { case runs, waits, rejected }

    struct Request {
        let id: UInt64
        let estimate: WorkEstimate
        let schema: String
        let flow: String
        let info: RequestInfo
        let user: String
        let arrived: Timestamp
        var arrivalR = 0.0
        var started: Double?
        var startedAt: Timestamp?
        /// Nil where the level has none.
        var queue: Int?
    }

    struct Queue {
        var waiting: [UInt64] = []
        var executing: Set<UInt64> = []
        var nextDispatchR = 0.0
        var seatsInUse = 0
        var seatsWaiting = 0
    }

    struct Counts {
        var dispatched = 0
        var rejected = 0
        var timedOut = 0
    }

    /// What upstream believes a request takes, until it has ended.
    private static let service = 0.003

    var limit: Int
    private(set) var isExempt = false
    private var queueLength = 0
    private var handSize = 0
    private(set) var queues: [Queue] = []
    private(set) var requests: [UInt64: Request] = [:]
    private(set) var seatsInUse = 0
    private(set) var seatsWaiting = 0
    private(set) var executing = 0
    private(set) var waiting = 0
    var counts = Counts()
    private var currentR = 0.0
    private var lastTime = 0.0
    private var robin = 0

    init(limit: Int) { self.limit = limit }

    var demand: Int { seatsInUse + seatsWaiting }

    /// Takes another configuration. Queues are never fewer than those in use.
    mutating func configure(_ level: FlowSchemas.Level) {
        isExempt = level.isExempt
        queueLength = level.queueLength
        handSize = max(1, min(level.handSize, level.queueCount))
        let wanted = level.isExempt || !level.queues ? 0 : level.queueCount
        while queues.count < wanted { queues.append(Queue()) }
        while queues.count > wanted, let last = queues.last, last.waiting.isEmpty, last.executing.isEmpty { queues.removeLast() }
    }

    // MARK: - Events

    /// `now` in seconds of a clock that never goes back. Others may get their turn by the same event.
    mutating func arrive(_ request: Request, now: Double, turns: inout [UInt64]) -> Arrival {
        advance(now)
        var request = request
        guard !queues.isEmpty else {
            guard isExempt || fits(request.estimate.maxSeats) else {
                counts.rejected += 1
                return .rejected
            }
            begin(&request, now)
            requests[request.id] = request
            return .runs
        }
        let index = deal(request.flow)
        if seatsInUse >= limit, queues[index].waiting.count >= queueLength {
            counts.rejected += 1
            return .rejected
        }
        if queues[index].waiting.isEmpty, queues[index].executing.isEmpty { queues[index].nextDispatchR = currentR }
        request.arrivalR = currentR
        request.queue = index
        queues[index].waiting.append(request.id)
        queues[index].seatsWaiting += request.estimate.maxSeats
        seatsWaiting += request.estimate.maxSeats
        waiting += 1
        requests[request.id] = request
        dispatch(now, &turns)
        guard let own = turns.firstIndex(of: request.id) else { return .waits }
        turns.remove(at: own)
        return .runs
    }

    /// The request ran to its end. What it still takes seats for lasts `additionalLatency`, after which comes `release`.
    mutating func finish(_ id: UInt64, now: Double) -> WorkEstimate? {
        advance(now)
        guard let request = requests[id], let started = request.started else { return nil }
        executing -= 1
        if let index = request.queue {
            queues[index].executing.remove(id)
            queues[index].nextDispatchR -= Double(request.estimate.initialSeats) * (FairQueues.service - (now - started))
            bound(index)
        }
        return request.estimate
    }

    mutating func release(_ id: UInt64, now: Double, turns: inout [UInt64]) {
        advance(now)
        guard let request = requests.removeValue(forKey: id) else { return }
        seatsInUse -= request.estimate.maxSeats
        if let index = request.queue { queues[index].seatsInUse -= request.estimate.maxSeats }
        dispatch(now, &turns)
    }

    /// It waited too long. False where its turn came in the same moment.
    mutating func giveUp(_ id: UInt64, now: Double) -> Bool {
        advance(now)
        guard let request = requests[id], request.started == nil, let index = request.queue else { return false }
        queues[index].waiting.removeAll { $0 == id }
        leaveQueue(request, index)
        requests[id] = nil
        counts.timedOut += 1
        return true
    }

    /// The limit has changed.
    mutating func changed(now: Double, turns: inout [UInt64]) {
        advance(now)
        dispatch(now, &turns)
    }

    // MARK: - Inside

    /// Virtual time runs faster the fewer queues have something to do.
    private mutating func advance(_ now: Double) {
        let passed = now - lastTime
        lastTime = now
        guard passed > 0 else { return }
        var active = 0
        var asked = 0
        for queue in queues where !queue.waiting.isEmpty || !queue.executing.isEmpty {
            active += 1
            asked += queue.seatsWaiting + queue.seatsInUse
        }
        guard active > 0 else { return }
        currentR += passed * Double(min(asked, limit)) / Double(active)
    }

    private func fits(_ seats: Int) -> Bool {
        // What is wider than the level is let run alone.
        if seats > limit { return executing == 0 }
        return seatsInUse + seats <= limit
    }

    private mutating func begin(_ request: inout Request, _ now: Double) {
        request.started = now
        request.startedAt = .now()
        seatsInUse += request.estimate.maxSeats
        executing += 1
        counts.dispatched += 1
    }

    private mutating func leaveQueue(_ request: Request, _ index: Int) {
        queues[index].seatsWaiting -= request.estimate.maxSeats
        seatsWaiting -= request.estimate.maxSeats
        waiting -= 1
    }

    private mutating func dispatch(_ now: Double, _ turns: inout [UInt64]) {
        while waiting > 0, seatsInUse < limit {
            var best: (index: Int, finish: Double)?
            for step in 1...queues.count {
                let index = (robin + step) % queues.count
                guard let head = queues[index].waiting.first, let request = requests[head] else { continue }
                let finish = queues[index].nextDispatchR + request.estimate.totalWork(FairQueues.service)
                if best.map({ finish < $0.finish }) ?? true { best = (index, finish) }
            }
            guard let best, let id = queues[best.index].waiting.first, var request = requests[id], fits(request.estimate.maxSeats) else { return }
            robin = best.index
            queues[best.index].waiting.removeFirst()
            leaveQueue(request, best.index)
            begin(&request, now)
            requests[id] = request
            queues[best.index].executing.insert(id)
            queues[best.index].seatsInUse += request.estimate.maxSeats
            queues[best.index].nextDispatchR += request.estimate.totalWork(FairQueues.service)
            bound(best.index)
            turns.append(id)
        }
    }

    /// A queue that was idle in between gets no credit for it.
    private mutating func bound(_ index: Int) {
        guard let head = queues[index].waiting.first, let request = requests[head] else { return }
        queues[index].nextDispatchR = max(queues[index].nextDispatchR, request.arrivalR)
    }

    /// Of the few queues that a flow is dealt, the one with the least in it.
    private func deal(_ flow: String) -> Int {
        var hash = SHA256.hash(Array(flow.utf8)).prefix(8).reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
        var left = Array(0..<queues.count)
        var best = 0
        var fewest = Int.max
        for _ in 0..<min(handSize, queues.count) {
            let place = Int(hash % UInt64(left.count))
            hash /= UInt64(left.count)
            let index = left.remove(at: place)
            let seats = queues[index].seatsWaiting + queues[index].seatsInUse
            if seats < fewest { (best, fewest) = (index, seats) }
        }
        return best
    }
}
