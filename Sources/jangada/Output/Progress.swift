import Synchronization

/// What a command is doing, on standard error: a spinner with the latest line on a terminal, plain lines elsewhere, nothing for
/// what takes less than a second on a terminal.
final class Progress: Sendable {
    private struct State {
        var text: String
        var frame = 0
        var isShown = false
        var isOver = false
    }

    private let state: Mutex<State>
    private let terminal = Terminal.error
    private let started = ContinuousClock.now

    private init(_ text: String) { state = Mutex(State(text: text)) }

    /// Runs `body` and shows meanwhile what it says.
    static func show<Result>(_ text: String, _ body: (Progress) async throws -> Result) async rethrows -> Result {
        let progress = Progress(text)
        let spinner = progress.terminal.isTerminal ? Task { await progress.spin() } : nil
        defer {
            spinner?.cancel()
            progress.finish()
        }
        return try await body(progress)
    }

    /// The newest line; on a terminal it replaces the one before.
    func say(_ text: String) {
        if terminal.isTerminal { state.withLock { $0.text = text } } else { terminal.line(text) }
    }

    /// A line that stays, as the output of a build.
    func print(_ text: String) {
        state.withLock { state in
            if state.isShown { terminal.write("\r\u{1B}[K") }
            terminal.line(text)
        }
    }

    private func spin() async {
        let frames = Array("⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏")
        try? await Task.sleep(for: .seconds(1))
        while !Task.isCancelled {
            state.withLock { state in
                guard !state.isOver else { return }
                state.isShown = true
                state.frame = (state.frame + 1) % frames.count
                let line = "\(frames[state.frame]) \(state.text) \(Words.duration(ContinuousClock.now - started))"
                terminal.write("\r\u{1B}[K" + terminal.style.cyan(String(line.prefix(max(20, terminal.width - 1)))))
            }
            try? await Task.sleep(for: .milliseconds(120))
        }
    }

    private func finish() {
        state.withLock { state in
            state.isOver = true
            if state.isShown { terminal.write("\r\u{1B}[K") }
        }
    }
}
