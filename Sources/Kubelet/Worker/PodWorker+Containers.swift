import Client
import Containers
import Core
import Linux
import Logging
import Machinery
import Synchronization
import Tree

extension PodWorker {
    func start(_ name: String, _ attempt: Int) async {
        guard let (role, container) = pod.container(name) else { return }
        do {
            let (made, image) = try await create(name, attempt, role, container)
            do { try await made.start() } catch {
                record("Warning", "Failed", "Error: \(error)", name)
                try? await made.remove()
                throw StartFailure(.run, reason: "RunContainerError", message: "failed to start container \(NodePath.quoted(made.id)): \(error)")
            }
            state.withLock { $0.containers[name] = Running(container: made, attempt: attempt) }
            record("Normal", "Started", "Container started", name)
            let startedAt: Timestamp = if case .running(_, let time) = made.state { time } else { made.state.ended?.startedAt ?? .now() }
            let running = RunningContainer(id: made.id, image: image.name, imageID: image.id, startedAt: startedAt, user: ContainerLabels.user(made.labels),
                resources: container["resources"].isNull ? [:] : container["resources"])
            send(.started(name: name, attempt: attempt, running))
            await withDiscardingTaskGroup { group in
                group.addTask { await self.postStart(name, attempt, container, made) }
                await watch(made, name, attempt, container)
                group.cancelAll()
            }
        } catch let failure as StartFailure {
            send(.startFailed(name: name, attempt: attempt, failure))
        } catch {
            guard !Task.isCancelled else { return }
            send(.startFailed(name: name, attempt: attempt, StartFailure(.creation, reason: "CreateContainerError", message: "\(error)")))
        }
    }

    private func create(_ name: String, _ attempt: Int, _ role: PodView.Role, _ container: Node) async throws -> (Container, LocalImage) {
        let provision = ImageProvision(images: parts.images, objects: parts.objects) { self.record($0, $1, $2, name) }
        let image = try await provision.ensure(container, pod)
        let (sandbox, addresses) = state.withLock { ($0.sandbox, $0.addresses) }
        guard let sandbox else { throw StartFailure(.creation, reason: "CreateContainerError", message: "the sandbox is gone") }
        let target = container["targetContainerName"].string.flatMap { wanted in state.withLock { $0.containers[wanted]?.container.id } }
        let devices = ContainerDevices(directories: ContainerDevices.machineDirectories + ["\(parts.node.kubeletDirectory)/cdi"])
        let plan = ContainerPlan(
            pod: pod, container: container, attempt: attempt, image: image, node: parts.node, paths: paths, volumes: volumes, objects: parts.objects,
            addresses: addresses, target: target, devices: try devices.edits(try parts.claims.devices(pod, container)))
        let spec = try await plan.make()
        try await prepare(name, attempt)
        await removeOld(name, attempt, sandbox)
        try makeRoom(sandbox, pod)
        let made = try sandbox.create(spec)
        record("Normal", "Created", "Container created", name)
        return (made, image)
    }

    private func prepare(_ name: String, _ attempt: Int) async throws {
        let log = paths.log(name, attempt)
        let message = paths.terminationMessage(name, attempt)
        try await parts.threads.run { () throws(SystemFailure) in
            try FileSystem.makeDirectories(FileSystem.parent(of: log), mode: 0o755)
            try FileSystem.makeDirectories(FileSystem.parent(of: message), mode: 0o755)
            _ = try FileSystem.open(message, [.writeOnly, .create, .truncate], mode: 0o666)
            try FileSystem.setPermissions(message, 0o666)
        }
    }

    /// Of each container the run before this one is kept, and its log.
    private func removeOld(_ name: String, _ attempt: Int, _ sandbox: Sandbox) async {
        for old in sandbox.containers where old.labels[Label.container] == name {
            guard let number = old.labels[Label.attempt].flatMap({ Int($0) }), number < attempt - 1 || old.state == .created else { continue }
            try? await old.remove()
        }
        let directory = FileSystem.parent(of: paths.log(name, attempt))
        for file in (try? FileSystem.list(directory)) ?? [] {
            guard let number = Int(file.prefix { $0 != "." }), number < attempt - 1 else { continue }
            try? FileSystem.unlink("\(directory)/\(file)")
        }
    }

    // MARK: - The end of a run

    /// Of a container that ran before this kubelet did.
    func watch(_ name: String, _ attempt: Int) async {
        guard let running = state.withLock({ $0.containers[name] }), running.attempt == attempt, let (_, container) = pod.container(name) else { return }
        await watch(running.container, name, attempt, container)
    }

