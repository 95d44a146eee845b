import CSQLite
import Core

extension Store {
    /// Writes all that is current, and the meta area, as a database of its own, from a view of memory: the writer goes on and a
    /// memory store can be kept too. The file appears whole or not at all, and must not exist. Returns its revision; history
    /// starts there. Blocks for as long as the disk takes (about 0.2 s for 50,000 objects).
    @discardableResult
    package func backup(to path: String) throws(StoreError) -> Int64 {
        let (views, meta, revision) = queue.read { state in
            (state.collections.values.map(\.records), state.meta, state.revision)
        }
        var records: [Record] = []
        for view in views { for leaf in view.leaves { records += leaf } }
        records.sort { $0.revision < $1.revision }
        let partial = path + ".partial"
        do {
            try PrivateFile.requireAbsent(path)
            // What an earlier attempt left.
            try PrivateFile.remove(partial)
            try PrivateFile.prepare(partial)
            do {
                try write(records, meta, revision, to: partial)
                try PrivateFile.publish(partial, as: path)
            } catch {
                try? PrivateFile.remove(partial)
                throw error
            }
        } catch let failure as DatabaseFailure {
            throw StoreError(failure)
        } catch let failure as SystemFailure {
            throw .system(failure)
        } catch {
            throw .closed
        }
        return revision
    }

    private func write(_ records: [Record], _ meta: [String: [UInt8]], _ revision: Int64, to path: String) throws(DatabaseFailure) {
        let database = try Database(path: path)
        // `publish` syncs, and until then the file is nobody's.
        try database.execute("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA locking_mode = EXCLUSIVE")
        try database.execute(LogSchema.pageSize)
        try LogSchema.create(database)
        try database.execute("BEGIN")
        let insert = try database.prepare(LogSchema.insert)
        let now = Timestamp.now()
        for record in records { try insert.insert(record, now) }
        let entry = try database.prepare(LogSchema.setMeta)
        for (key, value) in meta.merging([LogSchema.compactedKey: Array("\(revision)".utf8)], uniquingKeysWith: { $1 }) {
            entry.bind(1, key)
            try entry.run(2, value)
        }
        try database.execute("COMMIT")
    }
}
