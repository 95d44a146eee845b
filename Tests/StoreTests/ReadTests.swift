import Testing

@testable import Store

@Suite struct ReadTests {
    @Test func listsAreSortedByNamespaceThenName() async throws {
        let store = try Store(.memory)
        defer { store.close() }
        for name in ["b/z", "a/y", "b/a", "a-b/x", "a/x"] {
            let parts = name.split(separator: "/").map(String.init)
            try await store.create(pod(parts[1], in: parts[0]))
        }
        let all = try store.list("pods")
        #expect(all.records.map { "\($0.key.namespace)/\($0.key.name)" } == ["a/x", "a/y", "a-b/x", "b/a", "b/z"])
        #expect(all.revision == 5 && all.remaining == 0)
        #expect(try store.list("pods", namespace: "b").records.map(\.key.name) == ["a", "z"])
        #expect(try store.list("pods", namespace: "a").records.count == 2)
        #expect(try store.list("pods", namespace: "none").records.isEmpty)
        #expect(try store.list("nothing").records.isEmpty)
    }

    @Test(arguments: [nil, "n1"]) func pagesOfAnOldRevisionStayConsistentUnderWrites(namespace: String?) async throws {
        let store = try Store(.memory)
        defer { store.close() }
        for index in 0..<300 { try await store.create(pod("p\(index)", in: "n\(index % 3)")) }
        let expected = try store.list("pods", namespace: namespace).records.map(\.revision)
        var page = try store.list("pods", namespace: namespace, limit: 7)
        let revision = page.revision
        var seen = page.records.map(\.revision)
        var round = 0
        while page.remaining > 0 {
            #expect(seen.count + page.remaining == expected.count)
            try await store.update(pod("p\(round)", in: "n\(round % 3)"))
            try await store.delete(pod("p\(299 - round)", in: "n\((299 - round) % 3)"))
            try await store.create(pod("new\(round)", in: "n1"))
            round += 1
            let last = try #require(page.records.last)
            page = try store.list("pods", namespace: namespace, at: revision, after: last.key.position, limit: 7)
            #expect(page.revision == revision)
            seen += page.records.map(\.revision)
        }
        #expect(seen == expected)
    }

    @Test func thePastIsBoundedByAgeAndByCount() async throws {
        let time = ManualTime()
        var options = Store.Options()
        options.clock = time
        options.history = HistoryLimits(age: .seconds(60), count: 5)
        let store = try Store(.memory, options: options)
        defer { store.close() }
        for _ in 0..<3 { try await store.create(pod("a")); try await store.delete(pod("a")) }
        #expect(store.compactedRevision == 1)
        time.advance(61)
        try await store.create(pod("b"))
        #expect(store.compactedRevision == 6)
        do {
            _ = try store.list("pods", at: 5)
            Issue.record("listed what is compacted")
        } catch {
            guard case .expired(6) = error else { throw error }
        }
        #expect(try store.list("pods", at: 6).records.isEmpty)
        do {
            _ = try store.list("pods", at: 8)
            Issue.record("listed the future")
        } catch {
            guard case .future(7) = error else { throw error }
        }
    }

    @Test func thePastAgesWithoutWrites() async throws {
        var options = Store.Options()
        options.history = HistoryLimits(age: .milliseconds(20))
        let store = try Store(.memory, options: options)
        defer { store.close() }
        for index in 0..<4 { try await store.create(pod("p\(index)")) }
        // The newest commit stays, whatever its age.
        while store.compactedRevision < 3 { try await Task.sleep(for: .milliseconds(5)) }
        #expect(try store.list("pods", at: 3).records.count == 3)
        #expect(throws: StoreError.self) { try store.list("pods", at: 2) }
    }

    @Test func pagesOfThePastAgreeWhateverIsWrittenBetween() async throws {
        let store = try Store(.memory)
        defer { store.close() }
        for index in 0..<30 { try await store.create(pod("p\(10 + index)")) }
        let expected = try store.list("pods").records.map(\.revision)
        var seen: [Int64] = []
        var after: ListPosition?
        repeat {
            try await store.delete(pod("p\(39 - seen.count)"))
            try await store.create(pod("q\(seen.count)"))
            let page = try store.list("pods", at: 30, after: after, limit: 4)
            seen += page.records.map(\.revision)
            after = page.remaining > 0 ? page.records.last?.key.position : nil
        } while after != nil
        #expect(seen == expected)
        #expect(try store.list("nodes", at: 30).records.isEmpty)
    }

    @Test func aWatchOfAQuietResourceOutlivesCompaction() async throws {
        var options = Store.Options()
        options.history.count = 2
        let store = try Store(.memory, options: options)
        defer { store.close() }
        try await store.create(Key("nodes", name: "n"))
        for index in 0..<20 { try await store.create(pod("p\(index)")) }
        #expect(store.compactedRevision > 1)
        let sink = Recorder()
        _ = try store.watch(WatchInterest("nodes"), after: 1, sink: sink)
        try await store.update(Key("nodes", name: "n"))
        #expect(sink.summary == ["put n 22"])
        do {
            _ = try store.watch(WatchInterest("pods"), after: 5, sink: sink)
            Issue.record("a watch with a gap")
        } catch {
            guard case .expired = error else { throw error }
        }
    }

    @Test func sortedRecordsBehaveLikeASortedArray() {
        var generator = SystemRandomNumberGenerator()
        var records = SortedRecords()
        var model: [ListPosition: Int64] = [:]
        for revision in 1...20_000 as ClosedRange<Int64> {
            let key = pod("p\(UInt32.random(in: 0..<1500, using: &generator))", in: "n\(UInt32.random(in: 0..<4, using: &generator))")
            if UInt32.random(in: 0..<5, using: &generator) < (revision / 5000 % 2 == 0 ? 4 : 1) {
                let old = records.set(record(key, revision))
                #expect(old?.revision == model.updateValue(revision, forKey: key.position))
            } else {
                #expect(records.remove(namespace: key.namespace, name: key.name)?.revision == model.removeValue(forKey: key.position))
            }
            #expect(records.count == model.count)
        }
        let flat = records.leaves.flatMap { $0 }
        #expect(flat.map(\.revision) == model.sorted { $0.key < $1.key }.map(\.value))
        #expect(records.leaves.allSatisfy { !$0.isEmpty && $0.count <= SortedRecords.leafLimit })
        for (position, revision) in model {
            #expect(records.record(namespace: position.namespace, name: position.name)?.revision == revision)
        }
    }

    private func record(_ key: Key, _ revision: Int64) -> Record {
        Record(key: key, revision: revision, createRevision: revision, isDeletion: false, body: [], header: [])
    }
}
