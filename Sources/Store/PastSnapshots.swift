import Synchronization

/// The last few snapshots of the past that somebody read, since whoever reads one page of a list at a revision reads the next
/// one too. They share their records with the history, and go with it.
final class PastSnapshots: Sendable {
    private struct Entry: Sendable {
        let resource: String
        let snapshot: Snapshot
    }

    private static let limit = 16
    /// The last read is the last.
    private let entries = Mutex<[Entry]>([])

    func find(_ resource: String, _ revision: Int64) -> Snapshot? {
        entries.withLock { entries in
            guard let index = entries.firstIndex(where: { $0.snapshot.revision == revision && $0.resource == resource }) else { return nil }
            let found = entries.remove(at: index)
            entries.append(found)
            return found.snapshot
        }
    }

    func keep(_ snapshot: Snapshot, of resource: String) {
        entries.withLock { entries in
            if entries.count == PastSnapshots.limit { entries.removeFirst() }
            entries.append(Entry(resource: resource, snapshot: snapshot))
        }
    }

    /// Nobody may read these any more.
    func drop(before revision: Int64) {
        entries.withLock { entries in
            if !entries.isEmpty { entries.removeAll { $0.snapshot.revision < revision } }
        }
    }
}
