import Core
import Glibc
import Linux
import Platform

/// The daemon as a process of its own: started apart from this one, and waited for.
struct DaemonProcess: Sendable {
    let directory: StateDirectory

    /// Starts `jangada server` in a session of its own, with its log in the state directory.
    func start() throws -> ChildProcess {
        let settings = try ClusterSettings(directory)
        try FileSystem.makeDirectories(directory.root, mode: 0o711)
        try rotateLog()
        let log = try Descriptor.open(directory.daemonLog, O_WRONLY | O_CREAT | O_APPEND, mode: 0o600)
        var spawn = Spawn(.path(try FileSystem.readLink("/proc/self/exe")), arguments: [
            "jangada", "server", "--state", directory.root, "--run", directory.run, "--port", "\(settings.port)", "--registry-port",
            "\(settings.registryPort)", "--nodes", "\(settings.nodes)", "--store", settings.durability.rawValue,
        ] + (settings.name == ClusterSettings().name ? [] : ["--name", settings.name]))
        spawn.environment = ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root"]
        for name in ["HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy", "TZ"] {
            if let value = Environment[name] { spawn.environment.append("\(name)=\(value)") }
        }
        spawn.descriptors = [nil, log, log]
        spawn.directory = "/"
        return try spawn.start()
    }

    /// Returns once the socket answers; fails with the log's last lines when the process ends before.
    func waitForSocket(_ process: ChildProcess, _ control: ControlClient) async throws {
        let deadline = ContinuousClock.now + .seconds(60)
        while !(await control.isRunning()) {
            if let code = try process.reap() {
                throw CommandFailure("the daemon ended with code \(code): \(lastWords())", hint: "All of its log: sudo jangada logs")
            }
            guard ContinuousClock.now < deadline else {
                throw CommandFailure("the daemon does not answer after a minute", hint: "What it is doing: sudo jangada logs")
            }
            // The socket appears once; nothing is worth a watch for these few milliseconds.
            try await Task.sleep(for: .milliseconds(10))
        }
    }

    /// Returns once a process has ended; false where it is still there at the end of `limit`.
    static func waitForEnd(of pid: Int32, atMost limit: Duration) async throws -> Bool {
        let deadline = ContinuousClock.now + limit
        while kill(pid, 0) == 0 || errno == EPERM {
            guard ContinuousClock.now < deadline else { return false }
            try await Task.sleep(for: .milliseconds(10))
        }
        return true
    }

    private func lastWords() -> String {
        guard let log = try? FileSystem.readFile(directory.daemonLog) else { return "it left no log" }
        return String(decoding: log.suffix(4096), as: UTF8.self).split(separator: "\n").last.map(String.init) ?? "it said nothing"
    }

    // One older log is kept; a daemon that runs for long writes little, as nothing is logged per request.
    private func rotateLog() throws {
        guard let size = try FileSystem.status(directory.daemonLog)?.size, size > 16 << 20 else { return }
        try FileSystem.rename(directory.daemonLog, to: "\(directory.daemonLog).1")
    }
}
