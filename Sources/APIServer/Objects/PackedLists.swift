import Store
import Synchronization
import Transport

/// The packed form of runs of records, kept while lists ask for them: of a list that is asked for again only what has changed meanwhile is
/// packed anew.
final class PackedLists: Sendable {
    private struct Run: Hashable {
        /// The resource, and what stands before each item.
        let shape: [UInt8]
        let revisions: [Int64]
    }

    private struct Entry {
        let part: GzipPart
        var used: UInt64
    }

    private struct State {
        var entries: [Run: Entry] = [:]
        var bytes = 0
        var turn: UInt64 = 0
    }

    private let state = Mutex(State())
    private let limit: Int

    init(limit: Int = 16 << 20) { self.limit = limit }

    /// A packed list: `head` with all up to the first record, then the others, then `tail`. Items are `separator` and the record's body
    /// from `skip` on.
    func list(head: [ArraySlice<UInt8>], _ records: ArraySlice<Record>, shape: [UInt8], separator: [UInt8], skip: Int, tail: [UInt8]) -> [ArraySlice<UInt8>] {
        var parts = [GzipPart(head)]
        var run: [Record] = []
        func close() {
            if !run.isEmpty { parts.append(part(run, shape, separator, skip)) }
            run.removeAll(keepingCapacity: true)
        }
        for record in records {
            run.append(record)
            // By what stays with an object: one that comes, goes or changes touches its own run alone.
            if (UInt64(bitPattern: record.createRevision) &* 0x9E37_79B9_7F4A_7C15) >> 58 == 0 || run.count == 512 { close() }
        }
        close()
        parts.append(GzipPart([tail[...]]))
        return GzipPart.stream(parts)
    }

    private func part(_ records: [Record], _ shape: [UInt8], _ separator: [UInt8], _ skip: Int) -> GzipPart {
        let run = Run(shape: shape, revisions: records.map(\.revision))
        let known = state.withLock { state in
            state.turn += 1
            state.entries[run]?.used = state.turn
            return state.entries[run]?.part
        }
        if let known { return known }
        var chunks: [ArraySlice<UInt8>] = []
        chunks.reserveCapacity(2 * records.count)
        for record in records {
            chunks.append(separator[...])
            chunks.append(record.body[skip...])
        }
        let part = GzipPart(chunks)
        state.withLock { state in
            if state.entries.updateValue(Entry(part: part, used: state.turn), forKey: run) == nil { state.bytes += PackedLists.size(run, part) }
            if state.bytes > limit { shrink(&state) }
        }
        return part
    }

    /// Lets go of what was not asked for the longest, down to half.
    private func shrink(_ state: inout State) {
        for (run, entry) in state.entries.sorted(by: { $0.value.used < $1.value.used }) {
            if state.bytes <= limit / 2 { return }
            state.entries[run] = nil
            state.bytes -= PackedLists.size(run, entry.part)
        }
    }

    private static func size(_ run: Run, _ part: GzipPart) -> Int { part.size + 8 * run.revisions.count + run.shape.count + 128 }
}
