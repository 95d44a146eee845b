import Core
import Glibc
import Linux

/// Another program run to its end, with what it printed.
enum Subprocess {
    struct Outcome: Sendable {
        let code: Int32
        let output: [UInt8]
        var text: String { String(decoding: output, as: UTF8.self) }
    }

    /// The first program of that name on PATH.
    static func find(_ name: String) -> String? {
        for directory in (Environment["PATH"] ?? "/usr/local/bin:/usr/bin:/bin").split(separator: ":") {
            let path = "\(directory)/\(name)"
            if access(path, X_OK) == 0 { return path }
        }
        return nil
    }

    /// `output` holds standard output; standard error too where `mixed`, else it is in `errors` of the failure.
    static func run(_ program: String, _ arguments: [String], environment: [String] = [], input: [UInt8] = []) async throws -> (
        outcome: Outcome, errors: String
    ) {
        let output = try Descriptor.pipe()
        let errors = try Descriptor.memory("errors", [])
        var spawn = Spawn(.path(program), arguments: [program] + arguments)
        spawn.environment = ["PATH=\(Environment["PATH"] ?? "/usr/bin:/bin")", "HOME=\(Environment["HOME"] ?? "/root")"] + environment
        spawn.descriptors = [try Descriptor.memory("input", input), output.writing, errors]
        let process = try spawn.start()
        output.writing.close()
        return try await BlockingThreads.shared.run {
            let reading = FileDescriptor(owning: output.reading.take())
            let bytes = try reading.readAll(limit: 64 << 20)
            var code = try process.reap()
            while code == nil {
                var wait = pollfd(fd: process.pidfd.raw, events: Int16(POLLIN), revents: 0)
                _ = poll(&wait, 1, -1)
                code = try process.reap()
            }
            let said = FileDescriptor(owning: errors.take())
            let text = String(decoding: try said.readPiece(at: 0, count: 1 << 16), as: UTF8.self)
            return (Outcome(code: code ?? -1, output: bytes), text)
        }
    }
}
