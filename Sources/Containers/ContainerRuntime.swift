import CLinux
package import Core
import Glibc
package import Linux
package import Logging
import Synchronization

/// Makes sandboxes, finds those of an earlier daemon, and removes both without a trace.
package final class ContainerRuntime: Sendable {
    package let cgroups: CgroupHierarchy
    let layout: RuntimeLayout
    let program: InitProgram
    let log: Logger
    private let events = EventHub()
    private let sandboxes = Mutex<[String: Sandbox]>([:])

    /// `stateDirectory` is for writable layers, `runtimeDirectory` for sockets and states (/run: gone after a boot, as the processes are).
    package init(
        stateDirectory: String, runtimeDirectory: String, program: InitProgram? = nil, cgroups: CgroupHierarchy? = nil,
        log: Logger = Logger(label: "containers")
    ) throws(SystemFailure) {
        layout = RuntimeLayout(state: stateDirectory, runtime: runtimeDirectory)
        self.cgroups = if let cgroups { cgroups } else { try CgroupHierarchy.detect() }
        self.program = if let program { program } else { try InitProgram.ownExecutable() }
        self.log = log
        try Files.makeDirectories(layout.sandboxes, mode: 0o700)
        try Files.makeDirectories(layout.writable, mode: 0o700)
    }

    /// All that happens from now on. Who falls behind by more than 4096 events loses the oldest: states remain to be asked.
    package func subscribe() -> AsyncStream<ContainerEvent> { events.subscribe() }

    package func sandbox(_ id: String) -> Sandbox? { sandboxes.withLock { $0[id] } }
    package var all: [Sandbox] { sandboxes.withLock { $0.values.sorted { $0.id < $1.id } } }

    /// A running sandbox: namespaces made, hostname and sysctls set, ready for containers.
    package func createSandbox(_ spec: SandboxSpec) async throws -> Sandbox {
        try RuntimeLayout.check(spec.id)
        // Everything in that group is killed when the sandbox goes.
        guard !cgroups.group(spec.cgroup).path.isEmpty else { throw SystemFailure("create sandbox", spec.id, errno: EINVAL, hint: "no cgroup") }
        let directory = layout.sandbox(spec.id)
        // Of two callers with the same id, one makes the directory.
        guard mkdir(directory, 0o700) == 0 else { throw SystemFailure("create sandbox", spec.id) }
        let records = spec.encode(directory: directory)
        let sandbox = Sandbox(id: spec.id, runtime: self, records: records)
        do {
            try Files.makeDirectories("\(directory)/containers", mode: 0o700)
            try Files.replace("\(directory)/sandbox", records)
            try sandbox.cgroup.create()
            for name in try sandbox.cgroup.apply(spec.limits) {
                log.debug("cgroup file missing", metadata: ["sandbox": "\(spec.id)", "file": "\(name)"])
            }
            let home = sandbox.cgroup.child(Sandbox.initGroup)
            try home.create()
            let child = try program.start(spec: spec, records: records, directory: directory, cgroup: home)
            sandbox.watch(child)
            try await sandbox.connect()
        } catch {
            try? await sandbox.remove()
            throw error
        }
        sandboxes.withLock { $0[spec.id] = sandbox }
        return sandbox
    }

    /// Takes over what an earlier daemon left: running sandboxes with their containers, and dead ones, whose containers count as exited.
    @discardableResult
    package func adoptAll() async throws -> [Sandbox] {
        var found: [Sandbox] = []
        for id in try Files.list(layout.sandboxes) where sandbox(id) == nil {
            guard let records = try? Files.read("\(layout.sandbox(id))/sandbox") else {
                // Killed between making the directory and writing the spec: nothing ran in it.
                try? Files.removeTree(layout.sandbox(id))
                continue
            }
            let sandbox = Sandbox(id: id, runtime: self, records: records)
            await sandbox.adopt()
            sandboxes.withLock { $0[id] = sandbox }
            found.append(sandbox)
        }
        try removeStrayLayers()
        return found
    }

    /// Writable layers whose container no sandbox knows, as a reboot leaves them.
    private func removeStrayLayers() throws {
        let known = Set(all.flatMap { $0.containers.map(\.id) })
        for id in try Files.list(layout.writable) where !known.contains(id) { try? Files.removeTree("\(layout.writable)/\(id)") }
    }

    /// Ends every sandbox, also those not adopted yet, and removes what they had.
    package func destroyAll() async throws {
        try await adoptAll()
        var failure: (any Error)?
        for sandbox in all { do { try await sandbox.remove() } catch { failure = failure ?? error } }
        try removeStrayLayers()
        if let failure { throw failure }
    }

    func publish(_ event: ContainerEvent) { events.publish(event) }
    func forget(_ sandbox: Sandbox) { sandboxes.withLock { if $0[sandbox.id] === sandbox { $0[sandbox.id] = nil } } }
}

