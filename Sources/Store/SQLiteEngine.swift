import CSQLite
import Core

/// Commits to a SQLite database: a log of revisions, where the newest row of a key is its state. There is no other table to keep
/// in step and no index to maintain: a write appends, the start replays, and clean-up deletes by revision.
///
/// `@unchecked Sendable`: the opener uses it until the writer's thread starts, then only that thread.
final class SQLiteEngine: Engine, @unchecked Sendable {
    let keepsRows = true
    private let lock: LockFile
    private var database: Database?
    private let statements: Statements
    private let probe: WriteProbe?
    /// The compaction horizon that the database knows.
    private var compacted: Int64
    /// Pages in the WAL after the last commit; SQLite's hook writes it.
    private let walPages: UnsafeMutablePointer<Int32>

    private struct Statements {
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
        }
    }

    /// Opens or makes the database and replays it into `state`.
    init(
        path: String, durability: Durability, probe: WriteProbe?, into state: inout RevisionState, garbage: inout [Int64]
    ) throws(StoreError) {
        do { try PrivateFile.prepare(path) } catch { throw .system(error) }
        do {
            lock = try LockFile(path + ".lock")
        } catch {
            switch error {
            case .held(let holder): throw .locked(path: path, holder: holder)
            case .system(let failure): throw .system(failure)
            }
        }
        do {
            let database = try Database(path: path)
            try LogSchema.check(database)
            // FULL syncs the WAL at each commit; NORMAL only before a checkpoint.
            try database.execute("PRAGMA synchronous = \(durability == .durable ? "FULL" : "NORMAL")")
            compacted = try LogSchema.load(database, into: &state, garbage: &garbage)
            statements = try Statements(database)
            self.database = database
        } catch let failure as DatabaseFailure {
            throw StoreError(failure)
        } catch {
            throw error as? StoreError ?? .closed
        }
        self.probe = probe
        walPages = .allocate(capacity: 1)
        walPages.initialize(to: 0)
        database?.onCommit(walPages) { context, _, _, pages in
            context?.storeBytes(of: pages, as: Int32.self)
            return SQLITE_OK
        }
    }

    deinit {
        database = nil
        walPages.deallocate()
    }

    func commit(_ write: EngineWrite) throws(StoreError) {
        do throws(StoreError) {
            try attempt(write)
        } catch {
            guard case .full = error else { throw error }
            // Pages that are in the database already may still fill the WAL: hand them over, then the WAL starts anew in the
            // room it has.
            try? database?.checkpoint()
            try attempt(write)
        }
    }

    private func attempt(_ write: EngineWrite) throws(StoreError) {
        do {
            try statements.begin.run()
            for event in write.events { try insert(event.record, write.time) }
            for (key, value) in write.meta { try setMeta(key, value) }
            if !write.garbage.isEmpty {
                for revision in write.garbage {
                    statements.remove.bind(1, revision)
                    try statements.remove.run()
                }
                if write.compacted > compacted { try setMeta(LogSchema.compactedKey, Array("\(write.compacted)".utf8)) }
            }
            try probe?(.written)
            try statements.commit.run()
            if !write.garbage.isEmpty { compacted = max(compacted, write.compacted) }
        } catch {
            // Some errors roll back by themselves.
            if database?.isAutocommit == false { try? statements.rollback.run() }
            if let failure = error as? DatabaseFailure { throw StoreError(failure) }
            throw error as? StoreError ?? .closed
        }
    }

    private func insert(_ record: Record, _ time: Timestamp) throws(DatabaseFailure) {
        let insert = statements.insert
        insert.bind(1, record.revision)
        insert.bind(2, record.key.resource)
        insert.bind(3, record.key.namespace)
        insert.bind(4, record.key.name)
        insert.bind(5, record.createRevision)
        insert.bind(6, record.isDeletion ? 1 : 0)
        insert.bind(7, time.seconds)
        insert.bind(8, record.header)
        try insert.run(9, record.body)
    }

    private func setMeta(_ key: String, _ value: [UInt8]?) throws(DatabaseFailure) {
        guard let value else {
            statements.removeMeta.bind(1, key)
            return try statements.removeMeta.run()
        }
        statements.setMeta.bind(1, key)
        try statements.setMeta.run(2, value)
    }

    /// Checkpoints when nobody waits, or when the WAL has grown much. It is never truncated below the size that a busy writer
    /// needs, since growing a file costs more than writing over it.
    func maintain(isIdle: Bool) {
        guard walPages.pointee >= (isIdle ? 1_000 : 8_000) else { return }
        // A failure shows again at the next write, which has a caller to tell.
        if (try? database?.checkpoint()) != nil { walPages.pointee = 0 }
    }

    func close() {
        // The statements keep the connection (a zombie to SQLite) until the engine goes; so checkpoint and let go here.
        try? database?.checkpoint(SQLITE_CHECKPOINT_TRUNCATE)
        database = nil
    }
}

extension StoreError {
    /// Full disks apart, since they pass.
    init(_ failure: DatabaseFailure) {
        let full = failure.primaryCode == SQLITE_FULL || failure.code == SQLITE_IOERR | 3 << 8
        self = full ? .full(failure) : .failed(failure)
    }
}
