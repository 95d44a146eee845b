/// A resource as it was at one revision: consistent, and as cheap to hold as an array.
package struct Snapshot: Sendable {
    package let revision: Int64
    private let records: SortedRecords

    /// `undo` are the events after `revision`, oldest first.
    init(revision: Int64, records: SortedRecords, undo: [WatchEvent]) {
        var records = records
        for event in undo.reversed() {
            if let previous = event.previous {
                records.set(previous)
            } else {
                records.remove(namespace: event.record.key.namespace, name: event.record.key.name)
            }
        }
        self.revision = revision
        self.records = records
    }

    package var count: Int { records.count }

    package func record(namespace: String, name: String) -> Record? { records.record(namespace: namespace, name: name) }

    private func range(_ namespace: String?, _ after: ListPosition?) -> (start: SortedRecords.Place, end: SortedRecords.Place) {
        var start = SortedRecords.Place(leaf: 0, index: 0)
        var end = records.end
        if let namespace {
            start = records.partition { $0.key.namespace < namespace }
            end = records.partition { $0.key.namespace <= namespace }
        }
        if let after {
            let first = records.partition {
                $0.key.namespace == after.namespace ? $0.key.name <= after.name : $0.key.namespace < after.namespace
            }
            if (start.leaf, start.index) < (first.leaf, first.index) { start = first }
        }
        return (start, end)
    }

    /// Walks the records in order, from the one behind `after`, until `body` returns false.
    package func forEach<Failure: Error>(
        namespace: String? = nil, after: ListPosition? = nil, _ body: (Record) throws(Failure) -> Bool
    ) throws(Failure) {
        let (start, end) = range(namespace, after)
        try records.forEach(from: start, to: end, body)
    }

    /// How many records `forEach` would walk.
    package func count(namespace: String? = nil, after: ListPosition? = nil) -> Int {
        let (start, end) = range(namespace, after)
        return max(0, records.rank(end) - records.rank(start))
    }

    /// A page of the walk; without a limit, all of it.
    package func page(namespace: String? = nil, after: ListPosition? = nil, limit: Int? = nil) -> ListPage {
        let total = count(namespace: namespace, after: after)
        let wanted = limit.map { min(max(0, $0), total) } ?? total
        var page: [Record] = []
        page.reserveCapacity(wanted)
        if wanted > 0 {
            forEach(namespace: namespace, after: after) { record in
                page.append(record)
                return page.count < wanted
            }
        }
        return ListPage(records: page, revision: revision, remaining: total - page.count)
    }
}

/// A part of a list, the revision it is true at, and how many come after it.
package struct ListPage: Sendable {
    package let records: [Record]
    package let revision: Int64
    package let remaining: Int
}
