import Glibc
import Testing

/// Runs tools that are the other side of a format: skopeo, curl.
enum Shell {
    /// Whether a program is installed.
    static func has(_ program: String) -> Bool { access("/usr/bin/\(program)", X_OK) == 0 }

    static let isRoot = geteuid() == 0

    static func run(_ command: String, fails: Bool = false, sourceLocation: SourceLocation = #_sourceLocation) throws {
        var pid = pid_t()
        var arguments: [UnsafeMutablePointer<CChar>?] = [strdup("sh"), strdup("-c"), strdup(command), nil]
        defer { for argument in arguments { free(argument) } }
        let code = posix_spawn(&pid, "/bin/sh", nil, nil, &arguments, environ)
        #expect(code == 0, sourceLocation: sourceLocation)
        var status: Int32 = 0
        while waitpid(pid, &status, 0) < 0, errno == EINTR {}
        #expect((status != 0) == fails, "\(command)", sourceLocation: sourceLocation)
    }
}