/// Hands every event to every subscriber.
final class EventHub: Sendable {
    private struct State {
        var next: UInt64 = 0
        var subscribers: [UInt64: AsyncStream<ContainerEvent>.Continuation] = [:]
    }
    private let state = Mutex(State())

    func subscribe() -> AsyncStream<ContainerEvent> {
        let (stream, continuation) = AsyncStream.makeStream(of: ContainerEvent.self, bufferingPolicy: .bufferingNewest(4096))
        let id = state.withLock { state in
            state.next += 1
            state.subscribers[state.next] = continuation
            return state.next
        }
        continuation.onTermination = { [weak self] _ in self?.state.withLock { _ = $0.subscribers.removeValue(forKey: id) } }
        return stream
    }

    func publish(_ event: ContainerEvent) {
        let subscribers = state.withLock { Array($0.subscribers.values) }
        for subscriber in subscribers { subscriber.yield(event) }
    }
}

/// The program that becomes the sandbox init: the same executable, told by its argv[0].
package struct InitProgram: Sendable {
    private let executable: Descriptor

    /// The file is cloned as a read-only mount of its own: a container's process that gets hold of /proc/PID/exe cannot write to it.
    package init(path: String) throws(SystemFailure) {
        let tree = jangada_open_tree(AT_FDCWD, path, UInt32(JANGADA_OPEN_TREE_CLONE))
        if tree >= 0 {
            executable = Descriptor(tree)
            guard jangada_mount_setattr(tree, "", 0x1000 /* AT_EMPTY_PATH */, UInt64(JANGADA_ATTR_RDONLY), 0, 0) == 0 else {
                throw SystemFailure("mount_setattr", path)
            }
        } else {
            executable = try Descriptor.open(path, Int32(JANGADA_O_PATH))
        }
    }

    package static func ownExecutable() throws(SystemFailure) -> InitProgram { try InitProgram(path: "/proc/self/exe") }

    func start(spec: SandboxSpec, records: [UInt8], directory: String, cgroup: Cgroup) throws(SystemFailure) -> ChildProcess {
        let socket = try UnixSocket.listen(directory: directory, name: "sock")
        let errors = try Descriptor.open("\(directory)/init.log", O_WRONLY | O_CREAT | O_APPEND, mode: 0o600)
        var network: Descriptor?
        if case .given(let namespace) = spec.network {
            let copy = fcntl(namespace.descriptor, F_DUPFD_CLOEXEC, 3)
            guard copy >= 0 else { throw SystemFailure("dup", "network namespace") }
            network = Descriptor(copy)
        }
        var spawn = Spawn(.descriptor(executable), arguments: [JANGADA_SANDBOX_NAME, spec.id])
        spawn.environment = ["PATH=/usr/bin:/bin"]
        spawn.descriptors = [nil, errors, errors, socket, try Descriptor.memory("sandbox", records), network]
        spawn.directory = "/"
        spawn.tasks = cgroup.taskFiles
        if let unified = cgroup.unifiedDirectory { spawn.cgroup = try Descriptor.open(unified, Int32(JANGADA_O_PATH) | O_DIRECTORY) }
        return try spawn.start()
    }
}
