/// Indexes of a Job as its status writes them: `0-3,5`.
struct IndexSet: CustomStringConvertible, Equatable {
    /// Ascending, apart from each other.
    private var ranges: [ClosedRange<Int64>] = []

    init() {}

    /// Reads what lies below a bound; parts that are no numbers are left out.
    init(_ text: String, below bound: Int64 = .max) {
        for part in text.split(separator: ",") {
            let ends = part.split(separator: "-", omittingEmptySubsequences: false).map { Int64($0) }
            guard let first = ends.first ?? nil, let last = ends.count > 1 ? ends[1] : first, first < bound, last >= first else { continue }
            add(first...min(last, bound - 1))
        }
    }

    init(_ indexes: some Sequence<Int64>) {
        for index in indexes { add(index...index) }
    }

    var isEmpty: Bool { ranges.isEmpty }
    var count: Int64 { ranges.reduce(0) { $0 + Int64($1.count) } }

    func contains(_ index: Int64) -> Bool {
        var (low, high) = (0, ranges.count)
        while low < high {
            let middle = (low + high) / 2
            if ranges[middle].upperBound < index { low = middle + 1 } else { high = middle }
        }
        return low < ranges.count && ranges[low].contains(index)
    }

    mutating func insert(_ index: Int64) { add(index...index) }

    mutating func formUnion(_ other: IndexSet) {
        for range in other.ranges { add(range) }
    }

    /// How many indexes both have.
    func overlap(_ other: IndexSet) -> Int64 {
        var total: Int64 = 0
        for a in ranges { for b in other.ranges where a.overlaps(b) { total += Int64(a.clamped(to: b).count) } }
        return total
    }

    /// The first so many below a bound that are not in here.
    func missing(_ count: Int, below bound: Int64) -> [Int64] {
        var out: [Int64] = []
        var candidate: Int64 = 0
        for range in ranges + [bound...bound] {
            while candidate < min(range.lowerBound, bound), out.count < count {
                out.append(candidate)
                candidate += 1
            }
            candidate = max(candidate, range.upperBound + 1)
        }
        return out
    }

    private mutating func add(_ range: ClosedRange<Int64>) {
        // Mostly the next one after the last: then nothing is searched.
        if let last = ranges.last, range.lowerBound > last.upperBound + 1 {
            ranges.append(range)
            return
        }
        var (low, high) = (range.lowerBound, range.upperBound)
        let start = ranges.firstIndex { $0.upperBound + 1 >= low } ?? ranges.endIndex
        var end = start
        while end < ranges.endIndex, ranges[end].lowerBound <= high + 1 {
            low = min(low, ranges[end].lowerBound)
            high = max(high, ranges[end].upperBound)
            end += 1
        }
        ranges.replaceSubrange(start..<end, with: [low...high])
    }

    var description: String {
        ranges.map { range in
            range.count == 1 ? "\(range.lowerBound)" : range.count == 2 ? "\(range.lowerBound),\(range.upperBound)" : "\(range.lowerBound)-\(range.upperBound)"
        }.joined(separator: ",")
    }
}
