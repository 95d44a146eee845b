import ArgumentParser

struct Jangada: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "jangada",
        abstract: "A whole Kubernetes on one Linux machine, in one program.",
        version: "0.1.0 (Kubernetes v1.36)",
        subcommands: [ServerCommand.self])
}
