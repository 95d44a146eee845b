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

            Example:
              sudo jangada reset --yes
            """)

    @OptionGroup var cluster: ClusterOptions
    @Flag(name: .shortAndLong, help: "Do not ask.")
    var yes = false

    func run() async throws {
        guard geteuid() == 0 else { throw CommandFailure("deleting the cluster needs root", hint: "sudo jangada reset") }
        let directory = cluster.directory
        guard FileSystem.exists(directory.root) || FileSystem.exists(directory.run) else {
            Terminal.output.line("There is nothing to delete.")
            return
        }
        try confirm()
        let name = (try? ClusterSettings(directory))?.name ?? "jangada"
        if await cluster.control.isRunning() {
            var down = DownCommand()
            down.cluster = cluster
            down.keep = false
            try await down.stop()
        }
        let settings = (try? ClusterSettings(directory)) ?? ClusterSettings()
        try await Progress.show("clearing up") { _ in try await Teardown.run(directory, settings) }
        try FileSystem.removeTree(directory.run)
        try FileSystem.removeTree(directory.root)
        try UserKubeconfig().remove(name)
        Terminal.output.line("The cluster and everything of it is deleted.")
    }

    private func confirm() throws {
        guard !yes else { return }
        guard isatty(STDIN_FILENO) == 1 else {
            throw CommandFailure("this deletes the cluster, and nobody is there to ask", hint: "sudo jangada reset --yes")
        }
        Terminal.error.write("Delete the cluster with its objects, volumes, images and registries? [y/N] ")
        guard ["y", "yes"].contains(readLine()?.lowercased()) else { throw CommandFailure("nothing was deleted") }
    }
}
