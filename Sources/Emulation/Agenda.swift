import Core

/// Things to do, each at most once, by when they are due. No clock: `now` is given.
struct Agenda<Item: Hashable & Sendable>: Sendable {
    private struct Entry: Sendable {
        let at: Timestamp
        let item: Item
    }

    /// A binary heap, the earliest on top; an entry whose time is no longer the item's own counts for nothing.
    private var heap: [Entry] = []
    private var times: [Item: Timestamp] = [:]

    var count: Int { times.count }

    /// Replaces the time that the item had.
    mutating func set(_ item: Item, at time: Timestamp) {
        if times[item] == time { return }
        times[item] = time
        heap.append(Entry(at: time, item: item))
        var child = heap.count - 1
        while child > 0, heap[child].at < heap[(child - 1) / 2].at {
            heap.swapAt(child, (child - 1) / 2)
            child = (child - 1) / 2
        }
    }

    mutating func remove(_ item: Item) { times[item] = nil }

    /// Up to `limit` of what is due.
    mutating func take(_ limit: Int, now: Timestamp) -> [Item] {
        var out: [Item] = []
        while out.count < limit, let first = heap.first, first.at <= now {
            pop()
            guard times[first.item] == first.at else { continue }
            times[first.item] = nil
            out.append(first.item)
        }
        return out
    }

    /// When the next thing is due.
    mutating func nextTime() -> Timestamp? {
        while let first = heap.first, times[first.item] != first.at { pop() }
        return heap.first?.at
    }

    private mutating func pop() {
        let last = heap.removeLast()
        if heap.isEmpty { return }
        heap[0] = last
        var parent = 0
        while true {
            var least = parent
            for child in [2 * parent + 1, 2 * parent + 2] where child < heap.count && heap[child].at < heap[least].at { least = child }
            if least == parent { return }
            heap.swapAt(parent, least)
            parent = least
        }
    }
}
