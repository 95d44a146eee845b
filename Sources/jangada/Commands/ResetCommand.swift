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
            Deletes objects, volumes, images, registries and keys, and takes the context out of your kubeconfig. A cluster that is
            not running is started for a moment, so that it clears away what it left on the machine.

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
        if !(await cluster.control.isRunning()), FileSystem.exists(directory.database) {
            // The daemon knows what it made. Where it cannot start, the files still go.
            do { try await Progress.show("clearing up") { _ in try await clearUp() } } catch let failure as CommandFailure {
                Terminal.error.line("\(Terminal.error.style.yellow("warning:")) \(failure.message)")
            }
        }
        if await cluster.control.isRunning() {
            var down = DownCommand()
            down.cluster = cluster
            down.keep = false
            try await down.stop()
        }
        for place in [directory.run, directory.root] {
            try ResetCommand.unmount(below: place)
            try FileSystem.removeTree(place)
        }
        try UserKubeconfig().remove(name)
        Terminal.output.line("The cluster and everything of it is deleted.")
    }

    /// Detaches what is still mounted below a directory, innermost first: what a daemon that cannot start has left.
    private static func unmount(below directory: String) throws {
        let table = String(decoding: try FileSystem.readFile("/proc/self/mountinfo"), as: UTF8.self)
        for path in mountPoints(table, below: directory) where umount2(path, Int32(MNT_DETACH)) != 0 && errno != EINVAL {
            throw SystemFailure("umount", path)
        }
    }

    /// The mount points at and below a directory, the newest first. Spaces and the like are octal in the kernel's table.
    static func mountPoints(_ table: String, below directory: String) -> [String] {
        table.split(separator: "\n").compactMap { line -> String? in
            let fields = line.split(separator: " ")
            guard fields.count > 4 else { return nil }
            let path = unescaped(fields[4])
            return path == directory || path.hasPrefix(directory + "/") ? path : nil
        }.reversed()
    }

    private static func unescaped(_ text: Substring) -> String {
        var out: [UInt8] = []
        var rest = Array(text.utf8)[...]
        while let byte = rest.popFirst() {
            let digits = rest.prefix(3)
            if byte == 0x5C, digits.count == 3, digits.allSatisfy({ (48...55).contains($0) }) {
                out.append(digits.reduce(0) { $0 &* 8 &+ ($1 - 48) })
                rest = rest.dropFirst(3)
            } else {
                out.append(byte)
            }
        }
        return String(decoding: out, as: UTF8.self)
    }

    private func clearUp() async throws {
        let daemon = DaemonProcess(directory: cluster.directory)
        try await daemon.waitForSocket(try daemon.start(), cluster.control)
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
