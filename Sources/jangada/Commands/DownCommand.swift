import ArgumentParser
import Core
import Glibc
import Platform
import Tree

struct DownCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "down",
        abstract: "Stop the cluster.",
        discussion: """
            Ends the containers, then the daemon. Objects, volumes, images and registries stay for the next `jangada up`;
            `jangada reset` deletes them too. With --keep only the daemon ends: containers go on, and the next `up` adopts them.

            Examples:
              sudo jangada down
              sudo jangada down --grace 30
              sudo jangada down --keep
            """)

    @OptionGroup var cluster: ClusterOptions
    @Flag(help: "Leave the containers running for the next `up`.")
    var keep = false
    @Option(help: "Seconds that containers have to end by themselves, at most; fewer where their pod says so.")
    var grace = 5

    func validate() throws {
        if !(0...3600).contains(grace) { throw ValidationError("--grace takes 0 to 3600 seconds.") }
    }

    func run() async throws {
        guard geteuid() == 0 else { throw CommandFailure("stopping the cluster needs root", hint: cluster.command("down")) }
        let wasRunning = try await stop()
        if wasRunning { return Terminal.output.line(keep ? "The daemon has ended; the containers go on." : "The cluster has stopped.") }
        let directory = cluster.directory
        let settings = try ClusterSettings(directory)
        // What `down --keep` or a daemon that was killed has left.
        if !keep, FileSystem.exists(directory.root), try !Teardown.leftovers(directory, settings).isEmpty {
            try await Progress.show("stopping containers") { _ in try await Teardown.run(directory, settings) }
            return Terminal.output.line("The daemon was not running; the containers it had left are stopped.")
        }
        Terminal.output.line("The cluster is not running.")
    }

    /// Stops a running cluster and waits for its process to end; false where none runs.
    func stop() async throws -> Bool {
        guard await cluster.control.isRunning() else { return try await DaemonProcess(cluster).endUnanswering() && keep }
        let pid = DaemonLock.holder(cluster.directory).pid
        try await Progress.show("stopping") { progress in
            let request: Node = ["keep": .bool(keep), "grace": .int(Int64(grace))]
            _ = try await cluster.control.stream("/v1/stop", request) { progress.say($0) }
            guard let pid else { return }
            guard try await DaemonProcess.waitForEnd(of: pid, atMost: .seconds(Double(grace) + 60)) else {
                throw CommandFailure("the daemon (pid \(pid)) does not end", hint: "What it is doing: \(cluster.command("logs"))")
            }
        }
        return true
    }
}
