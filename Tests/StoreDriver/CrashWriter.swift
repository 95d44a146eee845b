import Core
import Glibc
import Store
import Synchronization

/// Eight writers on keys of their own. Each acknowledged write is a line on standard output, written with one call before the
/// next write begins: `revision put|delete name`.
struct CrashWriter {
    let path: String
    let step: String
    /// Dies when the step has come this often.
    let after: Int

    func run() async {
        let seen = Counter()
        var options = Store.Options()
        // A short history, so that compaction runs too.
        options.history.count = 300
        let step = step
        let after = after
        options.probe = { (reached) throws(StoreError) in
            if "\(reached)" == step, seen.next() == after { kill(getpid(), SIGKILL) }
        }
        guard let store = try? Store(.file(path, .durable), options: options) else { exit(3) }
        await withTaskGroup(of: Void.self) { group in
            for writer in 0..<8 { group.addTask { await write(writer, store) } }
        }
    }

    private func write(_ writer: Int, _ store: Store) async {
        let key = Key("crash", namespace: "default", name: "object-\(writer)")
        let draft = Draft(body: Array("{\"rv\":\"\",\"writer\":\(writer)}".utf8), revisionOffsets: [7], header: [UInt8(writer)])
        for round in 0... {
            let command: Command
            if let current = store.get(key) {
                command =
                    round % 5 == 4
                    ? .delete(key, draft, expected: current.revision) : .update(key, draft, expected: current.revision)
            } else {
                command = .create(key, draft)
            }
            guard let record = try? await store.commit(command) else { exit(4) }
            let line = Array("\(record.revision) \(record.isDeletion ? "delete" : "put") \(key.name)\n".utf8)
            guard Glibc.write(1, line, line.count) == line.count else { exit(5) }
        }
    }
}

final class Counter: Sendable {
    private let value = Atomic<Int>(0)
    func next() -> Int { value.add(1, ordering: .relaxed).newValue }
}
