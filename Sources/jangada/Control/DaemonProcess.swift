import Core
import Glibc
import Linux
import Platform

/// The daemon as a process of its own: started apart from this one, waited for, ended.
struct DaemonProcess: Sendable {
    let cluster: ClusterOptions
    let directory: StateDirectory

    init(_ cluster: ClusterOptions) {
        self.cluster = cluster
        directory = cluster.directory
    }

    /// Starts `jangada server` in a session of its own, with its log in the state directory.
    func start() throws -> ChildProcess {
        try FileSystem.makeDirectories(directory.root, mode: 0o711)
        try rotateLog()
        let log = try Descriptor.open(directory.daemonLog, O_WRONLY | O_CREAT | O_APPEND, mode: 0o600)
        // What else it needs it finds in the settings.
        var spawn = Spawn(
            .path(try FileSystem.readLink("/proc/self/exe")), arguments: ["jangada", "server", "--state", directory.root, "--run", directory.run])
        spawn.environment = ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root"]
        for name in ["HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy", "TZ"] {
            if let value = Environment[name] { spawn.environment.append("\(name)=\(value)") }
        }
        spawn.descriptors = [nil, log, log]
        spawn.directory = "/"
        return try spawn.start()
    }

    /// Returns once the socket answers; fails with the log's last line when no daemon is left to answer. `process` is the one started
    /// here; nil waits for somebody else's.
    func waitForSocket(_ process: ChildProcess?) async throws {
        let control = cluster.control
        let deadline = ContinuousClock.now + .seconds(60)
        var isOurs = process != nil
        while !(await control.isRunning()) {
            if isOurs, let code = try process?.reap() {
                // Another command may have started one at the same time.
                isOurs = false
                guard DaemonLock.holder(directory).isHeld else {
                    throw CommandFailure(lastWords() ?? "the daemon ended with code \(code)", hint: "All of its log: \(cluster.command("logs"))")
                }
            }
            if !isOurs, !DaemonLock.holder(directory).isHeld {
                throw CommandFailure(lastWords() ?? "the daemon has ended", hint: "All of its log: \(cluster.command("logs"))")
            }
            guard ContinuousClock.now < deadline else {
                throw CommandFailure("the daemon does not answer after a minute", hint: "What it is doing: \(cluster.command("logs"))")
            }
            // The socket appears once; nothing is worth a watch for these few milliseconds.
            try await Task.sleep(for: .milliseconds(10))
        }
    }

    /// Ends a daemon that does not answer on its socket any more; its containers go on. Returns whether there was one.
    func endUnanswering() async throws -> Bool {
        let (isHeld, pid) = DaemonLock.holder(directory)
        guard isHeld else { return false }
        guard let pid else { throw CommandFailure("a daemon is just starting", hint: "Try again in a moment.") }
        _ = kill(pid, SIGTERM)
        if try await DaemonProcess.waitForEnd(of: pid, atMost: .seconds(5)) { return true }
        _ = kill(pid, SIGKILL)
        guard try await DaemonProcess.waitForEnd(of: pid, atMost: .seconds(10)) else {
            throw CommandFailure("the daemon (pid \(pid)) does not end, not even by SIGKILL", hint: "What the kernel says: sudo dmesg | tail")
        }
        return true
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

    /// The error that the log ends with, in the words of a command.
    private func lastWords() -> String? {
        guard let size = try? FileSystem.status(directory.daemonLog)?.size, let file = try? FileSystem.open(directory.daemonLog),
            let log = try? file.readPiece(at: max(0, size - 4096), count: 4096)
        else { return nil }
        let lines = String(decoding: log, as: UTF8.self).split(separator: "\n").filter { !$0.hasPrefix("  ") }
        guard let last = lines.last else { return nil }
        return last.lowercased().hasPrefix("error: ") ? String(last.dropFirst(7)) : String(last)
    }

    // One older log is kept; a daemon that runs for long writes little, as nothing is logged per request.
    private func rotateLog() throws {
        guard let size = try FileSystem.status(directory.daemonLog)?.size, size > 16 << 20 else { return }
        try FileSystem.rename(directory.daemonLog, to: "\(directory.daemonLog).1")
    }
}
