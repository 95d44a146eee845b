import CSQLite
import Core
import Glibc
import Testing

@testable import Store

@Suite struct SQLiteTests {
    let folder: Folder
    init() throws { folder = try Folder() }

    private func open(_ options: Store.Options = Store.Options(), _ durability: Durability = .durable) throws -> Store {
        try Store(.file(folder.database, durability), options: options)
    }

    @Test(arguments: [Durability.durable, .relaxed]) func whatIsCommittedIsThereAfterReopening(durability: Durability) async throws {
        let store = try open(Store.Options(), durability)
        try await store.create(pod("a"), "one")
        let updated = try await store.commit(.update(pod("a"), draft("two", header: [1, 2, 3]), expected: 1))
        try await store.create(pod("b"))
        try await store.delete(pod("b"))
        try await store.create(Key("nodes", name: "n"))
        try await store.setMeta("cluster", [7])
        store.close()

        let again = try open(Store.Options(), durability)
        defer { again.close() }
        let record = try #require(again.get(pod("a")))
        #expect(record.body == updated.body && record.header == [1, 2, 3] && record.revision == 2 && record.createRevision == 1)
        #expect(again.get(pod("b")) == nil)
        #expect(again.currentRevision == 5)
        #expect(again.meta("cluster") == [7])
        #expect(try again.list("nodes").records.map(\.key.name) == ["n"])
    }

    @Test func aStoreThatIsOnlyLetGoClosesItself() async throws {
        do {
            let store = try open()
            try await store.create(pod("a"))
        }
        for attempt in 0..<200 {
            if let again = try? open() {
                #expect(again.get(pod("a")) != nil)
                return again.close()
            }
            try await Task.sleep(for: .milliseconds(attempt))
        }
        Issue.record("the database stayed locked")
    }

    @Test func historySurvivesReopening() async throws {
        let store = try open()
        try await store.create(pod("a"), "one")
        try await store.update(pod("a"), "two")
        try await store.delete(pod("a"))
        store.close()
        let again = try open()
        defer { again.close() }
        #expect(try again.list("pods", at: 1).records.map(\.text) == ["{\"rv\":\"1\",\"text\":\"one\"}"])
        let sink = Recorder()
        _ = try again.watch(WatchInterest("pods"), after: 0, sink: sink)
        #expect(sink.summary == ["create a 1", "put a 2", "delete a 3"])
        #expect(sink.events[2].previous?.revision == 2)
    }

    @Test func revisionsNeverGoBackAfterTheNewestRowsAreGone() async throws {
        var options = Store.Options()
        options.history.count = 1
        let store = try open(options)
        for round in 0..<300 {
            try await store.create(pod("p\(round)"))
            try await store.delete(pod("p\(round)"))
        }
        let reached = store.currentRevision
        store.close()
        // As the last step of a compaction would leave it: nothing but the horizon.
        try Database(path: folder.database).execute(
            "DELETE FROM log; UPDATE meta SET value = CAST('\(reached)' AS BLOB) WHERE key = '\(LogSchema.compactedKey)'")
        let again = try open(options)
        defer { again.close() }
        #expect(again.currentRevision == reached)
        #expect(try await again.create(pod("x")).revision == reached + 1)
    }

    @Test func supersededRowsLeaveTheDatabase() async throws {
        var options = Store.Options()
        options.history.count = 100
        let store = try open(options)
        try await store.create(pod("a"))
        for _ in 0..<3000 { try await store.update(pod("a")) }
        store.close()
        let rows = try Database(path: folder.database).integer("SELECT count(*) FROM log")
        #expect(rows < 700 && rows >= 100, "\(rows) rows")
        // And what is left is complete.
        let again = try open(options)
        defer { again.close() }
        #expect(again.get(pod("a"))?.revision == 3001)
        #expect(again.compactedRevision > 2000)
    }

    @Test func theWALStaysBounded() async throws {
        let store = try open(Store.Options(), .relaxed)
        defer { store.close() }
        let body = [UInt8](repeating: 0x61, count: 100_000)
        for index in 0..<1000 { _ = try await store.commit(.create(pod("p\(index)"), Draft(body: body, revisionOffsets: []))) }
        var status = stat()
        #expect(stat(folder.database + "-wal", &status) == 0)
        #expect(status.st_size < 48 << 20, "\(status.st_size) bytes")
    }

