import Testing

@testable import Store

@Suite struct MemoryTests {
    @Test func createGivesARevisionSplicedIntoTheBody() async throws {
        let store = try Store(.memory)
        defer { store.close() }
        let record = try await store.commit(.create(Key("pods", namespace: "a", name: "b"), Draft(body: Array("{\"rv\":\"\"}".utf8), revisionOffsets: [7])))
        #expect(record.revision == 1)
        #expect(String(decoding: record.body, as: UTF8.self) == "{\"rv\":\"1\"}")
        #expect(store.get(record.key) === record)
    }
}
