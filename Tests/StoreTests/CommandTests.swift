import Testing

@testable import Store

@Suite struct CommandTests {
    let store: Store
    init() throws { store = try Store(.memory) }

    @Test func theRevisionIsSplicedWhereverItIsWanted() {
        let draft = Draft(body: Array("<><>end".utf8), revisionOffsets: [1, 3])
        #expect(String(decoding: draft.spliced(1207), as: UTF8.self) == "<1207><1207>end")
        #expect(Draft(body: [1, 2], revisionOffsets: []).spliced(9) == [1, 2])
        #expect(String(decoding: Draft(body: [], revisionOffsets: [0]).spliced(10), as: UTF8.self) == "10")
        #expect(Draft.digits(of: 9) == 1 && Draft.digits(of: 10) == 2 && Draft.digits(of: .max) == 19)
    }

    @Test func createOfATakenNameNamesTheRecordThatHasIt() async throws {
        defer { store.close() }
        let first = try await store.create(pod("a"))
        do {
            try await store.create(pod("a"))
            Issue.record("created twice")
        } catch let error as StoreError {
            guard case .exists(let record) = error else { throw error }
            #expect(record === first)
        }
        #expect(store.currentRevision == 1)
    }

    @Test func updateNeedsTheExpectedRevision() async throws {
        defer { store.close() }
        try await store.create(pod("a"))
        let second = try await store.update(pod("a"), expected: 1)
        #expect(second.revision == 2 && second.createRevision == 1)
        do {
            try await store.update(pod("a"), expected: 1)
            Issue.record("a stale update went through")
        } catch let error as StoreError {
            guard case .conflict(let record) = error else { throw error }
            #expect(record === second)
        }
        #expect(try await store.update(pod("a"), expected: nil).revision == 3)
        await #expect(throws: StoreError.self) { try await store.update(pod("missing")) }
        await #expect(throws: StoreError.self) { try await store.delete(pod("a"), expected: 2) }
    }

    @Test func deleteLeavesAFinalRecordWithItsOwnRevision() async throws {
        defer { store.close() }
        try await store.create(pod("a"))
        let last = try await store.delete(pod("a"), expected: 1)
        #expect(last.isDeletion && last.revision == 2 && last.createRevision == 1 && last.text.hasPrefix("{\"rv\":\"2\""))
        #expect(store.get(pod("a")) == nil)
        #expect(try await store.create(pod("a")).createRevision == 3)
    }

    @Test func aTransactionIsAllOrNothing() async throws {
        defer { store.close() }
        try await store.create(pod("taken"))
        do {
            _ = try await store.commit([
                .create(pod("x"), draft()), .update(pod("taken"), draft(), expected: 1), .setMeta("m", [1]), .create(pod("taken"), draft()),
            ])
            Issue.record("half a transaction")
        } catch {
            guard case .exists = error else { throw error }
        }
        #expect(store.get(pod("x")) == nil && store.get(pod("taken"))?.revision == 1 && store.meta("m") == nil)
        let records = try await store.commit([
            .create(pod("x"), draft()), .update(pod("x"), draft(), expected: 2), .delete(pod("x"), draft(), expected: 3),
            .create(pod("x"), draft()), .setMeta("m", [1]),
        ])
        #expect(records.map(\.revision) == [2, 3, 4, 5])
        #expect(store.get(pod("x")) === records[3] && store.meta("m") == [1])
    }

    @Test func requireGuardsATransaction() async throws {
        defer { store.close() }
        try await store.create(Key("namespaces", name: "n"))
        _ = try await store.commit([.require(Key("namespaces", name: "n"), expected: 1), .create(pod("a", in: "n"), draft())])
        try await store.delete(Key("namespaces", name: "n"))
        await #expect(throws: StoreError.self) {
            try await store.commit([.require(Key("namespaces", name: "n"), expected: nil), .create(pod("b", in: "n"), draft())])
        }
        #expect(store.get(pod("b", in: "n")) == nil)
    }

    @Test func aFailureInABatchDoesNotTouchItsNeighbours() {
        var batch = Batch(after: 10, limits: StoreLimits()) { _ in nil }
        let outcomes = [
            batch.add([.create(pod("a"), draft())]),
            batch.add([.create(pod("b"), draft()), .create(pod("a"), draft())]),
            batch.add([.update(pod("b"), draft(), expected: nil)]),
            batch.add([.create(pod("b"), draft())]),
            batch.add([.delete(pod("a"), draft(), expected: 11), .require(pod("a"), expected: nil)]),
            batch.add([.update(pod("a"), draft(), expected: 11)]),
        ].map { result in (try? result.get())?.map(\.revision) }
        #expect(outcomes == [[11], nil, nil, [12], nil, [13]])
        #expect(batch.events.map(\.revision) == [11, 12, 13])
    }

    @Test func limitsAreNamed() async throws {
        store.close()
        var options = Store.Options()
        options.limits.recordBytes = 100
        options.limits.batchBytes = 150
        let store = try Store(.memory, options: options)
        func refusal(_ sizes: [Int]) async -> String {
            do {
                _ = try await store.commit(
                    sizes.enumerated().map {
                        .create(pod("p\($0.offset)"), Draft(body: [UInt8](repeating: 0, count: $0.element), revisionOffsets: []))
                    })
                return "done"
            } catch {
                return error.description
            }
        }
        #expect(await refusal([101]) == "101 bytes are more than the limit of 100")
        #expect(await refusal([90, 90]) == "180 bytes are more than the limit of 150")
        #expect(await refusal([90]) == "done")
        store.close()
        #expect(await refusal([90]) == "the store is closed")
        #expect(store.get(pod("p0")) != nil, "reads go on")
    }

    @Test func derivedValuesAreMadeOncePerRevision() async throws {
        defer { store.close() }
        final class Length: Sendable {
            let count: Int
            init(_ count: Int) { self.count = count }
        }
        final class Other: Sendable {}
        let seed = Other()
        let record = try await store.commit(.create(pod("a"), Draft(body: [1, 2], revisionOffsets: [], derived: [seed])))
        #expect(record.existing(Length.self) == nil)
        let first = record.derived(Length.self) { Length($0.body.count) }
        #expect(first.count == 2 && record.derived(Length.self) { _ in Length(9) } === first)
        #expect(record.derived(Other.self) { _ in Other() } === seed)
    }
}