    @Test func filesAreForTheOwnerOnly() async throws {
        let store = try open()
        try await store.create(pod("a"))
        defer { store.close() }
        for (name, mode) in [
            ("state", UInt32(0o700)), ("state/jangada.db", 0o600), ("state/jangada.db-wal", 0o600), ("state/jangada.db.lock", 0o600),
        ] {
            var status = stat()
            #expect(stat(folder.file(name), &status) == 0)
            #expect(status.st_mode & 0o777 == mode, "\(name)")
        }
    }

    @Test func twoStoresOfOneProcessCannotShareAFile() async throws {
        let store = try open()
        defer { store.close() }
        #expect(throws: StoreError.self) { try open() }
        // And the refused attempt did not take the first one's locks away.
        try await store.create(pod("a"))
        let other = try Database(path: folder.database)
        #expect(throws: DatabaseFailure.self) { try other.execute("PRAGMA busy_timeout = 0; DELETE FROM log") }
    }

    @Test func aNewerSchemaIsRefused() throws {
        try open().close()
        try Database(path: folder.database).execute("PRAGMA user_version = 99")
        do {
            try open().close()
            Issue.record("opened a newer schema")
        } catch let error as StoreError {
            guard case .newerSchema(_, 99, 1) = error else { throw error }
        }
    }

    @Test func aForeignDatabaseAndAForeignFileAreRefused() throws {
        let path = folder.file("other.db")
        try Database(path: path, flags: SQLITE_OPEN_CREATE).execute("CREATE TABLE t (x)")
        do {
            try Store(.file(path, .durable)).close()
            Issue.record("opened a foreign database")
        } catch {
            guard case .foreign = error else { throw error }
        }
        try open().close()
        let descriptor = Glibc.open(folder.database, O_WRONLY | O_CLOEXEC)
        let noise = [UInt8](repeating: 0x5A, count: 4096)
        #expect(pwrite(descriptor, noise, noise.count, 0) == noise.count)
        close(descriptor)
        do {
            try open().close()
            Issue.record("opened noise")
        } catch let error as StoreError {
            guard case .failed(let failure) = error else { throw error }
            #expect(failure.code == SQLITE_NOTADB && !failure.sql.isEmpty)
        }
    }

    @Test func aBackupIsAStoreOfItsOwn() async throws {
        let store = try open()
        for index in 0..<500 { try await store.create(pod("p\(index)")) }
        for index in 0..<100 { try await store.delete(pod("p\(index)")) }
        try await store.setMeta("cluster", [1])
        let copy = folder.file("copy.db")
        #expect(try store.backup(to: copy) == 600)
        #expect(throws: StoreError.self) { try store.backup(to: copy) }
        try await store.create(pod("later"))
        store.close()
        var options = Store.Options()
        let restored = try Store(.file(copy, .durable), options: options)
        #expect(restored.currentRevision == 600)
        #expect(try restored.list("pods").records.count == 400)
        #expect(restored.meta("cluster") == [1])
        #expect(try await restored.create(pod("new")).revision == 601)
        restored.close()
        // A restore jumps ahead of what clients may have seen.
        options.minimumRevision = 10_000
        let ahead = try Store(.file(copy, .durable), options: options)
        defer { ahead.close() }
        #expect(try await ahead.create(pod("ahead")).revision == 10_001)
        #expect(throws: StoreError.self) { try ahead.watch(WatchInterest("pods"), after: 601, sink: Recorder()) }
    }

    @Test func aMemoryStoreCanBeBackedUp() async throws {
        let store = try Store(.memory)
        try await store.create(pod("a"), "kept")
        let copy = folder.file("copy.db")
        try store.backup(to: copy)
        store.close()
        let restored = try Store(.file(copy, .durable))
        defer { restored.close() }
        #expect(restored.get(pod("a"))?.text == "{\"rv\":\"1\",\"text\":\"kept\"}")
    }
}
