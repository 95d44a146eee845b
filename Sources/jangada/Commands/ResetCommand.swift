import ArgumentParser
import Core
import Glibc
import Platform
import Tree

struct ResetCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "reset",
        abstract: "Stop the cluster and delete everything of it.",
        discussion: """
            Deletes objects, volumes, images, registries and keys, and takes the context out of your kubeconfig. Works
            whether the cluster runs or not.

            Examples:
              sudo jangada reset
              sudo jangada reset --yes --name loja
            """)

    @OptionGroup var cluster: ClusterOptions
    @Flag(name: .shortAndLong, help: "Do not ask.")
    var yes = false

    func run() async throws {
        guard geteuid() == 0 else { throw CommandFailure("deleting the cluster needs root", hint: cluster.command("reset")) }
        let directory = cluster.directory
        guard FileSystem.exists(directory.root) || FileSystem.exists(directory.run) else {
            try ClusterIndex.release(directory.root)
            Terminal.output.line("There is nothing to delete.")
            return
        }
        try confirm()
        // What cannot be read does not keep it from being deleted.
        let settings = (try? ClusterSettings(directory)) ?? ClusterSettings(claimedBy: directory)
        try await Progress.show("stopping") { progress in
            if await cluster.control.isRunning() {
                var down = DownCommand()
                down.cluster = cluster
                down.keep = false
                down.grace = 0
                _ = try await down.stop()
            } else {
                _ = try await DaemonProcess(cluster).endUnanswering()
            }
            progress.say("clearing up")
            try await Teardown.run(directory, settings)
        }
        try Teardown.removeDirectories(directory)
        try UserKubeconfig().remove(settings.context)
        Terminal.output.line("The cluster \(settings.name) and everything of it is deleted.")
    }

    private func confirm() throws {
        guard !yes else { return }
        guard isatty(STDIN_FILENO) == 1 else {
            throw CommandFailure("this deletes the cluster, and nobody is there to ask", hint: cluster.command("reset --yes"))
        }
        Terminal.error.write("Delete the cluster in \(cluster.directory.root) with its objects, volumes, images and registries? [y/N] ")
        guard ["y", "yes"].contains(readLine()?.lowercased()) else { throw CommandFailure("nothing was deleted") }
    }
}
