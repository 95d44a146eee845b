import Core
import Glibc
import Testing

@testable import Store

/// A process that is killed between two steps of a write, again and again on the same database.
@Suite(.serialized) struct CrashTests {
    @Test(arguments: ["taken", "prepared", "written", "committed", "published", "resumed"])
    func killedAtAStepLosesNothingAcknowledged(step: String) throws {
        let folder = try Folder()
        var highest: Int64 = 0
        var acknowledged = 0
        /// The last acknowledged write of each object, over all lives.
        var last: [String: (revision: Int64, isDeletion: Bool)] = [:]
        for life in 0..<6 {
            let driver = try Driver(["crash", folder.database, step, "\([3, 17, 60, 1, 200, 111][life])"])
            let output = driver.read()
            #expect(driver.wait() == SIGKILL)
            let inherited = highest
            for line in output.split(separator: "\n") {
                let words = line.split(separator: " ")
                let revision = try #require(Int64(words[0]))
                #expect(revision > inherited, "revision \(revision) was given out twice: \(inherited) was reached before")
                highest = max(highest, revision)
                acknowledged += 1
                last[String(words[2])] = (revision, words[1] == "delete")
            }
            let store = try Store(.file(folder.database, .durable))
            #expect(store.currentRevision >= highest)
            for (name, write) in last {
                let record = store.get(Key("crash", namespace: "default", name: name))
                let tombstone = try? store.queue.read { state throws(StoreError) in
                    try state.events(of: "crash", after: write.revision)
                }.last { $0.record.key.name == name }
                // The write after the last acknowledged one may or may not have come through.
                if let record {
                    #expect(record.revision == write.revision && !write.isDeletion || record.revision > write.revision)
                    #expect(record.text.hasPrefix("{\"rv\":\"\(record.revision)\""))
                } else {
                    #expect(write.isDeletion || tombstone?.kind == .delete, "\(name) is lost")
                }
            }
            highest = store.currentRevision
            store.close()
        }
        #expect(acknowledged > 0)
    }

    @Test func aSecondProcessIsRefusedByNameUntilTheFirstIsGone() throws {
        let folder = try Folder()
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
