import Core
import Glibc
import Testing

@testable import Store

/// A process that is killed in the middle of its writes, again and again on the same database.
@Suite(.serialized) struct CrashTests {
    let folder: Folder
    init() throws { folder = try Folder() }

    @Test(arguments: ["taken", "prepared", "written", "committed", "published", "resumed"])
    func killedAtAStepLosesNothingAcknowledged(step: String) throws {
        var ledger = Ledger()
        for count in [3, 17, 60, 1, 200, 111] {
            let driver = try Driver(["crash", folder.database, step, "\(count)"])
            let output = driver.read()
            #expect(driver.wait() == SIGKILL)
            try ledger.add(output)
            try ledger.check(folder.database)
        }
        #expect(ledger.acknowledged > 0)
    }

    /// Any instruction may be the last, those of SQLite and of its checkpoints included.
    @Test func killedAtAnyMomentLosesNothingAcknowledged() throws {
        var ledger = Ledger()
        for _ in 0..<12 {
            let driver = try Driver(["crash", folder.database, "never", "0"])
            let enough = Int.random(in: 1...60_000)
            let output = driver.read { $0.count >= enough }
            kill(driver.pid, SIGKILL)
            let rest = driver.read()
            #expect(driver.wait() == SIGKILL)
            try ledger.add(output + rest)
            try ledger.check(folder.database)
        }
        #expect(ledger.acknowledged > 1000)
    }

    @Test func aSecondProcessIsRefusedByNameUntilTheFirstIsGone() throws {
        let driver = try Driver(["hold", folder.database])
        _ = driver.read { $0.contains(0x0A) }
        do {
            try Store(.file(folder.database, .durable)).close()
            Issue.record("two processes opened the same database")
        } catch {
            guard case .locked(_, let holder) = error else { throw error }
            #expect(holder == driver.pid)
        }
        kill(driver.pid, SIGKILL)
        #expect(driver.wait() == SIGKILL)
        try Store(.file(folder.database, .durable)).close()
    }
}

/// What the lives of the driver were promised, against what the database holds.
private struct Ledger {
    private struct Write {
        let revision: Int64
        let isDeletion: Bool
    }

    private(set) var acknowledged = 0
    /// What had been reached when the last life began.
    private var inherited: Int64 = 0
    private var highest: Int64 = 0
    /// The last acknowledged write of each object, over all lives.
    private var last: [String: Write] = [:]
    private var revisions: Set<Int64> = []

    mutating func add(_ output: String) throws {
        for line in output.split(separator: "\n") {
            let words = line.split(separator: " ")
            let revision = try #require(Int64(words[0]))
            #expect(revision > inherited, "revision \(revision), but \(inherited) had been reached before")
            #expect(revisions.insert(revision).inserted, "revision \(revision) was given out twice")
            highest = max(highest, revision)
            acknowledged += 1
            last[String(words[2])] = Write(revision: revision, isDeletion: words[1] == "delete")
        }
    }

    mutating func check(_ path: String) throws {
        let store = try Store(.file(path, .durable))
        defer { store.close() }
        #expect(store.currentRevision >= highest)
        for (name, write) in last {
            let key = Key("crash", namespace: "default", name: name)
            // The write after the last acknowledged one may have come through or not.
            if let record = store.get(key) {
                #expect(record.revision == write.revision && !write.isDeletion || record.revision > write.revision)
                #expect(record.text.hasPrefix("{\"rv\":\"\(record.revision)\""))
            } else if !write.isDeletion {
                let later = try store.queue.read { state throws(StoreError) in try state.events(of: "crash", after: write.revision) }
                #expect(later.last { $0.record.key == key }?.kind == .delete, "\(name) is lost")
            }
        }
        inherited = store.currentRevision
        highest = inherited
    }
}
