import ArgumentParser
import Glibc
import Logging
import Platform

struct ServerCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "server",
        abstract: "Run the cluster in the foreground.",
        discussion: """
            This is the daemon that `jangada up` starts. Run it yourself under a supervisor, or to watch its log. SIGTERM and SIGINT end
            the daemon alone: the containers go on, and the next daemon adopts them. `jangada down` ends them too.

            Examples:
              sudo jangada server
              sudo jangada server --name loja --port 7443 --registry-port 7000
            """)

    @OptionGroup var cluster: ClusterOptions
    @OptionGroup var settings: SettingsOptions
    @Option(help: "An image archive to load at start; may be given several times.")
    var preload: [String] = []

    func run() async throws {
        LoggingSystem.bootstrap { label in
            var handler = StreamLogHandler.standardError(label: label)
            handler.logLevel = .info
            return handler
        }
        guard geteuid() == 0 else { throw CommandFailure("the daemon needs root", hint: cluster.command("server")) }
        // Nobody's shell decides who reads what the daemon and the containers make.
        umask(0o022)
        ProcessLimits.raiseOpenFiles()
        let directory = cluster.directory
        let chosen = try ClusterSettings.prepare(directory, settings.changes(named: cluster.chosenName))
        let daemon = try Daemon(chosen, directory)
        let signals = try TerminationSignals()
        for alias in settings.registryAlias { try daemon.registry.setAlias(alias, true) }
        for path in preload { _ = try await daemon.registry.load(path) }
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { for await _ in signals.received { daemon.shutdown(keeping: true) } }
            try await daemon.run()
            group.cancelAll()
        }
    }
}
