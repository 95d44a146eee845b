import Core
import Glibc
import Store
import Synchronization

/// What the store costs on this machine. Run it from a release build, on the disk that matters.
struct Benchmark {
    let folder: String
    private let clock = ContinuousClock()
    private let body = [UInt8](repeating: 0x78, count: 1024)

    func run() async throws {
        try await writes("durable, 64 writers", .file("\(folder)/bench-64.db", .durable), writers: 64, each: 4000)
        try await writes("durable, 1 writer", .file("\(folder)/bench-1.db", .durable), writers: 1, each: 20_000)
        try await writes("relaxed, 64 writers", .file("\(folder)/bench-r.db", .relaxed), writers: 64, each: 4000)
        try await writes("memory, 64 writers", .memory, writers: 64, each: 4000)
        try await reads()
    }

    /// Each writer creates, updates three times with the expected revision, and so on with the next object.
    private func writes(_ title: String, _ location: Store.Location, writers: Int, each: Int) async throws {
        let store = try Store(location)
        let start = clock.now
        let samples = try await withThrowingTaskGroup(of: [Duration].self) { group in
            for writer in 0..<writers { group.addTask { try await write(store, writer, each) } }
            var all: [Duration] = []
            for try await part in group { all += part }
            return all.sorted()
        }
        let took = clock.now - start
        let rate = Double(samples.count) / (Double(took.components.seconds) + Double(took.components.attoseconds) / 1e18)
        print("\(title): \(Int(rate)) rows/s, p50 \(samples[samples.count / 2]), p99 \(samples[samples.count * 99 / 100])")
        store.close()
    }

    private func write(_ store: Store, _ writer: Int, _ count: Int) async throws -> [Duration] {
        let draft = Draft(body: body, revisionOffsets: [512], header: Array(body[..<100]))
        var samples: [Duration] = []
        var revision: Int64 = 0
        for index in 0..<count {
            let key = Key("bench", namespace: "ns-\(writer % 10)", name: "object-\(writer)-\(index / 4)")
            let before = clock.now
            revision = try await store.commit(index % 4 == 0 ? .create(key, draft) : .update(key, draft, expected: revision)).revision
            samples.append(clock.now - before)
        }
        return samples
    }

    private func reads() async throws {
        let path = "\(folder)/bench-load.db"
        var store = try Store(.file(path, .relaxed))
        let draft = Draft(body: body, revisionOffsets: [512], header: Array(body[..<100]))
        for first in stride(from: 0, to: 50_000, by: 500) {
            _ = try await store.commit(
                (first..<first + 500).map { index in
                    .create(Key("pods", namespace: "ns-\(index % 16)", name: "pod-\(index)"), draft)
                })
        }
        store.close()
        print("load 50,000: \(try clock.measure { store = try Store(.file(path, .relaxed)) })")
        let namespace = "ns-3"
        var bytes = 0
        let listing = try clock.measure {
            for _ in 0..<100 { for record in try store.list("pods", namespace: namespace).records { bytes += record.body.count } }
        }
        print("list 3,125 of 50,000: \(listing / 100)")
        var found = 0
        let getting = clock.measure {
            for index in 0..<100_000 where store.get(Key("pods", namespace: "ns-\(index % 16)", name: "pod-\(index % 50_000)")) != nil {
                found += 1
            }
        }
        print("get: \(getting / 100_000) (\(found) found, \(bytes) bytes)")
        print("backup: \(try clock.measure { try store.backup(to: "\(folder)/bench-copy.db") })")
        store.close()
    }
}
