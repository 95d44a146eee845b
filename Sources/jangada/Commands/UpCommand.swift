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
            kept for the next time. Containers that an earlier daemon left running are taken over as they are.

            With --name a further cluster runs beside the first, with addresses, ports and a state directory of its own
            (/var/lib/jangada-NAME); kubectl's context for it is jangada-NAME.

            Examples:
              sudo jangada up
              sudo jangada up --nodes 3
              sudo jangada up --port 7443 --registry-port 7000
              sudo jangada up --name loja
            """)

    @OptionGroup var cluster: ClusterOptions
    @OptionGroup var settings: SettingsOptions
    @Flag(inversion: .prefixedNo, help: "Merge the context into your kubeconfig.")
    var kubeconfig = true

    func run() async throws {
        try await start(quiet: false)
    }

    /// Starts what is not running; `quiet` leaves out the summary.
    func start(quiet: Bool) async throws {
        guard geteuid() == 0 else { throw CommandFailure("starting the cluster needs root", hint: cluster.command("up")) }
        let started = ContinuousClock.now
        let daemon = DaemonProcess(cluster)
        let changes = settings.changes(named: cluster.chosenName)
        let wasRunning = DaemonLock.holder(cluster.directory).isHeld
        if wasRunning { try refuse(changes) }
        let status = try await Progress.show(wasRunning ? "finding the cluster" : "starting the daemon") { progress in
            if wasRunning {
                try await daemon.waitForSocket(nil)
            } else {
                _ = try ClusterSettings.prepare(cluster.directory, changes)
                try await daemon.waitForSocket(try daemon.start())
            }
            return try await cluster.control.stream("/v1/ready", [:]) { progress.say($0) }
        }
        for alias in settings.registryAlias { _ = try await cluster.control.send("PUT", "/v1/aliases/\(alias.urlEscaped)") }
        if kubeconfig { try UserKubeconfig().merge(Kubeconfig(node: try await cluster.control.get("/v1/kubeconfig"))) }
        guard !quiet else { return }
        summarize(status, isNew: !wasRunning, after: ContinuousClock.now - started)
    }

    private func summarize(_ status: Node, isNew: Bool, after duration: Duration) {
        let style = Terminal.output.style
        let count = status["nodes"].list.count
        let name = status["name"].string ?? ""
        Terminal.output.line(
            style.green(isNew ? "The cluster \(name) is ready" : "The cluster \(name) is running")
                + ": \(count) node\(count == 1 ? "" : "s"), API \(status["server"].string ?? ""), registry \(status["registry"]["address"].string ?? "")"
                + (isNew ? style.dim("  (\(Words.duration(duration)))") : ""))
        // The kernel says so where the file of a running program was replaced.
        if let pid = status["pid"].int, let program = try? FileSystem.readLink("/proc/\(pid)/exe"), program.hasSuffix(" (deleted)") {
            Terminal.output.line("Its daemon is of an earlier installation. To change it: \(cluster.command("down --keep")), then up again.")
        }
        guard kubeconfig else { return }
        let context = ClusterSettings.context(name)
        Terminal.output.line("kubectl's context is \(context), in \(InvokingUser.current().kubeconfig). Try: kubectl get nodes")
    }

    /// A running cluster keeps its settings.
    private func refuse(_ changes: ClusterSettings.Changes) throws {
        let kept = try ClusterSettings(cluster.directory)
        let wanted = kept.changed(changes)
        var differences: [String] = []
        if wanted.name != kept.name { differences.append("the name \(kept.name), not \(wanted.name)") }
        if wanted.nodes != kept.nodes { differences.append("--nodes \(kept.nodes), not \(wanted.nodes)") }
        if wanted.port != kept.port { differences.append("--port \(kept.port), not \(wanted.port)") }
        if wanted.registryPort != kept.registryPort { differences.append("--registry-port \(kept.registryPort), not \(wanted.registryPort)") }
        if wanted.durability != kept.durability { differences.append("--store \(kept.durability), not \(wanted.durability)") }
        for (name, value) in wanted.api.values.sorted(by: { $0.key < $1.key }) where kept.api.values[name] != value {
            differences.append("another --\(name) than \(value)")
        }
        for (name, wanted, kept) in [
            ("controller-manager", wanted.controllerManager, kept.controllerManager), ("scheduler", wanted.scheduler, kept.scheduler),
        ] where wanted != kept { differences.append(kept ? "--enable-\(name)" : "--disable-\(name)") }
        guard !differences.isEmpty else { return }
        throw CommandFailure(
            "the cluster is running with \(differences.joined(separator: " and "))",
            hint: "To change that, \(cluster.command("down --keep")) first: the containers go on meanwhile.")
    }
}
