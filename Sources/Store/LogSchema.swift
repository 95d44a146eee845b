import CSQLite
import Core

/// The tables, their version, and how they are read at start.
enum LogSchema {
    /// "JNGD": so that `file` and we know whose database it is.
    static let applicationID: Int64 = 0x4A4E_4744
    static let version: Int64 = 1
    static let compactedKey = "store.compacted"

    static let insert = """
        INSERT INTO log (revision, resource, namespace, name, created, deletion, time, header, body) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
        """
    static let setMeta = "INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value"

    /// Records of some KB leave much of SQLite's usual 4 KB pages empty, which commits and checkpoints write all the same. Takes effect in
    /// an empty file only, before its WAL.
    static let pageSize = "PRAGMA page_size = 8192"

    private static let tables = """
        CREATE TABLE log (
            revision INTEGER PRIMARY KEY,
            resource TEXT NOT NULL,
            namespace TEXT NOT NULL,
            name TEXT NOT NULL,
            created INTEGER NOT NULL,
            deletion INTEGER NOT NULL,
            time INTEGER NOT NULL,
            header BLOB NOT NULL,
            body BLOB NOT NULL
        ) STRICT;
        CREATE TABLE meta (key TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT, WITHOUT ROWID;
        PRAGMA application_id = \(applicationID);
        PRAGMA user_version = \(version);
        """

    /// Sets the connection up, makes the tables in an empty file, and refuses a foreign or a newer one.
    static func check(_ database: Database) throws {
        try database.execute("PRAGMA busy_timeout = 5000")
        let application = try database.integer("PRAGMA application_id")
        let found = try database.integer("PRAGMA user_version")
        let objects = try database.integer("SELECT count(*) FROM sqlite_schema")
        let isNew = application == 0 && found == 0 && objects == 0
        guard isNew || application == applicationID else { throw StoreError.foreign(path: database.path) }
        guard found <= version else { throw StoreError.newerSchema(path: database.path, found: Int(found), known: Int(version)) }
        // Nobody else may write, not even a shell: the WAL's index needs no shared memory, a commit no file locks.
        try database.execute("PRAGMA locking_mode = EXCLUSIVE")
        if isNew { try database.execute(pageSize) }
        try database.execute("PRAGMA journal_mode = WAL")
        try database.execute("PRAGMA journal_size_limit = \(64 << 20); PRAGMA cache_size = -8192; PRAGMA temp_store = MEMORY")
        if isNew { try create(database) }
    }

    static func create(_ database: Database) throws(DatabaseFailure) { try database.execute("BEGIN IMMEDIATE;\(tables)COMMIT") }

    /// Replays the log; returns the compaction horizon it had.
    static func load(_ database: Database, into state: inout RevisionState, garbage: inout [Int64]) throws(DatabaseFailure) -> Int64 {
        var meta: [String: [UInt8]] = [:]
        let entries = try database.prepare("SELECT key, value FROM meta")
        while try entries.step() { meta[entries.text(0)] = entries.bytes(1) }
        let compacted = meta.removeValue(forKey: compactedKey).flatMap { Int64(String(decoding: $0, as: UTF8.self)) } ?? 0
        state.begin(compacted: compacted, meta: meta)
        let rows = try database.prepare(
            "SELECT revision, resource, namespace, name, created, deletion, time, header, body FROM log ORDER BY revision")
        while try rows.step() {
            let record = Record(
                key: Key(rows.text(1), namespace: rows.text(2), name: rows.text(3)), revision: rows.integer(0),
                createRevision: rows.integer(4), isDeletion: rows.integer(5) != 0, body: rows.bytes(8), header: rows.bytes(7))
            garbage += state.restore(record, time: Timestamp(seconds: rows.integer(6)))
        }
        garbage.sort()
        return compacted
    }
}

extension Statement {
    /// Runs `LogSchema.insert` for a record.
    func insert(_ record: Record, _ time: Timestamp) throws(DatabaseFailure) {
        bind(1, record.revision)
        bind(2, record.key.resource)
        bind(3, record.key.namespace)
        bind(4, record.key.name)
        bind(5, record.createRevision)
        bind(6, record.isDeletion ? 1 : 0)
        bind(7, time.seconds)
        bind(8, record.header)
        try run(9, record.body)
    }
}
