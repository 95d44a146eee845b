import Client
import Core

/// The pods that wait for a node: those to be tried now, by priority and age, those waiting out their back-off, and those that
/// wait for the cluster to change. No clock: `now` is given.
struct SchedulingQueue {
    private struct Entry {
        var pod: PodInfo
        var attempts = 0
        var sequence: Int
        var lastAttempt = Timestamp(seconds: 0)
        var message = ""
    }

    private struct Parked {
        var entry: Entry
        var filters: Set<Filter>
        let at: Timestamp

        func cares(_ kind: ClusterChange.Kind) -> Bool { filters.isEmpty || filters.contains { QueueingHint.kinds($0).contains(kind) } }
    }

    /// A binary heap, the next pod on top; those of another sequence than `active` says count for nothing.
    private var heap: [Entry] = []
    private var active: [String: Int] = [:]
    private var waiting: [String: (entry: Entry, until: Timestamp)] = [:]
    private var parked: [String: Parked] = [:]
    /// How many parked pods care for a kind of change.
    private var caring: [ClusterChange.Kind: Int] = [:]
    /// Taken and being tried.
    private var running: [String: Entry] = [:]
    /// What happened while a pod was being tried may be what it lacks.
    private var missed: [String: [ClusterChange]] = [:]
    private var sequence = 0
    /// Nothing of `waiting` and `parked` is due before.
    private var nothingBefore = Timestamp(seconds: 0)
    private let initialBackoff: Duration
    private let longestBackoff: Duration
    private static let longestParking = Duration.seconds(300)

    init(initialBackoff: Duration = .seconds(1), longestBackoff: Duration = .seconds(10)) {
        self.initialBackoff = initialBackoff
        self.longestBackoff = longestBackoff
    }

    /// A pod new to the queue, or a newer version of one in it.
    mutating func upsert(_ pod: PodInfo, isBetter: Bool, now: Timestamp) {
        let uid = pod.uid
        if running[uid] != nil {
            running[uid]?.pod = pod
        } else if parked[uid] != nil {
            parked[uid]?.entry.pod = pod
            if isBetter, let entry = unpark(uid) { rejoin(entry, now) }
        } else if waiting[uid] != nil {
            waiting[uid]?.entry.pod = pod
        } else if let place = active[uid] {
            if let index = heap.firstIndex(where: { $0.sequence == place }), heap[index].pod.priority == pod.priority { heap[index].pod = pod }
        } else {
            sequence += 1
            push(Entry(pod: pod, sequence: sequence))
        }
    }

    mutating func remove(uid: String) {
        _ = unpark(uid)
        waiting[uid] = nil
        running[uid] = nil
        missed[uid] = nil
        active[uid] = nil
    }

    mutating func pop(now: Timestamp) -> PodInfo? {
        wake(now)
        while !heap.isEmpty {
            var entry = take()
            let uid = entry.pod.uid
            guard active[uid] == entry.sequence else { continue }
            active[uid] = nil
            entry.attempts += 1
            entry.lastAttempt = now
            running[uid] = entry
            return entry.pod
        }
        return nil
    }

    /// Those whose back-off is over, and those parked too long, whatever happened.
    private mutating func wake(_ now: Timestamp) {
        guard nothingBefore <= now else { return }
        for (uid, entry) in waiting where entry.until <= now {
            waiting[uid] = nil
            push(entry.entry)
        }
        for (uid, entry) in parked where entry.at + SchedulingQueue.longestParking <= now {
            _ = unpark(uid)
            rejoin(entry.entry, now)
        }
        nothingBefore = nextTime ?? Timestamp(seconds: Int64.max / 2)
    }

    mutating func scheduled(uid: String) {
        running[uid] = nil
        missed[uid] = nil
    }

    /// No node will have it: it waits for a change that the filters that refused it care for.
    mutating func refused(uid: String, by filters: Set<Filter>, message: String, now: Timestamp, helps: (PodInfo, Filter, ClusterChange) -> Bool) {
        guard var entry = running.removeValue(forKey: uid) else { return }
        entry.message = message
        let meanwhile = missed.removeValue(forKey: uid) ?? []
        if meanwhile.contains(where: { change in filters.isEmpty || filters.contains { helps(entry.pod, $0, change) } }) {
            rejoin(entry, now)
        } else {
            let place = Parked(entry: entry, filters: filters, at: now)
            parked[uid] = place
            for kind in ClusterChange.Kind.allCases where place.cares(kind) { caring[kind, default: 0] += 1 }
            nothingBefore = min(nothingBefore, now + SchedulingQueue.longestParking)
        }
    }

