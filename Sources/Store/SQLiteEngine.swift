import CSQLite
import Core

/// Commits to a SQLite database: a log of revisions, where the newest row of a key is its state. There is no other table to keep
/// in step and no index to maintain: a write appends, the start replays, and clean-up deletes by revision.
///
/// `@unchecked Sendable`: the opener uses it until the writer's thread starts, then only that thread.
final class SQLiteEngine: Engine, @unchecked Sendable {
    let keepsRows = true
    /// Nil once closed. Before `lock`, which must outlive it.
    private var connection: Connection?
    private var lock: LockFile?
    private let probe: WriteProbe?
    /// The compaction horizon that the database knows.
    private var compacted: Int64
    /// Pages in the WAL after the last commit; SQLite's hook writes it.
    private let walPages: UnsafeMutablePointer<Int32>
    private var pageSize: Int64 = 4096

    /// The database with the statements of a write.
    fileprivate final class Connection {
        let database: Database
        let begin: Statement
        let commit: Statement
        let rollback: Statement
        let insert: Statement
        let remove: Statement
        let setMeta: Statement
        let removeMeta: Statement

        init(_ database: Database) throws(DatabaseFailure) {
            begin = try database.prepare("BEGIN IMMEDIATE")
            commit = try database.prepare("COMMIT")
            rollback = try database.prepare("ROLLBACK")
            insert = try database.prepare(LogSchema.insert)
            remove = try database.prepare("DELETE FROM log WHERE revision = ?")
            setMeta = try database.prepare(LogSchema.setMeta)
            removeMeta = try database.prepare("DELETE FROM meta WHERE key = ?")
            self.database = database
        }
    }

    /// Opens or makes the database and replays it into `state`.
    init(
        path: String, durability: Durability, probe: WriteProbe?, into state: inout RevisionState, garbage: inout [Int64]
    ) throws(StoreError) {
        self.probe = probe
        walPages = .allocate(capacity: 1)
        walPages.initialize(to: 0)
        compacted = 0
        // The lock first: opening and closing the database's file would drop the POSIX locks of another Store in this process.
        lock = try SQLiteEngine.lock(path)
        do { try PrivateFile.prepare(path) } catch { throw .system(error) }
        do {
            let database = try Database(path: path)
            try LogSchema.check(database)
            // FULL syncs the WAL at each commit; NORMAL only before a checkpoint.
            try database.execute("PRAGMA synchronous = \(durability == .durable ? "FULL" : "NORMAL")")
            pageSize = try database.integer("PRAGMA page_size")
            compacted = try LogSchema.load(database, into: &state, garbage: &garbage)
            database.onCommit(walPages) { context, _, _, pages in
                context?.storeBytes(of: pages, as: Int32.self)
                return SQLITE_OK
            }
            connection = try Connection(database)
        } catch let failure as DatabaseFailure {
            throw StoreError(failure)
        } catch {
            throw error as? StoreError ?? .closed
        }
    }

    deinit {
        close()
        walPages.deallocate()
    }

    private static func lock(_ path: String) throws(StoreError) -> LockFile {
        do {
            if let slash = path.lastIndex(of: "/"), slash != path.startIndex { try PrivateFile.makeFolder(String(path[..<slash])) }
        } catch {
            throw .system(error)
        }
        do {
            return try LockFile(path + ".lock")
        } catch {
            switch error {
            case .held(let holder): throw .locked(path: path, holder: holder)
            case .system(let failure): throw .system(failure)
            }
        }
    }

    func commit(_ write: EngineWrite) throws(StoreError) {
        guard let connection else { throw .closed }
        do throws(StoreError) {
            try attempt(write, connection)
        } catch {
            guard case .full = error else { throw error }
            // Pages that are in the database already may still fill the WAL: hand them over, then the WAL starts anew in the
            // room it has.
            try? connection.database.checkpoint()
            try attempt(write, connection)
        }
    }

    private func attempt(_ write: EngineWrite, _ connection: Connection) throws(StoreError) {
        do {
            try connection.begin.run()
            for event in write.events { try connection.insert.insert(event.record, write.time) }
            for (key, value) in write.meta { try connection.setMeta(key, value) }
            for revision in write.garbage {
                connection.remove.bind(1, revision)
                try connection.remove.run()
            }
            // With the rows goes the proof that their revisions were used; the horizon takes its place.
            let movesHorizon = !write.garbage.isEmpty && write.compacted > compacted
            if movesHorizon { try connection.setMeta(LogSchema.compactedKey, Array("\(write.compacted)".utf8)) }
            try probe?(.written)
            try connection.commit.run()
            if movesHorizon { compacted = write.compacted }
        } catch {
            // Some errors roll back by themselves.
            if !connection.database.isAutocommit { try? connection.rollback.run() }
            if let failure = error as? DatabaseFailure { throw StoreError(failure) }
            throw error as? StoreError ?? .closed
        }
    }

    /// Checkpoints rarely while writers are busy, since it syncs twice and they wait; in a pause already for little. The WAL is not
    /// truncated: growing a file costs more than writing over it.
    func maintain() -> Bool {
        if walBytes >= 32 << 20 { checkpoint() }
        return walBytes >= 2 << 20
    }

    private var walBytes: Int64 { Int64(walPages.pointee) * pageSize }

    func maintainIdle() { checkpoint() }

    private func checkpoint() {
        // A failure shows again at the next write, which has a caller to tell.
        if let connection, (try? connection.database.checkpoint()) != nil { walPages.pointee = 0 }
    }

    func close() {
        // The last connection to close writes the WAL back and removes it.
        connection = nil
        lock = nil
    }
}

extension SQLiteEngine.Connection {
    fileprivate func setMeta(_ key: String, _ value: [UInt8]?) throws(DatabaseFailure) {
        guard let value else {
            removeMeta.bind(1, key)
            return try removeMeta.run()
        }
        setMeta.bind(1, key)
        try setMeta.run(2, value)
    }
}

extension StoreError {
    /// Full disks apart, since they pass.
    init(_ failure: DatabaseFailure) {
        let full = failure.primaryCode == SQLITE_FULL || failure.code == SQLITE_IOERR | 3 << 8
        self = full ? .full(failure) : .failed(failure)
    }
}
