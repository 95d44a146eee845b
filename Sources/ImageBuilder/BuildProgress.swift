import Synchronization

/// A build's progress in the form of buildkit's plain output: `#3 [build 2/4] COPY . .`, `#3 0.412 text`, `#3 DONE 0.5s`.
final class BuildProgress: Sendable {
    private let write: @Sendable (String) -> Void
    private let numbers = Mutex(0)

    init(_ write: @escaping @Sendable (String) -> Void) { self.write = write }

    func step(_ name: String) -> Step {
        let number = numbers.withLock { number in
            number += 1
            return number
        }
        write("#\(number) \(name)")
        return Step(number: number, write: write)
    }

    struct Step: Sendable {
        let number: Int
        let write: @Sendable (String) -> Void
        let start = ContinuousClock.now

        private var elapsed: Duration { ContinuousClock.now - start }
        func cached() { write("#\(number) CACHED") }
        func done() { write("#\(number) DONE \(BuildProgress.seconds(elapsed, 1))s") }
        func failed(_ message: String) { write("#\(number) ERROR: \(message)") }
        func output(_ line: String) { write("#\(number) \(BuildProgress.seconds(elapsed, 3)) \(line)") }
    }

    private static func seconds(_ duration: Duration, _ digits: Int) -> String {
        let (seconds, attoseconds) = duration.components
        let fraction = String(1_000 + attoseconds / 1_000_000_000_000_000).dropFirst()
        return "\(seconds).\(fraction.prefix(digits))"
    }
}

/// Cuts output into lines as it comes.
final class LineSplitter: Sendable {
    private let rest = Mutex<[UInt8]>([])
    private let line: @Sendable (String) -> Void
    init(_ line: @escaping @Sendable (String) -> Void) { self.line = line }

    func feed(_ bytes: [UInt8]) {
        let lines = rest.withLock { rest -> [String] in
            rest += bytes
            var out: [String] = []
            while let end = rest.firstIndex(of: 0x0A) ?? (rest.count > 65536 ? rest.count - 1 : nil) {
                out.append(String(decoding: rest[...end].filter { $0 != 0x0A && $0 != 0x0D }, as: UTF8.self))
                rest.removeFirst(end + 1)
            }
            return out
        }
        for text in lines { line(text) }
    }

    func finish() {
        let last = rest.withLock { rest in
            defer { rest = [] }
            return rest
        }
        if !last.isEmpty { line(String(decoding: last, as: UTF8.self)) }
    }
}
