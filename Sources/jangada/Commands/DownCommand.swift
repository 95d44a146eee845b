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
            Ends pods in their grace period, then the daemon. Objects, images and registries stay for the next `jangada up`;
            `jangada reset` deletes them too. With --keep only the daemon ends: containers go on, and the next `up` adopts them.

            Examples:
              sudo jangada down
              sudo jangada down --keep
            """)

    @OptionGroup var cluster: ClusterOptions
    @Flag(help: "Leave the containers running for the next `up`.")
    var keep = false

    func run() async throws {
        guard geteuid() == 0 else { throw CommandFailure("stopping the cluster needs root", hint: "sudo jangada down") }
        guard await cluster.control.isRunning() else {
            Terminal.output.line("The cluster is not running.")
            return
        }
        try await stop()
        Terminal.output.line(keep ? "The daemon has ended; the containers go on." : "The cluster has stopped.")
    }

    /// Stops a running cluster and waits for its process to end.
    func stop() async throws {
        let pid = try await cluster.control.get("/v1/status")["pid"].int.flatMap(Int32.init(exactly:))
        try await Progress.show("stopping") { progress in
            _ = try await cluster.control.stream("/v1/stop", ["keep": .bool(keep)]) { progress.say($0) }
            guard let pid else { return }
            guard try await DaemonProcess.waitForEnd(of: pid, atMost: .seconds(60)) else {
                throw CommandFailure("the daemon (pid \(pid)) does not end", hint: "What it is doing: sudo jangada logs")
            }
        }
    }
}
