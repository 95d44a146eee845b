import Core
import Glibc
import Testing

/// A program run to its end, with what it printed.
struct Command: Sendable {
    let words: String
    let code: Int32
    let output: String
    let errors: String

    /// For expectations: a failure shows what was said.
    var said: String { "\(words): code \(code)\n\(output)\(errors)" }

    /// Runs a program; one that takes longer than `limit` is killed and counts as failed.
    static func run(_ program: String, _ arguments: [String], environment: [String: String] = [:], limit: Duration = .seconds(120)) async throws -> Command {
        let base = "/tmp/jangada-command-\(Identifier.suffix(8))"
        let (output, errors) = ("\(base).out", "\(base).err")
        defer { for file in [output, errors] { unlink(file) } }
        var variables = ["PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/nonexistent"]
        variables.merge(environment) { _, new in new }
        let pid = try spawn(program, [program] + arguments, variables.map { "\($0.key)=\($0.value)" }, output, errors)
        let deadline = ContinuousClock.now + limit
        var status: Int32 = 0
        while waitpid(pid, &status, WNOHANG) == 0 {
            if ContinuousClock.now > deadline { kill(pid, SIGKILL) }
            try await Task.sleep(for: .milliseconds(5))
        }
        let code = status & 0x7F == 0 ? status >> 8 & 0xFF : 128 + status & 0x7F
        func text(_ path: String) throws -> String { String(decoding: try FileSystem.readFile(path), as: UTF8.self) }
        return Command(words: arguments.joined(separator: " "), code: code, output: try text(output), errors: try text(errors))
    }

    private static func spawn(_ program: String, _ arguments: [String], _ environment: [String], _ output: String, _ errors: String) throws -> pid_t {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
        posix_spawn_file_actions_addopen(&actions, 1, output, O_WRONLY | O_CREAT, 0o600)
        posix_spawn_file_actions_addopen(&actions, 2, errors, O_WRONLY | O_CREAT, 0o600)
        var argv = arguments.map { strdup($0) } + [nil]
        var envp = environment.map { strdup($0) } + [nil]
        defer { for text in argv + envp { free(text) } }
        var pid = pid_t()
        let code = posix_spawn(&pid, program, &actions, nil, &argv, &envp)
        guard code == 0 else { throw SystemFailure("posix_spawn", program, errno: code) }
        return pid
    }
}
