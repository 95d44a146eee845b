import Core
import Glibc
import Testing

/// Broken input of every sort ends no process, hangs none and makes none large. What is given follows from a seed; `JANGADA_FUZZ_COUNT`
/// makes it longer (1000000 is what is promised), `JANGADA_FUZZ_SEED` different.
struct FuzzTests {
    private static func variable(_ name: String, _ otherwise: String) -> String { getenv(name).map { String(cString: $0) } ?? otherwise }

    @Test func nothingThatIsSentEndsAProcess() throws {
        let folder = FileSystem.parent(of: try FileSystem.readLink("/proc/self/exe"))
        let base = "/tmp/jangada-fuzz-\(Identifier.suffix(8))"
        let (journal, output) = ("\(base).journal", "\(base).out")
        defer { for file in [journal, output] { unlink(file) } }
        let seed = Self.variable("JANGADA_FUZZ_SEED", "1")
        let status = try run("\(folder)/fuzz-driver", [seed, Self.variable("JANGADA_FUZZ_COUNT", "6000"), journal], output: output)
        let said = String(decoding: try FileSystem.readFile(output), as: UTF8.self)
        print(said)
        let last = String(decoding: (try? FileSystem.readFile(journal)) ?? [], as: UTF8.self).split(separator: " ").first ?? ""
        #expect(status == 0, "fuzz-driver \(seed) \(last): wait status \(status)\n\(said.suffix(3000))")
    }

    private func run(_ program: String, _ arguments: [String], output: String) throws -> Int32 {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, 1, output, O_WRONLY | O_CREAT, 0o600)
        posix_spawn_file_actions_adddup2(&actions, 1, 2)
        var words = ([program] + arguments).map { strdup($0) } + [nil]
        defer { for word in words { free(word) } }
        var pid = pid_t()
        let code = posix_spawn(&pid, program, &actions, nil, &words, environ)
        guard code == 0 else { throw SystemFailure("posix_spawn", program, errno: code) }
        var status: Int32 = 0
        while waitpid(pid, &status, 0) < 0, errno == EINTR {}
        return status
    }
}
