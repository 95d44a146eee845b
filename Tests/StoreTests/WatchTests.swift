import Core
import Testing

@testable import Store

@Suite struct WatchTests {
    let folder: Folder
    init() throws { folder = try Folder() }

    @Test func replayGoesOverIntoLiveEvents() async throws {
        let store = try Store(.memory)
        defer { store.close() }
        try await store.create(pod("a"))
        try await store.create(pod("b", in: "other"))
        try await store.update(pod("a"))
        let all = Recorder()
        let some = Recorder()
        let one = Recorder()
        let late = Recorder()
        let watch = try store.watch(WatchInterest("pods"), after: 0, sink: all)
        _ = try store.watch(WatchInterest("pods", namespace: "other"), after: 0, sink: some)
        _ = try store.watch(WatchInterest("pods", namespace: "default", name: "a"), after: 1, sink: one)
        _ = try store.watch(WatchInterest("pods"), sink: late)
        #expect(watch.progress == 3)
        try await store.delete(pod("a"))
        try await store.create(Key("nodes", name: "n"))
        #expect(all.summary == ["create a 1", "create b 2", "put a 3", "delete a 4"])
        #expect(some.summary == ["create b 2"])
        #expect(one.summary == ["put a 3", "delete a 4"])
        #expect(late.summary == ["delete a 4"])
        #expect(all.events.map { $0.previous?.revision } == [nil, nil, 1, 3])
        #expect(watch.progress == 5, "progress follows commits that are none of the subscriber's business")
        watch.cancel()
        try await store.create(pod("c"))
        #expect(all.revisions == [1, 2, 3, 4] && watch.progress == nil)
    }

    @Test func aSubscriberThatDoesNotConsumeIsDropped() async throws {
        let store = try Store(.memory)
        defer { store.close() }
        let slow = Recorder()
        let good = Recorder()
        _ = try store.watch(WatchInterest("pods"), limit: 3, sink: slow)
        let watch = try store.watch(WatchInterest("pods"), limit: 3, sink: good)
        for index in 0..<10 {
            try await store.create(pod("p\(index)"))
            watch.consumed(1)
        }
        #expect(slow.revisions == [1, 2, 3] && slow.end == .overflowed)
        #expect(good.revisions == Array(1...10) && good.end == nil)
    }

    @Test func closingEndsAllWatchesAfterTheirLastEvent() async throws {
        let store = try Store(.memory)
        let sink = Recorder()
        _ = try store.watch(WatchInterest("pods"), sink: sink)
        let done = Monitor(0)
        for index in 0..<50 { store.submit([.create(pod("p\(index)"), draft())]) { _ in done.change { $0 += 1 } } }
        store.close()
        #expect(done.withLock { $0 } == 50 && sink.events.count == 50 && sink.end == .closed)
        #expect(throws: StoreError.self) { try store.watch(WatchInterest("pods"), sink: Recorder()) }
        store.close()
    }

    /// Many writers; watchers that come and go at any moment see each revision once and in order.
    @Test(arguments: [false, true]) func everyWatcherSeesEachRevisionOnceInOrder(onDisk: Bool) async throws {
        let store = try Store(onDisk ? .file(folder.database, .relaxed) : .memory)
        let writers = 16
        let each = 100
        let sinks = Monitor<[(start: Int64, sink: Recorder)]>([])
        try await withThrowingTaskGroup(of: Void.self) { group in
            for writer in 0..<writers {
                group.addTask {
                    for index in 0..<each {
                        let key = pod("p\(writer)-\(index / 4)", in: "n\(writer % 2)")
                        switch index % 4 {
                        case 0: try await store.create(key)
                        case 3: try await store.delete(key)
                        default: try await store.update(key)
                        }
                    }
                }
            }
            for _ in 0..<60 {
                group.addTask {
                    await Task.yield()
                    let start = Int64.random(in: 0...store.currentRevision)
                    let sink = Recorder()
                    _ = try store.watch(WatchInterest("pods"), after: start, sink: sink)
                    sinks.withLock { $0.append((start, sink)) }
                }
            }
            try await group.waitForAll()
        }
        let total = Int64(writers * each)
        #expect(store.currentRevision == total)
        store.close()
        for (start, sink) in sinks.withLock({ $0 }) {
            #expect(sink.revisions == Array((start + 1)..<(total + 1)))
            #expect(sink.end == .closed)
        }
    }

    /// A reader sees whole commits: two objects that change together are never seen apart.
    @Test func readersSeeWholeTransactions() async throws {
        let store = try Store(.memory)
        defer { store.close() }
        _ = try await store.commit([.create(pod("a"), draft()), .create(pod("b"), draft())])
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask {
                for _ in 0..<500 {
                    _ = try await store.commit([.update(pod("a"), draft(), expected: nil), .update(pod("b"), draft(), expected: nil)])
                }
            }
            for _ in 0..<2 {
                group.addTask {
                    for _ in 0..<2000 {
                        let page = try store.list("pods")
                        #expect(page.records[1].revision == page.records[0].revision + 1 && page.revision == page.records[1].revision)
                    }
                }
            }
            try await group.waitForAll()
        }
    }
}
