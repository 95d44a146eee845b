import ArgumentParser
import Core
import Glibc
import Platform
import Tree

struct UpCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "up",
        abstract: "Start the cluster, or find it running.",
        discussion: """
            Starts the daemon, waits until the API answers and every node is Ready, and makes "jangada" the current context of
            your kubeconfig ($KUBECONFIG or ~/.kube/config; yours, not root's, when called through sudo). What is chosen here is
            kept for the next time.

            Examples:
              sudo jangada up
              sudo jangada up --nodes 3
            """)

    @OptionGroup var cluster: ClusterOptions
    @Option(help: "How many nodes (default: as last time, at first 1).")
    var nodes: Int?
    @Option(help: "Name of the cluster, of its kubeconfig context and of its nodes (default: as last time, at first jangada).")
    var name: String?
    @Option(help: "Port of the API on 127.0.0.1 (default: as last time, at first 6443).")
    var port: Int?
    @Option(help: "Port of the registry on 127.0.0.1 (default: as last time, at first 5000).")
    var registryPort: Int?
    @Option(help: ArgumentHelp("Another registry's name that the built-in one answers to; may be given more than once, and is kept.", valueName: "host"))
    var registryAlias: [String] = []
    @Option(help: "How writes reach the disk: durable, relaxed or memory (default: as last time, at first durable).")
    var store: ClusterSettings.Durability?
    @Flag(inversion: .prefixedNo, help: "Merge the context into your kubeconfig.")
    var kubeconfig = true

    func validate() throws {
        if let nodes, !(1...100).contains(nodes) { throw ValidationError("--nodes takes 1 to 100.") }
        for port in [port, registryPort].compactMap(\.self) where !(1...65535).contains(port) { throw ValidationError("A port is 1 to 65535.") }
        if let name, !UpCommand.isName(name) {
            throw ValidationError("--name takes lowercase letters, digits and '-', at most 40, beginning with a letter.")
        }
    }

    func run() async throws {
        try await start(quiet: false)
    }

    /// Starts what is not running; `quiet` leaves out the summary.
    func start(quiet: Bool) async throws {
        guard geteuid() == 0 else { throw CommandFailure("starting the cluster needs root", hint: "sudo jangada up") }
        let started = ContinuousClock.now
        let wasRunning = await cluster.control.isRunning()
        var settings = try ClusterSettings(cluster.directory)
        if wasRunning, try changes(settings) {
            throw CommandFailure("the cluster runs with other settings", hint: "They change at the next start: sudo jangada down, then up again.")
        }
        apply(&settings)
        if !wasRunning { try settings.write(cluster.directory) }
        let status = try await Progress.show("starting") { progress in
            if !wasRunning {
                let daemon = DaemonProcess(directory: cluster.directory)
                try await daemon.waitForSocket(try daemon.start(), cluster.control)
            }
            return try await cluster.control.stream("/v1/ready", [:]) { progress.say($0) }
        }
        for alias in registryAlias { _ = try await cluster.control.send("PUT", "/v1/aliases/\(alias.urlEscaped)") }
        if kubeconfig { try UserKubeconfig().merge(Kubeconfig(node: try await cluster.control.get("/v1/kubeconfig"))) }
        guard !quiet else { return }
        let style = Terminal.output.style
        let count = status["nodes"].list.count
        Terminal.output.line(
            style.green(wasRunning ? "The cluster is running" : "The cluster is ready")
                + ": \(count) node\(count == 1 ? "" : "s"), \(status["server"].string ?? "")"
                + (wasRunning ? "" : style.dim("  (\(Words.duration(ContinuousClock.now - started)))")))
        if kubeconfig { Terminal.output.line("kubectl's context is \(settings.name), in \(InvokingUser.current().kubeconfig)") }
    }

    private func apply(_ settings: inout ClusterSettings) {
        if let nodes { settings.nodes = nodes }
        if let name { settings.name = name }
        if let port { settings.port = port }
        if let registryPort { settings.registryPort = registryPort }
        if let store { settings.durability = store }
    }

    private func changes(_ settings: ClusterSettings) throws -> Bool {
        var wanted = settings
        apply(&wanted)
        return wanted != settings
    }

    static func isName(_ text: String) -> Bool {
        guard let first = text.utf8.first, (97...122).contains(first), text.utf8.count <= 40, text.utf8.last != 0x2D else { return false }
        return text.utf8.allSatisfy { (97...122).contains($0) || (48...57).contains($0) || $0 == 0x2D }
    }
}
