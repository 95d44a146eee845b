package import Core

/// Why the store did not do it. Everything a caller may branch on is a case.
package enum StoreError: Error, Sendable {
    /// create: the key is taken by this record.
    case exists(Record)
    /// The object is at this revision and not at the expected one.
    case conflict(Record)
    case notFound(Key)
    /// A body, or a transaction as a whole, above its limit.
    case tooLarge(size: Int, limit: Int)
    /// More is waiting to be written than the queue holds; nothing was done, and trying later helps.
    case overloaded
    /// No room on the disk (or a file size limit): nothing of the transaction was done. Works again once there is room.
    case full(DatabaseFailure)
    /// The database refused or the disk failed: nothing of the transaction is visible.
    case failed(DatabaseFailure)
    /// The database was written by a newer program.
    case newerSchema(path: String, found: Int, known: Int)
    /// A SQLite database, but not one of ours.
    case foreign(path: String)
    /// Another process has it open.
    case locked(path: String, holder: Int32?)
    case system(SystemFailure)
    /// History before `oldest` is gone: list or watch anew.
    case expired(oldest: Int64)
    /// The revision asked for has not been reached.
    case future(current: Int64)
    case closed
}

extension StoreError: CustomStringConvertible {
    package var description: String {
        switch self {
        case .exists(let record): "\(record.key) exists already at revision \(record.revision)"
        case .conflict(let record): "\(record.key) is at revision \(record.revision) and not at the expected one"
        case .notFound(let key): "\(key) not found"
        case .tooLarge(let size, let limit): "\(size) bytes are more than the limit of \(limit)"
        case .overloaded: "too many writes are waiting"
        case .full(let failure): "no room to write: \(failure)"
        case .failed(let failure): "\(failure)"
        case .newerSchema(let path, let found, let known):
            "\(path) has schema version \(found), this program knows up to \(known): use the newer program"
        case .foreign(let path): "\(path) is not a database of this program"
        case .locked(let path, let holder): "\(path) is in use by \(holder.map { "process \($0)" } ?? "another process")"
        case .system(let failure): "\(failure)"
        case .expired(let oldest): "the revision is older than the history kept, which starts at \(oldest)"
        case .future(let current): "the revision is newer than the current one, \(current)"
        case .closed: "the store is closed"
        }
    }
}

/// What SQLite said: the extended result code, its message, and the statement it was about.
package struct DatabaseFailure: Error, Sendable, Equatable, CustomStringConvertible {
    package let code: Int32
    package let message: String
    package let sql: String

    /// The code's first byte, by which SQLite groups them.
    package var primaryCode: Int32 { code & 0xFF }

    package var description: String { "sqlite \(code): \(message)" + (sql.isEmpty ? "" : " (\(sql))") }
}