    private func watch(_ made: Container, _ name: String, _ attempt: Int, _ container: Node) async {
        guard let exit = try? await made.wait() else { return }
        send(.exited(name: name, attempt: attempt, await termination(exit, made.id, name, attempt, container)))
    }

    func termination(_ exit: ContainerExit, _ id: String, _ name: String, _ attempt: Int, _ container: Node) async -> Termination {
        let reason = exit.oomKilled ? "OOMKilled" : exit.code == 0 ? "Completed" : exit.witnessed ? "Error" : "Unknown"
        var out = Termination(exitCode: exit.code, reason: reason, startedAt: exit.startedAt, finishedAt: exit.finishedAt, containerID: id)
        let path = paths.terminationMessage(name, attempt)
        let log = paths.log(name, attempt)
        let fallsBack = container["terminationMessagePolicy"].string == "FallbackToLogsOnError" && exit.code != 0
        out.message = await parts.threads.run { TerminationMessage.read(path, log: fallsBack ? log : nil) }
        return out
    }

    // MARK: - Stopping

    func stop(_ name: String, _ attempt: Int, _ grace: Int64, _ runsHook: Bool) async {
        guard let running = state.withLock({ $0.containers[name] }), running.attempt == attempt else { return }
        let container = running.container
        var left = Duration.seconds(grace)
        if runsHook, grace > 0, let hook = pod.container(name)?.container["lifecycle"]["preStop"], !hook.isNull {
            let began = ContinuousClock.now
            if let message = await Hooks(self).run(hook, container, limit: left), !Task.isCancelled {
                parts.log.debug("preStop hook failed", metadata: ["pod": "\(key)", "container": "\(name)", "error": "\(message)"])
                record("Warning", "FailedPreStopHook", "PreStopHook failed", name)
            }
            left -= ContinuousClock.now - began
        }
        // A hook that took all the time still leaves the program a moment to end by itself.
        let patience = max(left, .seconds(2))
        let signal = container.labels[Label.signal].flatMap { Int32($0) } ?? Signals.terminate
        try? await container.signal(signal)
        let ended = await withTaskGroup(of: Bool.self) { group in
            group.addTask { (try? await container.wait()) != nil }
            group.addTask {
                try? await Task.sleep(for: patience)
                return false
            }
            let first = await group.next() ?? false
            group.cancelAll()
            return first
        }
        // A kubelet that goes away leaves the rest to the next one.
        guard !ended, !Task.isCancelled else { return }
        _ = try? await container.stop(signal: Signals.kill, grace: .zero)
    }

    private func postStart(_ name: String, _ attempt: Int, _ container: Node, _ made: Container) async {
        let hook = container["lifecycle"]["postStart"]
        guard !hook.isNull, let message = await Hooks(self).run(hook, made, limit: nil), !Task.isCancelled else { return }
        send(.postStartFailed(name: name, attempt: attempt, message: message))
    }
}

extension ContainerState {
    var isRunning: Bool { if case .running = self { true } else { false } }
    var ended: ContainerExit? { if case .exited(let exit) = self { exit } else { nil } }
}

/// What a container's labels tell of it.
enum ContainerLabels {
    static func user(_ labels: [String: String]) -> Node {
        guard let parts = labels[Label.user]?.split(separator: ":", omittingEmptySubsequences: false), parts.count == 3, let uid = Int64(parts[0]),
            let gid = Int64(parts[1])
        else { return .null }
        return ["linux": ["uid": .int(uid), "gid": .int(gid), "supplementalGroups": .list(parts[2].split(separator: ",").compactMap { Int64($0) }.map(Node.int))]]
    }
}

/// The last words of a container.
enum TerminationMessage {
    static let limit = 4096

    /// From the file, or where that is empty from the end of the log (where one is given).
    static func read(_ path: String, log: String?) -> String {
        if let text = tail(path, limit), !text.isEmpty { return text }
        guard let log, let text = tail(log, 65536) else { return "" }
        let lines = text.split(separator: "\n").suffix(80).compactMap { CRILine(Substring($0))?.text }
        return String(decoding: lines.joined(separator: "\n").utf8.suffix(2048), as: UTF8.self)
    }

    private static func tail(_ path: String, _ limit: Int) -> String? {
        guard let file = try? FileSystem.open(path), let size = try? file.status().size else { return nil }
        if size > Int64(limit) { try? file.seek(to: size - Int64(limit)) }
        return (try? file.readAll(limit: limit + 4096)).map { String(decoding: $0.prefix(limit), as: UTF8.self) }
    }
}
