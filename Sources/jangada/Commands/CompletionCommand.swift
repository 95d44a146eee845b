import ArgumentParser

struct CompletionCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "completion",
        abstract: "Print a shell's completion script.",
        discussion: """
            install.sh puts them where shells look. By hand:
              jangada completion bash > /etc/bash_completion.d/jangada
              jangada completion zsh > "${fpath[1]}/_jangada"
              jangada completion fish > ~/.config/fish/completions/jangada.fish
            """)

    enum Shell: String, CaseIterable, ExpressibleByArgument {
        case bash, zsh, fish
    }

    @Argument(help: "bash, zsh or fish.")
    var shell: Shell

    func run() async throws {
        let kind: CompletionShell =
            switch shell {
            case .bash: .bash
            case .zsh: .zsh
            case .fish: .fish
            }
        Terminal.output.line(Jangada.completionScript(for: kind))
    }
}
