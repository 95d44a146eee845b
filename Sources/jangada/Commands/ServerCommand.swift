import ArgumentParser
import Core
import Logging
import Platform
import Store
import Transport

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
    var store = "durable"

    func run() async throws {
        LoggingSystem.bootstrap { label in
            var handler = StreamLogHandler.standardError(label: label)
            handler.logLevel = .info
            return handler
        }
        let directory = StateDirectory(root: state, run: runDirectory)
        try directory.prepare()
        let location: Store.Location
        switch store {
        case "durable": location = .file(directory.database, .durable)
        case "relaxed": location = .file(directory.database, .relaxed)
        case "memory": location = .memory
        default: throw ValidationError("--store is durable, relaxed or memory")
        }
        let pki = try ClusterPKI.load(directory.pki, names: .init())
        var options = ControlPlane.Options(location: location)
        options.port = port
        let plane = try ControlPlane(options, pki: pki)
        _ = try await plane.start()
        let config = Kubeconfig.make(
            name: "jangada", server: "https://127.0.0.1:\(plane.port)", authorityPEM: pki.authority.identity.certificatePEM, client: pki.admin)
        try config.write(directory.adminKubeconfig)
        while true { try await Task.sleep(for: .seconds(3600)) }
    }
}
