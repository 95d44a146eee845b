import CLinux
import Core
import Glibc
package import Linux
import Synchronization

/// One container of a sandbox, from its creation to its removal.
package final class Container: Sendable {
    package let id: String
    package let labels: [String: String]
    package let cgroup: Cgroup
    /// As the sandbox init got it; an exec inherits from it.
    let records: [UInt8]
    /// Strong: a caller may keep a container longer than its sandbox. Removal breaks the circle.
    let sandbox: Sandbox

    private struct Life {
        var state: ContainerState
        var notes: [String] = []
        var starting = false
    }
    private let life: Mutex<Life>
    private let exit: Signalled<ContainerExit>

    init(id: String, sandbox: Sandbox, records: [UInt8], state: ContainerState) {
        self.id = id
        self.sandbox = sandbox
        self.records = records
        labels = labelsOf(records)
        cgroup = sandbox.cgroup.child(id)
        life = Mutex(Life(state: state))
        exit = Signalled(state.exit)
    }

    package var state: ContainerState { life.withLock { $0.state } }
    /// What the container had to do without on this machine.
    package var notes: [String] { life.withLock { $0.notes } }
    package var terminal: Bool { flags & JF_TTY != 0 }
    package var logPath: String? { records.record(JR_LOG)?.string(0) }
    /// The writable layer on the host.
    package var upperDirectory: String { records.record(JR_UPPER)?.string(0) ?? sandbox.runtime.layout.paths(sandbox.id, id).upper }
    private var flags: Int { Int(records.record(JR_FLAGS)?.number(0) ?? 0) }

    package func stats() -> CgroupStats { cgroup.stats() }

    /// Returns when the program runs: its file was found and executed. May be called once.
    package func start() async throws { try await start(JFD_SPEC, []) }

    /// `theirs` are the program's own ends of its streams, in the order of their bits.
    func start(_ bits: Int, _ theirs: [Descriptor]) async throws {
        let free = life.withLock { life in
            guard life.state == .created, !life.starting else { return false }
            life.starting = true
            return true
        }
        guard free else { throw SystemFailure("start container", id, errno: EBUSY) }
        var message = head()
        message.put(JR_FDS, [UInt64(bits)])
        let spec = try Descriptor.memory("container", records)
        let reply = try await sandbox.request(JANGADA_START, message.bytes, descriptors: [spec] + theirs)
        life.withLock { $0.notes += RecordReader(reply.records).filter { $0.tag == JR_NOTE }.map { $0.string(0) } }
        do { try check(reply, "start container") } catch {
            life.withLock { $0.starting = false }
            throw error
        }
        if let status = reply.records.record(JR_STATUS), let state = ContainerState(status) { update(state) }
    }

    /// To the container's first process only.
    package func signal(_ number: Int32) async throws {
        var message = head()
        message.put(JR_SIGNAL, [UInt64(number)])
        try check(try await sandbox.request(JANGADA_KILL, message.bytes), "signal container")
    }

    /// Throws only when the waiting task is cancelled.
    package func wait() async throws -> ContainerExit { try await exit.wait() }

    /// The signal, then after the grace period SIGKILL. Returns when it has ended; at once where it does not run.
    @discardableResult
    package func stop(signal number: Int32 = SIGTERM, grace: Duration) async throws -> ContainerExit? {
        guard case .running = state else { return state.exit }
        if grace > .zero {
            try? await signal(number)
            if let exit = await exit.wait(atMost: grace) { return exit }
        }
        try? await signal(SIGKILL)
        if let exit = await exit.wait(atMost: .seconds(5)) {
            // Without a pid namespace of its own it may have left processes behind.
            if flags & JF_NEW_PID == 0 { cgroup.killAll() }
            return exit
        }
        cgroup.killAll()
        return try await exit.wait()
    }

    /// The log file was renamed: go on in a new one.
    package func reopenLog() async throws { try check(try await sandbox.request(JANGADA_REOPEN_LOG, head().bytes), "reopen log") }

    package func resize(rows: UInt16, columns: UInt16) async throws {
        var message = head()
        message.put(JR_WINDOW, [UInt64(rows), UInt64(columns)])
        try check(try await sandbox.request(JANGADA_RESIZE, message.bytes), "resize terminal")
    }

    /// Stops what runs and removes the container's cgroup and directories; its log stays. Can be repeated until it succeeds.
    package func remove() async throws {
        if case .running = state { try await stop(grace: .zero) }
        _ = try? await sandbox.request(JANGADA_FORGET, head().bytes)
        try await cgroup.destroy()
        try removeFiles()
        sandbox.forget(self)
    }

    // MARK: - For the sandbox

    func head() -> RecordWriter {
        var out = RecordWriter()
        out.put(JR_ID, [], [id])
        return out
    }

    func check(_ reply: SandboxConnection.Reply, _ operation: String) throws {
        if let error = reply.records.record(JR_ERROR) {
            throw ContainerFailure(stage: error.string(0), text: error.string(1), errno: Int32(truncatingIfNeeded: error.number(0)))
        }
        guard reply.status == 0 else { throw SystemFailure(operation, id, errno: reply.status) }
    }

    func note(skipped files: [String]) {
        guard !files.isEmpty else { return }
        life.withLock { $0.notes += files.map { "no \($0) on this machine" } }
    }

    /// Only forward: an exit that overtook the reply to the start stays. Every exit is told after its start, also then.
    func update(_ new: ContainerState) {
        let started = ContainerEvent.started(sandbox: sandbox.id, container: id)
        life.withLock { life in
            // Told under the lock: two threads must not swap their news.
            switch (life.state, new) {
            case (.created, .running): sandbox.runtime.publish(started)
            case (.created, .exited(let exit)):
                sandbox.runtime.publish(started)
                sandbox.runtime.publish(.exited(sandbox: sandbox.id, container: id, exit))
            case (.running, .exited(let exit)): sandbox.runtime.publish(.exited(sandbox: sandbox.id, container: id, exit))
            default: return
            }
            life.state = new
        }
        if case .exited(let exit) = new { self.exit.set(exit) }
    }

    func lose() {
        guard case .running(_, let startedAt) = state else { return }
        // It may have ended in the init's care, and only the news was lost.
        let path = sandbox.runtime.layout.paths(sandbox.id, id).state
        if let record = (try? Files.read(path))?.record(JR_STATUS), let saved = ContainerState(record), saved.exit != nil {
            return update(saved)
        }
        cgroup.killAll()
        update(.exited(ContainerExit(code: 255, signal: 0, startedAt: startedAt, finishedAt: .now(), oomKilled: false, witnessed: false)))
    }

    /// The spec goes last: as long as it is there, an adopting daemon knows of the rest.
    func removeFiles() throws(SystemFailure) {
        let layout = sandbox.runtime.layout
        try Files.removeTree("\(layout.writable)/\(id)")
        try Files.removeTree(layout.container(sandbox.id, id))
    }
}
