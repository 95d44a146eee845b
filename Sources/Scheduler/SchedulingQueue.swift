import Client
import Core

/// The pods that wait for a node: those to be tried now, by priority and age, those waiting out their back-off, and those that
/// wait for the cluster to change. No clock: `now` is given.
struct SchedulingQueue: Sendable {
    private struct Entry: Sendable {
        var pod: PodInfo
        var attempts = 0
        /// When it joined the active ones first.
        var since: Timestamp
        var sequence: Int
        var lastAttempt = Timestamp(seconds: 0)
    }

    private struct Parked: Sendable {
        var entry: Entry
        var filters: Set<Filter>
        let at: Timestamp
    }

    /// A binary heap, the next pod on top.
    private var heap: [Entry] = []
    private var known: [String: Timestamp] = [:]
    private var waiting: [String: (entry: Entry, until: Timestamp)] = [:]
    private var parked: [String: Parked] = [:]
    /// Taken and being tried.
    private var running: [String: Entry] = [:]
    private var removed: Set<String> = []
    /// What happened while a pod was being tried may be what it lacks.
    private var missed: [String: [ClusterChange]] = [:]
    private var sequence = 0
    private let initialBackoff: Duration
    private let longestBackoff: Duration

    init(initialBackoff: Duration = .seconds(1), longestBackoff: Duration = .seconds(10)) {
        self.initialBackoff = initialBackoff
        self.longestBackoff = longestBackoff
    }

    /// A pod new to the queue, or a newer version of one in it.
    mutating func upsert(_ pod: PodInfo, isBetter: Bool, now: Timestamp) {
        let uid = pod.uid
        if running[uid] != nil {
            running[uid]?.pod = pod
        } else if var entry = parked[uid] {
            entry.entry.pod = pod
            parked[uid] = entry
            if isBetter, let entry = parked.removeValue(forKey: uid) { rejoin(entry.entry, now) }
        } else if waiting[uid] != nil {
            waiting[uid]?.entry.pod = pod
        } else if let index = heap.firstIndex(where: { $0.pod.uid == uid }) {
            if heap[index].pod.priority == pod.priority { heap[index].pod = pod }
        } else {
            sequence += 1
            push(Entry(pod: pod, since: now, sequence: sequence))
        }
    }

    mutating func remove(uid: String) {
        parked[uid] = nil
        waiting[uid] = nil
        running[uid] = nil
        missed[uid] = nil
        if known[uid] != nil { removed.insert(uid) }
    }

    mutating func pop(now: Timestamp) -> PodInfo? {
        for (uid, entry) in waiting where entry.until <= now {
            waiting[uid] = nil
            push(entry.entry)
        }
        while !heap.isEmpty {
            var entry = take()
            let uid = entry.pod.uid
            known[uid] = nil
            if removed.remove(uid) != nil { continue }
            entry.attempts += 1
            entry.lastAttempt = now
            running[uid] = entry
            return entry.pod
        }
        return nil
    }

    mutating func scheduled(uid: String) {
        running[uid] = nil
        missed[uid] = nil
    }

    /// No node will have it: it waits for a change that the filters that refused it care for.
    mutating func refused(uid: String, by filters: Set<Filter>, now: Timestamp) {
        guard let entry = running.removeValue(forKey: uid) else { return }
        let meanwhile = missed.removeValue(forKey: uid) ?? []
        if meanwhile.contains(where: { change in filters.isEmpty || filters.contains { $0.mayPass(after: change) } }) {
            rejoin(entry, now)
        } else {
            parked[uid] = Parked(entry: entry, filters: filters, at: now)
        }
    }

    /// An attempt that failed for no reason of the pod's: again after the back-off.
    mutating func failed(_ pod: PodInfo, now: Timestamp) {
        sequence += 1
        rejoin(running.removeValue(forKey: pod.uid) ?? Entry(pod: pod, attempts: 1, since: now, sequence: sequence, lastAttempt: now), now)
        missed[pod.uid] = nil
    }

    mutating func changed(_ change: ClusterChange, now: Timestamp) {
        for uid in running.keys where (missed[uid]?.contains(change) ?? false) == false { missed[uid, default: []].append(change) }
        for (uid, entry) in parked where entry.filters.isEmpty || entry.filters.contains(where: { $0.mayPass(after: change) }) {
            parked[uid] = nil
            rejoin(entry.entry, now)
        }
    }

    /// Those parked too long are tried again whatever happened.
    mutating func flush(now: Timestamp) {
        for (uid, entry) in parked where entry.at + .seconds(300) <= now {
            parked[uid] = nil
            rejoin(entry.entry, now)
        }
    }

    /// When something is due without any change of the cluster.
    var nextTime: Timestamp? {
        let times = waiting.values.map(\.until) + parked.values.map { $0.at + .seconds(300) }
        return times.min()
    }

    var activeCount: Int { heap.count }
    var parkedCount: Int { parked.count }

    /// Some time after the last attempt, doubled with each, up to the longest.
    private mutating func rejoin(_ entry: Entry, _ now: Timestamp) {
        let until = entry.lastAttempt + min(longestBackoff, initialBackoff * (1 << min(max(entry.attempts - 1, 0), 10)))
        if entry.attempts == 0 || until <= now { push(entry) } else { waiting[entry.pod.uid] = (entry, until) }
    }

    // MARK: - Heap

    private static func goesFirst(_ a: Entry, _ b: Entry) -> Bool {
        a.pod.priority != b.pod.priority ? a.pod.priority > b.pod.priority : a.sequence < b.sequence
    }

    private mutating func push(_ entry: Entry) {
        removed.remove(entry.pod.uid)
        known[entry.pod.uid] = entry.since
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
