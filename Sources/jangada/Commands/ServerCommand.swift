import ArgumentParser
import Logging
import Platform

struct ServerCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "server",
        abstract: "Run the cluster in the foreground.",
        discussion: """
            This is the daemon that `jangada up` starts. Run it yourself under a supervisor, or to watch its log.

            Example: jangada server --state /var/lib/jangada --port 6443
            """)

    @Option(help: "Directory for everything that outlives the daemon.")
    var state = "/var/lib/jangada"
    @Option(name: .customLong("run"), help: "Directory for sockets and mounts.")
    var runDirectory = "/run/jangada"
    @Option(help: "Port of the API on 127.0.0.1; 0 takes a free one.")
    var port = 6443
    @Option(help: "How writes reach the disk: durable, relaxed or memory.")
    var store = ClusterSettings.Durability.durable

    @Option(help: "Port of the registry on 127.0.0.1; 0 takes a free one.")
    var registryPort = 5000
    @Option(help: ArgumentHelp("Another registry's name that the built-in one answers to; may be given several times.", valueName: "host"))
    var registryAlias: [String] = []
    @Option(help: "How many nodes.")
    var nodes = 1
    @Option(help: "An image archive to load at start; may be given several times.")
    var preload: [String] = []

    func run() async throws {
        LoggingSystem.bootstrap { label in
            var handler = StreamLogHandler.standardError(label: label)
            handler.logLevel = .info
            return handler
        }
        var settings = ClusterSettings()
        settings.port = port
        settings.durability = store
        settings.registryPort = registryPort
        settings.nodes = nodes
        let daemon = try Daemon(settings, StateDirectory(root: state, run: runDirectory))
        for alias in registryAlias { try daemon.registry.setAlias(alias, true) }
        for path in preload { _ = try await daemon.registry.load(path) }
        try await daemon.run()
    }
}

extension ClusterSettings.Durability: ExpressibleByArgument {}
