import CLinux
import Core
import Glibc
package import Linux
import Logging
import Synchronization

/// A pod's namespaces, held by its init process, and the containers in them.
package final class Sandbox: Sendable {
    package let id: String
    package let labels: [String: String]
    /// Above those of the containers.
    package let cgroup: Cgroup
    let runtime: ContainerRuntime
    static let initGroup = "init"

    private struct State {
        var connection: SandboxConnection?
        var containers: [String: Container] = [:]
        var execs: [UInt64: Signalled<Int32>] = [:]
        var pid: Int32 = 0
        var child: (process: ChildProcess, token: UInt64)?
        var lost = false
        var removed = false
        var notes: [String] = []
    }
    private let state = Mutex(State())
    /// Set once the init has ended, or is nobody's child here and silent.
    private let ended = Signalled<Bool>()
    /// Whether containers may live in the init's pid namespace or the shared one.
    private let sharesProcesses: Bool

    init(id: String, runtime: ContainerRuntime, records: [UInt8]) {
        self.id = id
        self.runtime = runtime
        cgroup = runtime.cgroups.group(records.record(JR_PATH)?.string(0) ?? "jangada/\(id)")
        labels = labelsOf(records)
        sharesProcesses = (records.record(JR_FLAGS)?.number(0) ?? 0) & UInt64(JF_SHARED_PID | JF_HOST_PID) != 0
    }

    package var containers: [Container] { state.withLock { $0.containers.values.sorted { $0.id < $1.id } } }
    package func container(_ id: String) -> Container? { state.withLock { $0.containers[id] } }
    /// The init's process; its /proc/PID/ns are the sandbox's namespaces. 0 once it is gone.
    package var pid: Int32 { state.withLock { $0.lost ? 0 : $0.pid } }
    package var isRunning: Bool { state.withLock { $0.connection != nil && !$0.lost } }
    /// What the sandbox had to do without.
    package var notes: [String] { state.withLock { $0.notes } }

    /// All containers' and the init's use together.
    package func stats() -> CgroupStats { cgroup.stats() }

    /// Prepares a container: directories, cgroup, limits. Nothing runs yet.
    package func create(_ spec: ContainerSpec) throws -> Container {
        try RuntimeLayout.check(spec.id)
        guard spec.id != Sandbox.initGroup, container(spec.id) == nil else {
            throw SystemFailure("create container", spec.id, errno: EEXIST)
        }
        guard !spec.root.layers.isEmpty else { throw SystemFailure("create container", spec.id, errno: EINVAL, hint: "no layers") }
        // Without a shared namespace that would be the host's.
        guard spec.processIDs != .sandbox || sharesProcesses else {
            throw SystemFailure("create container", spec.id, errno: EINVAL, hint: "the sandbox shares no process namespace")
        }
        let paths = runtime.layout.paths(id, spec.id, spec.root.writable)
        let group = cgroup.child(spec.id)
        var records = RecordWriter()
        records.append(records: spec.encode(paths: paths, cgroup: group))
        for (key, value) in spec.labels.sorted(by: { $0.key < $1.key }) { records.put(JR_LABEL, [], [key, value]) }
        let container = Container(id: spec.id, sandbox: self, records: records.bytes, state: .created)
        do {
            for directory in [paths.upper, paths.work, paths.root] { try Files.makeDirectories(directory, mode: 0o755) }
            // It becomes the container's "/": the daemon's umask must not close it to other users.
            guard chmod(paths.upper, 0o755) == 0 else { throw SystemFailure("chmod", paths.upper) }
            try Files.makeDirectories(runtime.layout.container(id, spec.id), mode: 0o700)
            try Files.replace("\(runtime.layout.container(id, spec.id))/spec", records.bytes)
            try group.create()
            var limits = spec.limits
            limits.devices = spec.allowedDevices
            container.note(skipped: try group.apply(limits))
        } catch {
            try? container.removeFiles()
            throw error
        }
        state.withLock { $0.containers[spec.id] = container }
        return container
    }

    /// Kills everything in the sandbox and removes its processes, cgroups and directories. Can be repeated until it succeeds.
    package func remove() async throws {
        state.withLock { $0.removed = true }
        if let connection = state.withLock({ $0.connection }), (try? await connection.request(JANGADA_SHUTDOWN)) != nil {
            // It ends after its containers, and then their groups are empty: better told than tried.
            _ = await ended.wait(atMost: .milliseconds(500))
        }
        try await cgroup.destroy()
        markLost()
        for container in containers { try container.removeFiles() }
        try Files.removeTree(runtime.layout.sandbox(id))
        state.withLock { $0.containers = [:] }
        runtime.forget(self)
    }

    // MARK: - The init

    /// Reaps the init when it ends; it is our child only while this daemon lives.
    func watch(_ child: ChildProcess) {
        guard let loop = try? EventLoopThread.shared.get() else { return }
        let token = try? loop.watch(child.pidfd.raw) { [weak self] _ in self?.reap() }
        state.withLock { state in
            state.pid = child.pid
            state.child = token.map { (child, $0) }
        }
        reap()
    }

    private func reap() {
        guard let (child, token) = state.withLock({ $0.child }), (try? child.reap()) != nil else { return }
        if let loop = try? EventLoopThread.shared.get() { loop.unwatch(child.pidfd.raw, token) }
        state.withLock { $0.child = nil }
        ended.set(true)
        markLost()
    }

    func connect() async throws {
        let connection = try SandboxConnection(
            directory: runtime.layout.sandbox(id), onEvent: { [weak self] type, records in self?.receive(type, records) },
            onClose: { [weak self] in self?.markLost() })
        let reply = try await connection.request(JANGADA_HELLO)
        if let error = reply.records.record(JR_ERROR) {
            connection.close()
            throw ContainerFailure(stage: error.string(0), text: error.string(1), errno: Int32(truncatingIfNeeded: error.number(0)))
        }
        state.withLock { state in
            state.connection = connection
            state.pid = Int32(truncatingIfNeeded: reply.records.record(JR_PID)?.number(0) ?? 0)
            state.notes = RecordReader(reply.records).filter { $0.tag == JR_NOTE }.map { $0.string(0) }
        }
    }

    /// Reads what is on disk, then asks the init, which knows better what runs.
    func adopt() async {
        let directory = runtime.layout.containers(id)
        for name in (try? Files.list(directory)) ?? [] {
            guard let records = try? Files.read("\(directory)/\(name)/spec") else { continue }
            let saved = (try? Files.read("\(directory)/\(name)/state"))?.record(JR_STATUS).flatMap { ContainerState($0) }
            let container = Container(id: name, sandbox: self, records: records, state: saved ?? .created)
            state.withLock { $0.containers[name] = container }
        }
        do {
            try await connect()
            if let connection = state.withLock({ $0.connection }) {
                var id = ""
                for record in RecordReader(try await connection.request(JANGADA_LIST).records) {
                    if record.tag == JR_ID { id = record.string(0) }
                    if record.tag == JR_STATUS, let state = ContainerState(record) { container(id)?.update(state) }
                }
            }
        } catch {
            runtime.log.warning("sandbox lost", metadata: ["sandbox": "\(id)", "error": "\(error)"])
            markLost()
        }
    }

    func request(_ type: Int, _ records: [UInt8], descriptors: [Descriptor] = []) async throws -> SandboxConnection.Reply {
        guard let connection = state.withLock({ $0.connection }) else { throw SystemFailure("sandbox", id, errno: ENOTCONN) }
        return try await connection.request(type, records, descriptors: descriptors)
    }

    func expectExit(of exec: UInt64) -> Signalled<Int32> {
        let exit = Signalled<Int32>()
        state.withLock { $0.execs[exec] = exit }
        return exit
    }

    func forgetExec(_ exec: UInt64) { state.withLock { _ = $0.execs.removeValue(forKey: exec) } }
    func forget(_ container: Container) { state.withLock { _ = $0.containers.removeValue(forKey: container.id) } }

    private func receive(_ type: Int, _ records: [UInt8]) {
        guard let status = records.record(JR_STATUS) else { return }
        if type == JANGADA_EVENT_EXEC_EXIT, let exec = records.record(JR_EXEC)?.number(0) {
            let exit = state.withLock { $0.execs.removeValue(forKey: exec) }
            exit?.set(Int32(truncatingIfNeeded: status.number(4)))
        } else if type == JANGADA_EVENT_EXIT, let id = records.record(JR_ID)?.string(0), let new = ContainerState(status) {
            container(id)?.update(new)
        }
    }

    /// The init is gone, and its containers' parent with it: they were told to die with it.
    private func markLost() {
        let (first, connection, execs, quiet, isChild) = state.withLock { state in
            defer {
                state.lost = true
                state.connection = nil
                state.execs = [:]
            }
            return (!state.lost, state.connection, Array(state.execs.values), state.removed, state.child != nil)
        }
        if !isChild { ended.set(true) }
        guard first else { return }
        connection?.close()
        for exec in execs { exec.set(255) }
        for container in containers { container.lose() }
        if !quiet { runtime.publish(.lost(sandbox: id)) }
    }
}

func labelsOf(_ records: [UInt8]) -> [String: String] {
    var out: [String: String] = [:]
    for record in RecordReader(records) where record.tag == JR_LABEL { out[record.string(0)] = record.string(1) }
    return out
}
