import Core
import Glibc
import Testing

@testable import Store

@Suite struct DiskFullTests {
    let folder: Folder
    init() throws { folder = try Folder() }

    /// A real full disk: a tmpfs of 1 MiB.
    @Test(.enabled(if: geteuid() == 0, "mounting needs root"))
    func aFullDiskRefusesWritesAndHealsWhenThereIsRoom() async throws {
        let mountPoint = folder.file("disk")
        mkdir(mountPoint, 0o700)
        try #require(mount("tmpfs", mountPoint, "tmpfs", 0, "size=1m") == 0)
        defer { umount2(mountPoint, 2) }
        let path = mountPoint + "/jangada.db"
        let store = try Store(.file(path, .durable))
        let sink = Recorder()
        let watch = try store.watch(WatchInterest("pods"), sink: sink)
        defer { watch.cancel() }
        let big = Draft(body: [UInt8](repeating: 0x61, count: 40_000), revisionOffsets: [])
        var stored = 0
        var refusal: StoreError?
        while refusal == nil, stored < 100 {
            do throws(StoreError) {
                _ = try await store.commit(.create(pod("p\(stored)"), big))
                stored += 1
            } catch {
                refusal = error
            }
        }
        guard case .full(let failure) = refusal else {
            store.close()
            return #expect(Bool(false), "no full disk after \(stored) records: \(String(describing: refusal))")
        }
        #expect(!failure.sql.isEmpty)
        #expect(store.currentRevision == Int64(stored))
        #expect(store.get(pod("p\(stored)")) == nil)
        #expect(sink.revisions == (1...Int64(stored)).map { $0 })
        // Reads go on, and so do writes once there is room.
        #expect(try store.list("pods").records.count == stored)
        #expect(mount("tmpfs", mountPoint, "tmpfs", 32 /* MS_REMOUNT */, "size=16m") == 0)
        let record = try await store.commit(.create(pod("p\(stored)"), big))
        #expect(record.revision == Int64(stored) + 1)
        #expect(sink.revisions.last == record.revision)
        store.close()
        let again = try Store(.file(path, .durable))
        #expect(try again.list("pods").records.count == stored + 1)
        again.close()
    }

    /// The same through the probe, at the step before COMMIT, with others in the same batch.
    @Test func aFailedCommitPublishesNothingAndUsesNoRevision() async throws {
        let fails = Monitor(false)
        var options = Store.Options()
        options.probe = { (step) throws(StoreError) in
            if step == .written, fails.withLock({ $0 }) {
                throw .failed(DatabaseFailure(code: 10, message: "disk I/O error", sql: "COMMIT"))
            }
        }
        let store = try Store(.file(folder.database, .durable), options: options)
        defer { store.close() }
        let sink = Recorder()
        _ = try store.watch(WatchInterest("pods"), sink: sink)
        try await store.create(pod("a"))
        fails.change { $0 = true }
        await withTaskGroup(of: Void.self) { group in
            for index in 0..<20 {
                group.addTask { await #expect(throws: StoreError.self) { try await store.create(pod("b\(index)")) } }
            }
        }
        #expect(store.currentRevision == 1)
        fails.change { $0 = false }
        #expect(try await store.create(pod("b0")).revision == 2)
        #expect(sink.summary == ["create a 1", "create b0 2"])
    }
}
