import Core

/// What one write puts on disk, all or nothing.
struct EngineWrite {
    let events: [WatchEvent]
    let meta: [MetaChange]
    let time: Timestamp
    /// Rows that no longer matter, ascending, and the horizon that made them so.
    let garbage: ArraySlice<Int64>
    let compacted: Int64
}

/// Where commits outlive the process. Used by one thread at a time: first who opens it, then the writer.
protocol Engine: AnyObject, Sendable {
    /// False where there are no rows to clean up.
    var keepsRows: Bool { get }
    /// Returns when the write is as durable as the engine promises. Throws with nothing written.
    func commit(_ write: EngineWrite) throws(StoreError)
    /// Housekeeping after a write. True when there is more to do once nobody writes for a while.
    func maintain() -> Bool
    /// Nobody has written for a while.
    func maintainIdle()
    func close()
}

/// Keeps nothing: for tests and throw-away clusters.
final class MemoryEngine: Engine {
    let keepsRows = false
    func commit(_ write: EngineWrite) throws(StoreError) {}
    func maintain() -> Bool { false }
    func maintainIdle() {}
    func close() {}
}

/// How far a commit is safe when the call returns.
package enum Durability: Sendable, Equatable {
    /// Survives power loss: WAL with `synchronous=FULL`.
    case durable
    /// Survives the process, SIGKILL included, but may lose the last seconds at power loss: `synchronous=NORMAL`.
    case relaxed
}

/// Bounds on what the queue accepts.
package struct StoreLimits: Sendable {
    /// One object, body and header.
    package var recordBytes: Int
    /// All that waits to be written.
    package var queuedBytes: Int
    package var queuedJobs: Int
    /// What one SQLite transaction takes at most, so that a burst does not make the first caller wait for the last.
    package var batchBytes: Int
    package var batchJobs: Int

    package init(
        recordBytes: Int = 4 << 20, queuedBytes: Int = 128 << 20, queuedJobs: Int = 16_384, batchBytes: Int = 8 << 20, batchJobs: Int = 1024
    ) {
        self.recordBytes = recordBytes
        self.queuedBytes = queuedBytes
        self.queuedJobs = queuedJobs
        self.batchBytes = batchBytes
        self.batchJobs = batchJobs
    }
}
