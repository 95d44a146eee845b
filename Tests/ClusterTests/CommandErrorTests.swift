import Core
import Glibc
import Platform
import Testing

/// What goes wrong is one line that says so and one with the next step; 64 tells wrong usage from work that failed (1).
@Suite struct CommandErrorTests {
    private func run(_ words: [String], environment: [String: String] = [:]) async throws -> Command {
        try await Command.run(try TestCluster.program(), words, environment: environment)
    }

    @Test(arguments: [
        ["up", "--nodes", "none"], ["up", "--nodes", "101"], ["up", "--port", "70000"], ["up", "--port", "5", "--registry-port", "5"], ["up", "--fast"],
        ["status", "-o", "xml"], ["status", "--name", "No"], ["build", "."], ["registry", "create"], ["sail"],
    ])
    func wrongUsageIsToldAndEndsWith64(_ words: [String]) async throws {
        // Of no cluster that anybody has, should it be taken for right.
        let place = "/tmp/jangada-usage-\(Identifier.suffix(8))"
        let command = try await run(words + (words[0] == "up" ? ["--state", "\(place)/state", "--run", "\(place)/run"] : []))
        #expect(command.code == 64 && command.output.isEmpty, "\(command.said)")
        #expect(command.errors.hasPrefix("Error: ") && command.errors.contains("Usage: jangada"), "\(command.said)")
    }

    @Test(arguments: [
        ["status"], ["image", "list"], ["registry", "list"], ["build", "-t", "a:1", "."], ["registry", "credentials", "list"],
        ["image", "push", "localhost:5000/a/b:1"],
    ])
    func commandsOnAClusterThatDoesNotRunSayHowToStartIt(_ words: [String]) async throws {
        let command = try await run(words + ["--name", "nonesuch"])
        #expect(command.code == 1, "\(command.said)")
        let lines = command.errors.split(separator: "\n")
        #expect(lines.count == 2 && lines[0].hasPrefix("error: the cluster nonesuch is not running"), "\(command.said)")
        #expect(lines.last == "  Start it: sudo jangada up --name nonesuch")
    }

    @Test func aStateDirectoryNeedsNoClusterToBeLookedAt() async throws {
        let logs = try await run(["logs", "--name", "nonesuch"])
        #expect(logs.code == 1 && logs.errors.hasPrefix("error: ") && logs.errors.contains("up --name nonesuch"), "\(logs.said)")
        let config = try await run(["kubeconfig", "--name", "nonesuch"])
        #expect(config.code == 1 && config.errors.contains("up --name nonesuch"), "\(config.said)")
        let reset = try await run(["reset", "--yes", "--name", "nonesuch"])
        #expect(reset.code == 0 && reset.output == "There is nothing to delete.\n", "\(reset.said)")
    }

    @Test(.enabled(if: TestCluster.isPossible && access("/usr/bin/setpriv", X_OK) == 0), arguments: ["up", "down", "reset", "demo", "server"])
    func othersThanRootAreToldToBecomeRoot(_ word: String) async throws {
        // The build folder may be closed to others.
        let copy = "/tmp/jangada-\(Identifier.suffix(8))"
        defer { unlink(copy) }
        let copied = try await Command.run("/bin/cp", ["--reflink=auto", try TestCluster.program(), copy])
        try #require(copied.code == 0)
        let command = try await Command.run(
            "/usr/bin/setpriv", ["--reuid", "65534", "--regid", "65534", "--clear-groups", copy, word, "--name", "nonesuch"])
        #expect(command.code == 1, "\(command.said)")
        #expect(command.errors.contains("needs root\n  sudo jangada \(word) --name nonesuch\n"), "\(command.said)")
    }

    @Test(.enabled(if: TestCluster.isPossible)) func aPortInUseIsNamedWithItsHolder() async throws {
        let (socket, port) = try listen()
        defer { close(socket) }
        try await TestCluster.with { cluster in
            for flag in ["--port", "--registry-port"] {
                let up = try await cluster.jangada("up", flag, "\(port)")
                #expect(up.code == 1 && up.errors.hasPrefix("error: port \(port) is in use (") && up.errors.contains("pid \(getpid())"), "\(up.said)")
                #expect(up.errors.contains("  Choose another: ") && up.errors.contains(" \(flag) "), "\(up.said)")
            }
            let server = try await cluster.jangada("server", "--port", "\(port)")
            #expect(server.code == 1 && server.errors.contains("error: port \(port) is in use"), "\(server.said)")
        }
    }

    @Test(.enabled(if: TestCluster.isPossible)) func aSecondDaemonOnTheSameDirectoryIsRefused() async throws {
        try await TestCluster.with { cluster in
            try await cluster.succeed("up")
            let pid = try #require(cluster.daemon)
            let server = try await cluster.jangada("server")
            #expect(server.code == 1 && server.errors.contains("runs already (pid \(pid))"), "\(server.said)")
            #expect(cluster.daemon == pid)
            let other = try await cluster.jangada("up", "--name", "another")
            #expect(other.code == 1 && other.errors.contains("the name jangada, not another"), "\(other.said)")
        }
    }

    private func listen() throws -> (socket: Int32, port: Int) {
        let socket = Glibc.socket(AF_INET, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let isListening = withUnsafeMutablePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(socket, $0, length) == 0 && Glibc.listen(socket, 1) == 0 && getsockname(socket, $0, &length) == 0
            }
        }
        guard isListening else { throw SystemFailure("listen") }
        return (socket, Int(UInt16(bigEndian: address.sin_port)))
    }
}
