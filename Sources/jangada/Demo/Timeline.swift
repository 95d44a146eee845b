import Synchronization

/// What happened, and how long each step took: printed as it happens, and kept for the summary.
final class Timeline: Sendable {
    struct Entry: Sendable {
        let text: String
        let duration: Duration
    }

    private let started = ContinuousClock.now
    private let entries = Mutex<[Entry]>([])
    private let terminal = Terminal.output

    func chapter(_ title: String) { terminal.line("\n" + terminal.style.bold(title)) }

    /// Runs a step and prints it with its time; `note` adds what came of it.
    @discardableResult
    func step<Result>(_ text: String, note: (Result) -> String = { _ in "" }, _ body: () async throws -> Result) async throws -> Result {
        let begun = ContinuousClock.now
        let result: Result
        do { result = try await Progress.show(text) { _ in try await body() } } catch {
            terminal.line("  \(terminal.style.red("✘"))           \(text)")
            throw error
        }
        let duration = ContinuousClock.now - begun
        entries.withLock { $0.append(Entry(text: text, duration: duration)) }
        let time = Words.duration(duration)
        let remark = note(result)
        terminal.line(
            "  \(terminal.style.green("✔")) \(String(repeating: " ", count: max(0, 8 - time.count)))\(time)  \(text)"
                + (remark.isEmpty ? "" : terminal.style.dim("  \(remark)")))
        return result
    }

    /// A line below the last step.
    func detail(_ text: String) { terminal.line(terminal.style.dim("              \(text)")) }

    var total: Duration { ContinuousClock.now - started }
    var steps: [Entry] { entries.withLock { $0 } }
}
