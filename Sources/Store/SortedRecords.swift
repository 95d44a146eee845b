/// The records of one resource in list order. A value: a copy costs one retain and stays as it was, which is how readers get a
/// consistent view while the writer goes on. Point changes touch one leaf of at most `leafLimit` records.
struct SortedRecords: Sendable {
    /// A place in the leaves; `leaf == leaves.count` is the end.
    struct Place: Equatable {
        var leaf: Int
        var index: Int
    }

    static let leafLimit = 128

    private(set) var leaves: [[Record]] = []
    private(set) var count = 0

    var end: Place { Place(leaf: leaves.count, index: 0) }

    /// The first place whose record is not before what is sought. `isBefore` must be true for a prefix of the order.
    func partition(_ isBefore: (Record) -> Bool) -> Place {
        var low = 0
        var high = leaves.count
        while low < high {
            let middle = (low + high) / 2
            if isBefore(leaves[middle][leaves[middle].count - 1]) { low = middle + 1 } else { high = middle }
        }
        guard low < leaves.count else { return end }
        let leaf = low
        low = 0
        high = leaves[leaf].count - 1
        while low < high {
            let middle = (low + high) / 2
            if isBefore(leaves[leaf][middle]) { low = middle + 1 } else { high = middle }
        }
        return Place(leaf: leaf, index: low)
    }

    private func place(namespace: String, name: String) -> Place {
        partition { $0.key.namespace == namespace ? $0.key.name < name : $0.key.namespace < namespace }
    }

    private func isAt(_ place: Place, namespace: String, name: String) -> Bool {
        guard place.leaf < leaves.count else { return false }
        let key = leaves[place.leaf][place.index].key
        return key.name == name && key.namespace == namespace
    }

    func record(namespace: String, name: String) -> Record? {
        let place = place(namespace: namespace, name: name)
        return isAt(place, namespace: namespace, name: name) ? leaves[place.leaf][place.index] : nil
    }

    /// Adds or replaces; returns what was replaced.
    @discardableResult
    mutating func set(_ record: Record) -> Record? {
        let place = place(namespace: record.key.namespace, name: record.key.name)
        if place.leaf == leaves.count {
            count += 1
            // Ascending inserts fill leaves to the brim instead of splitting them in half.
            if let last = leaves.indices.last, leaves[last].count < SortedRecords.leafLimit {
                leaves[last].append(record)
            } else {
                leaves.append([record])
            }
            return nil
        }
        if isAt(place, namespace: record.key.namespace, name: record.key.name) {
            let old = leaves[place.leaf][place.index]
            leaves[place.leaf][place.index] = record
            return old
        }
        count += 1
        leaves[place.leaf].insert(record, at: place.index)
        if leaves[place.leaf].count > SortedRecords.leafLimit {
            let half = leaves[place.leaf].count / 2
            let tail = Array(leaves[place.leaf][half...])
            leaves[place.leaf].removeSubrange(half...)
            leaves.insert(tail, at: place.leaf + 1)
        }
        return nil
    }

    @discardableResult
    mutating func remove(namespace: String, name: String) -> Record? {
        let place = place(namespace: namespace, name: name)
        guard isAt(place, namespace: namespace, name: name) else { return nil }
        count -= 1
        let old = leaves[place.leaf].remove(at: place.index)
        if leaves[place.leaf].isEmpty {
            leaves.remove(at: place.leaf)
        } else if place.leaf + 1 < leaves.count,
            leaves[place.leaf].count + leaves[place.leaf + 1].count <= SortedRecords.leafLimit / 2
        {
            leaves[place.leaf] += leaves[place.leaf + 1]
            leaves.remove(at: place.leaf + 1)
        }
        return old
    }

    /// How many records are before the place.
    func rank(_ place: Place) -> Int {
        var sum = place.index
        for leaf in 0..<place.leaf { sum += leaves[leaf].count }
        return sum
    }

    /// Calls `body` with the records of the range in order until it returns false.
    func forEach<Failure: Error>(from start: Place, to end: Place, _ body: (Record) throws(Failure) -> Bool) throws(Failure) {
        var leaf = start.leaf
        var first = start.index
        while leaf < leaves.count, leaf <= end.leaf {
            let last = leaf == end.leaf ? end.index : leaves[leaf].count
            var index = first
            while index < last {
                guard try body(leaves[leaf][index]) else { return }
                index += 1
            }
            leaf += 1
            first = 0
        }
    }
}
