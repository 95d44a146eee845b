import ArgumentParser
import Core
import Glibc
import Platform

struct LogsCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "logs",
        abstract: "Show the daemon's log.",
        discussion: """
            Logs of pods: kubectl logs POD.

            Examples:
              sudo jangada logs
              sudo jangada logs -f --lines 20
            """)

    @OptionGroup var cluster: ClusterOptions
    @Flag(name: .shortAndLong, help: "Go on as the log grows.")
    var follow = false
    @Option(name: .shortAndLong, help: "Begin this many lines before the end; 0 shows all.")
    var lines = 100

    func run() async throws {
        let path = cluster.directory.daemonLog
        guard try FileSystem.status(path) != nil else { throw CommandFailure("the daemon has no log yet", hint: "Start it: \(cluster.command("up"))") }
        let file = try FileSystem.open(path)
        let size = try file.status().size
        var offset = max(0, size - 4 << 20)
        var text = try file.readPiece(at: offset, count: Int(size - offset))
        offset = size
        if lines > 0 { text = LogsCommand.tail(text, lines) }
        Terminal.output.write(text)
        // A person watches: five looks a second at one file cost less than a watch is worth.
        while follow {
            try await Task.sleep(for: .milliseconds(200))
            let piece = try file.readPiece(at: offset, count: 1 << 16)
            offset += Int64(piece.count)
            Terminal.output.write(piece)
        }
    }

    /// The last lines of a text.
    static func tail(_ text: [UInt8], _ count: Int) -> [UInt8] {
        var left = count
        var at = text.count
        if text.last == 0x0A { at -= 1 }
        while at > 0 {
            if text[at - 1] == 0x0A {
                left -= 1
                if left == 0 { break }
            }
            at -= 1
        }
        return Array(text[at...])
    }
}
