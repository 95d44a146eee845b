import CSQLite

/// A SQLite connection and its statements. Belongs to one thread at a time; errors carry extended codes and the SQL.
final class Database {
    fileprivate let handle: OpaquePointer
    let path: String

    /// `extra` are flags beside READWRITE, such as CREATE.
    init(path: String, flags extra: Int32 = 0) throws(DatabaseFailure) {
        var handle: OpaquePointer?
        let flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE | SQLITE_OPEN_PRIVATECACHE | extra
        let code = sqlite3_open_v2(path, &handle, flags, nil)
        guard code == SQLITE_OK, let handle else {
            let message = handle.map { String(cString: sqlite3_errmsg($0)) } ?? String(cString: sqlite3_errstr(code))
            sqlite3_close_v2(handle)
            throw DatabaseFailure(code: code, message: message, sql: "open \(path)")
        }
        self.handle = handle
        self.path = path
    }

    deinit { sqlite3_close_v2(handle) }

    func execute(_ sql: String) throws(DatabaseFailure) {
        let code = sqlite3_exec(handle, sql, nil, nil, nil)
        guard code == SQLITE_OK else { throw failure(code, sql) }
    }

    func integer(_ sql: String) throws(DatabaseFailure) -> Int64 {
        let statement = try prepare(sql)
        return try statement.step() ? statement.integer(0) : 0
    }

    func prepare(_ sql: String) throws(DatabaseFailure) -> Statement { try Statement(self, sql) }

    /// False while a transaction is open.
    var isAutocommit: Bool { sqlite3_get_autocommit(handle) != 0 }

    /// Moves the WAL's pages into the database without waiting for anybody.
    func checkpoint(_ mode: Int32 = SQLITE_CHECKPOINT_PASSIVE) throws(DatabaseFailure) {
        let code = sqlite3_wal_checkpoint_v2(handle, nil, mode, nil, nil)
        guard code == SQLITE_OK else { throw failure(code, "checkpoint") }
    }

    /// Calls `hook` after each commit with the number of pages in the WAL. Replaces SQLite's own checkpoints.
    func onCommit(
        _ context: UnsafeMutableRawPointer,
        _ hook: @escaping @convention(c) (UnsafeMutableRawPointer?, OpaquePointer?, UnsafePointer<CChar>?, Int32) -> Int32
    ) {
        sqlite3_wal_hook(handle, hook, context)
    }

    fileprivate func failure(_ code: Int32, _ sql: String) -> DatabaseFailure {
        DatabaseFailure(code: code, message: String(cString: sqlite3_errmsg(handle)), sql: sql)
    }
}

/// A prepared statement, kept for its connection's life.
final class Statement {
    private let handle: OpaquePointer
    private let database: Database
    private let sql: String

    fileprivate init(_ database: Database, _ sql: String) throws(DatabaseFailure) {
        var handle: OpaquePointer?
        let code = sqlite3_prepare_v3(database.handle, sql, -1, UInt32(SQLITE_PREPARE_PERSISTENT), &handle, nil)
        guard code == SQLITE_OK, let handle else { throw database.failure(code, sql) }
        self.handle = handle
        self.database = database
        self.sql = sql
    }

    deinit { sqlite3_finalize(handle) }

    // MARK: - Parameters, counted from 1

    func bind(_ index: Int32, _ value: Int64) { sqlite3_bind_int64(handle, index, value) }

    func bind(_ index: Int32, _ value: String) {
        _ = value.withCString { sqlite3_bind_text(handle, index, $0, Int32(value.utf8.count), transient) }
    }

    /// Copies, for what does not live until `step`.
    func bind(_ index: Int32, _ value: [UInt8]) {
        // A null pointer would bind NULL, and an empty array may have one.
        guard !value.isEmpty else { return _ = sqlite3_bind_zeroblob(handle, index, 0) }
        _ = value.withUnsafeBytes { sqlite3_bind_blob(handle, index, $0.baseAddress, Int32($0.count), transient) }
    }

    /// Runs with `value` bound without a copy.
    func run(_ index: Int32, _ value: [UInt8]) throws(DatabaseFailure) {
        guard !value.isEmpty else {
            sqlite3_bind_zeroblob(handle, index, 0)
            return try run()
        }
        let code = value.withUnsafeBytes { bytes in
            sqlite3_bind_blob(handle, index, bytes.baseAddress, Int32(bytes.count), nil)
            let code = sqlite3_step(handle)
            sqlite3_bind_null(handle, index)
            return code
        }
        try finish(code)
    }

    /// Steps once and resets: for statements without result rows.
    func run() throws(DatabaseFailure) { try finish(sqlite3_step(handle)) }

    private func finish(_ code: Int32) throws(DatabaseFailure) {
        // The message belongs to the step; reset would replace it.
        let failure = code == SQLITE_DONE || code == SQLITE_ROW ? nil : database.failure(code, sql)
        sqlite3_reset(handle)
        if let failure { throw failure }
    }

    // MARK: - Rows

    /// True while there is a row.
    func step() throws(DatabaseFailure) -> Bool {
        let code = sqlite3_step(handle)
        if code == SQLITE_ROW { return true }
        try finish(code)
        return false
    }

    func integer(_ column: Int32) -> Int64 { sqlite3_column_int64(handle, column) }

    func text(_ column: Int32) -> String {
        guard let start = sqlite3_column_text(handle, column) else { return "" }
        return String(decoding: UnsafeBufferPointer(start: start, count: Int(sqlite3_column_bytes(handle, column))), as: UTF8.self)
    }

    func bytes(_ column: Int32) -> [UInt8] {
        guard let start = sqlite3_column_blob(handle, column) else { return [] }
        return [UInt8](UnsafeRawBufferPointer(start: start, count: Int(sqlite3_column_bytes(handle, column))))
    }
}

/// SQLITE_TRANSIENT, a cast that the importer leaves out: SQLite copies the value.
private let transient = unsafeBitCast(-1, to: sqlite3_destructor_type.self)