    private mutating func unpark(_ uid: String) -> Entry? {
        guard let place = parked.removeValue(forKey: uid) else { return nil }
        for kind in ClusterChange.Kind.allCases where place.cares(kind) { caring[kind, default: 0] -= 1 }
        return place.entry
    }

    /// An attempt that failed for no reason of the pod's: again after the back-off.
    mutating func failed(_ pod: PodInfo, now: Timestamp) {
        sequence += 1
        rejoin(running.removeValue(forKey: pod.uid) ?? Entry(pod: pod, attempts: 1, sequence: sequence, lastAttempt: now), now)
        missed[pod.uid] = nil
    }

    mutating func changed(_ change: ClusterChange, now: Timestamp, helps: (PodInfo, Filter, ClusterChange) -> Bool) {
        for uid in running.keys { missed[uid, default: []].append(change) }
        guard caring[change.kind, default: 0] > 0 else { return }
        for (uid, place) in parked where place.filters.isEmpty || place.filters.contains(where: { helps(place.entry.pod, $0, change) }) {
            if let entry = unpark(uid) { rejoin(entry, now) }
        }
    }

    /// When something is due without any change of the cluster.
    var nextTime: Timestamp? {
        let back = waiting.values.lazy.map(\.until).min()
        let tired = parked.values.lazy.map { $0.at + SchedulingQueue.longestParking }.min()
        guard let back, let tired else { return back ?? tired }
        return min(back, tired)
    }

    var activeCount: Int { active.count }
    var parkedCount: Int { parked.count }

    /// What is known of a pod that waits.
    struct Standing {
        enum Place: String { case active, backoff, unschedulable, running }
        let place: Place
        let attempts: Int
        let message: String
        let until: Timestamp?
        let filters: Set<Filter>
    }

    func standing(uid: String) -> Standing? {
        func standing(_ place: Standing.Place, _ entry: Entry, _ until: Timestamp? = nil, _ filters: Set<Filter> = []) -> Standing {
            Standing(place: place, attempts: entry.attempts, message: entry.message, until: until, filters: filters)
        }
        if let place = parked[uid] { return standing(.unschedulable, place.entry, place.at + SchedulingQueue.longestParking, place.filters) }
        if let (entry, until) = waiting[uid] { return standing(.backoff, entry, until) }
        if let entry = running[uid] { return standing(.running, entry) }
        return active[uid].flatMap { sequence in heap.first { $0.sequence == sequence } }.map { standing(.active, $0) }
    }

    /// Some time after the last attempt, doubled with each, up to the longest.
    private mutating func rejoin(_ entry: Entry, _ now: Timestamp) {
        let until = entry.lastAttempt + min(longestBackoff, initialBackoff * (1 << min(max(entry.attempts - 1, 0), 10)))
        if entry.attempts == 0 || until <= now { return push(entry) }
        waiting[entry.pod.uid] = (entry, until)
        nothingBefore = min(nothingBefore, until)
    }

    // MARK: - Heap

    private static func goesFirst(_ a: Entry, _ b: Entry) -> Bool {
        a.pod.priority != b.pod.priority ? a.pod.priority > b.pod.priority : a.sequence < b.sequence
    }

    private mutating func push(_ entry: Entry) {
        active[entry.pod.uid] = entry.sequence
        heap.append(entry)
        var child = heap.count - 1
        while child > 0 {
            let parent = (child - 1) / 2
            guard SchedulingQueue.goesFirst(heap[child], heap[parent]) else { break }
            heap.swapAt(child, parent)
            child = parent
        }
    }

    private mutating func take() -> Entry {
        let top = heap[0]
        let last = heap.removeLast()
        if heap.isEmpty { return top }
        heap[0] = last
        var parent = 0
        while true {
            var best = parent
            for child in [2 * parent + 1, 2 * parent + 2] where child < heap.count && SchedulingQueue.goesFirst(heap[child], heap[best]) { best = child }
            if best == parent { return top }
            heap.swapAt(parent, best)
            parent = best
        }
    }
}
