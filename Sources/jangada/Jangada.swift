import ArgumentParser

struct Jangada: AsyncParsableCommand {
    static let versionText = "0.1.0"
    static let kubernetesVersion = "v1.36"

    static let configuration = CommandConfiguration(
        commandName: "jangada",
        abstract: "A whole Kubernetes on one Linux machine, in one program.",
        discussion: """
            Examples:
              sudo jangada up                     start the cluster; kubectl's context becomes "jangada"
              sudo jangada status                 nodes, services, registries, images
              sudo jangada registry create shop   a private place for images
              sudo jangada build -t localhost:5000/shop/app:1 .
              sudo jangada image push localhost:5000/shop/app:1
              sudo jangada down                   stop everything
              sudo jangada demo                   see it all happen
            """,
        version: "\(versionText) (Kubernetes \(kubernetesVersion))",
        groupedSubcommands: [
            CommandGroup(name: "Cluster", subcommands: [
                UpCommand.self, DownCommand.self, ResetCommand.self, StatusCommand.self, KubeconfigCommand.self, LogsCommand.self,
                ExplainCommand.self, NodeCommand.self, DemoCommand.self,
            ]),
            CommandGroup(name: "Images", subcommands: [BuildCommand.self, ImageCommand.self, RegistryCommand.self]),
            CommandGroup(name: "Program", subcommands: [ServerCommand.self, CompletionCommand.self, VersionCommand.self]),
        ])
}
