import Core
import Glibc
import Synchronization

/// Feeds targets, on a thread as the program's own are, and holds each input to a time and the process to a memory.
final class Run: Sendable {
    private let seed: UInt64
    private let journal: FileDescriptor?
    /// Number of the input that is being looked at, for the watchdog.
    private let turns = Atomic<UInt64>(0)
    private let slow = Monitor<[String]>([])

    #if DEBUG
        /// Processor time of one input, in microseconds. The largest are some 100 KB.
        private static let limit: Int64 = 4_000_000
    #else
        private static let limit: Int64 = 500_000
    #endif
    private static let memory = 1500 << 20

    init(seed: UInt64, journal: String?) throws {
        self.seed = seed
        self.journal = try journal.map { try FileSystem.open($0, [.writeOnly, .create, .truncate]) }
    }

    func one(_ target: Target, _ number: Int) throws {
        try onThread {
            var random = self.random(target, number)
            let input = target.make(&random)
            say(String(decoding: input.prefix(4000), as: UTF8.self))
            say("\(input.count) bytes")
            let took = Run.processorTime { target.run(input) }
            say("\(took / 1000) ms")
        }
    }

    func all(_ target: Target, count: Int) throws {
        let watchdog = Task.detached { try await self.watch(target.name) }
        defer { watchdog.cancel() }
        try onThread {
            var longest: (time: Int64, number: Int) = (0, 0)
            var whole: Int64 = 0
            for number in 0..<count {
                self.turns.add(1, ordering: .relaxed)
                self.note("\(target.name)/\(number)")
                var random = self.random(target, number)
                let input = target.make(&random)
                let took = Run.processorTime { target.run(input) }
                whole += took
                if took > longest.time { longest = (took, number) }
                if took > Run.limit { self.slow.change { $0.append("\(target.name)/\(number) took \(took / 1000) ms for \(input.count) bytes") } }
            }
            say("\(target.name): \(count) inputs, \(whole / 1000) ms, the longest \(longest.time / 1000) ms (\(target.name)/\(longest.number))")
        }
    }

    /// The exit code.
    func verdict() -> Int32 {
        var usage = rusage()
        getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
        let memory = Int(usage.ru_maxrss) << 10
        let found = slow.withLock { $0 } + (memory > Run.memory ? ["memory came to \(memory >> 20) MiB"] : [])
        for line in found { say(line) }
        say("\(memory >> 20) MiB at most")
        return found.isEmpty ? 0 : 3
    }

    private func random(_ target: Target, _ number: Int) -> Random {
        var state = seed
        for byte in target.name.utf8 { state = (state ^ UInt64(byte)) &* 0x100_0000_01B3 }
        var first = Random(state &+ UInt64(number))
        return Random(first.next())
    }

    private func note(_ text: String) {
        guard let journal else { return }
        var line = Array(text.utf8)
        line += [UInt8](repeating: 0x20, count: max(0, 60 - line.count))
        _ = pwrite(journal.raw, line, line.count, 0)
    }

    private static func processorTime(_ body: () -> Void) -> Int64 {
        var before = timespec()
        var after = timespec()
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &before)
        body()
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &after)
        return Int64(after.tv_sec - before.tv_sec) * 1_000_000 + Int64(after.tv_nsec - before.tv_nsec) / 1000
    }

    private func onThread(_ body: @escaping @Sendable () -> Void) throws {
        try WorkerThread(name: "fuzz", body).join()
    }

    /// An input that never ends is as bad as one that kills.
    private func watch(_ name: String) async throws {
        var last = turns.load(ordering: .relaxed)
        while true {
            try await Task.sleep(for: .seconds(60))
            let now = turns.load(ordering: .relaxed)
            if now == last {
                say("\(name): an input takes longer than a minute")
                abort()
            }
            last = now
        }
    }
}
