/// Events in revision order, taken off at the old end and added at the new one.
struct EventLog: Sendable {
    /// Slots before `head` are nil: their records are let go at once, the room a little later.
    private var slots: ContiguousArray<WatchEvent?> = []
    private var head = 0

    var isEmpty: Bool { head == slots.count }
    var count: Int { slots.count - head }
    var first: WatchEvent? { isEmpty ? nil : slots[head] }

    mutating func append(_ event: WatchEvent) { slots.append(event) }

    mutating func removeFirst() -> WatchEvent? {
        guard !isEmpty, let event = slots[head] else { return nil }
        slots[head] = nil
        head += 1
        if head >= 64, head * 2 >= slots.count {
            slots.removeFirst(head)
            head = 0
        }
        return event
    }

    /// The events after a revision, oldest first.
    func after(_ revision: Int64) -> [WatchEvent] {
        var low = head
        var high = slots.count
        while low < high {
            let middle = (low + high) / 2
            if let event = slots[middle], event.revision <= revision { low = middle + 1 } else { high = middle }
        }
        return slots[low...].compactMap { $0 }
    }
}

/// How much of the past is kept. Whatever is reached first drops the oldest.
package struct HistoryLimits: Sendable {
    package var age: Duration
    package var count: Int
    package var bytes: Int

    package init(age: Duration = .seconds(300), count: Int = 100_000, bytes: Int = 48 << 20) {
        self.age = age
        self.count = count
        self.bytes = bytes
    }
}
