import Containers
import Core
import HostNetwork
import ImageBuilder
import Kubelet
import Linux
import Logging

/// Runs the commands of builds, each in a sandbox of its own with the rights and the network of an ordinary pod. When `run` returns,
/// nothing of the command is left but what it wrote; what a killed daemon left is ended by the next one.
final class BuildSandbox: CommandSandbox {
    struct Options: Sendable {
        /// Above the groups of the commands.
        var cgroup: String
        /// Of `RUN --mount=type=cache`; kept.
        var caches: String
        /// On a file system in memory.
        var secrets: String
        /// Answers DNS in the networks that are lent.
        var resolver = ""
    }

    private let runtime: ContainerRuntime
    private let pods: PodNetwork?
    private let options: Options
    private let caches: BuildCaches
    private let log = Logger(label: "builds")

    private static let label = "jangada.build"
    static func cgroup(of cluster: String) -> String { "\(cluster)/builds" }

    /// `pods` lends networks; without it commands have none.
    init(runtime: ContainerRuntime, pods: PodNetwork?, _ options: Options) {
        self.runtime = runtime
        self.pods = pods
        self.options = options
        caches = BuildCaches(root: options.caches)
    }

    func run(_ command: SandboxCommand, output: @escaping @Sendable ([UInt8]) -> Void) async throws -> Int32 {
        let id = NodePodNetworking.buildPrefix + Identifier.suffix(16)
        let mounts = try await BuildMounts(command, caches: caches, secrets: "\(options.secrets)/\(id)")
        let result: Result<Int32, any Error>
        do { result = .success(try await execute(id, command, mounts, output)) } catch { result = .failure(error) }
        // In a task of its own, which the build's cancellation does not reach.
        await Task { await remove(id) }.value
        mounts.release()
        return try result.get()
    }

    /// Ends what an earlier daemon's builds left.
    func removeStray() async {
        for sandbox in runtime.all where sandbox.labels[BuildSandbox.label] != nil { await remove(sandbox.id) }
        for attachment in pods?.attachments() ?? [] where attachment.podID.hasPrefix(NodePodNetworking.buildPrefix) {
            await remove(attachment.podID)
        }
        try? FileSystem.removeTree(options.secrets)
    }

    private func remove(_ id: String) async {
        do {
            try await runtime.sandbox(id)?.remove()
            guard let pods else { return }
            try await BlockingThreads.shared.run { () throws(SystemFailure) in
                try pods.detach(id)
                try pods.refill()
            }
        } catch {
            log.warning("build sandbox not removed", metadata: ["sandbox": "\(id)", "error": "\(error)"])
        }
    }

    // MARK: - A command

    private func execute(_ id: String, _ command: SandboxCommand, _ mounts: BuildMounts, _ output: @Sendable ([UInt8]) -> Void) async throws -> Int32 {
        let files = BuildFiles(command, hostname: "buildsandbox", resolver: options.resolver)
        var box = SandboxSpec(id: id, cgroup: "\(options.cgroup)/\(id)")
        box.hostname = files.hostname
        box.network = try await network(id, command.network)
        box.labels = [BuildSandbox.label: "1"]
        let spec = try await BlockingThreads.shared.run { () throws(any Error) in
            try files.write(places: mounts.places)
            return try BuildSandbox.spec("\(id)-run", command, files, mounts)
        }
        let sandbox = try await runtime.createSandbox(box)
        try Task.checkCancellation()
        let container = try sandbox.create(spec)
        let streams: (input: AsyncDescriptor?, output: AsyncDescriptor)
        do { streams = try await container.startWithStreams(stdin: !command.input.isEmpty) } catch let error as ContainerFailure {
            throw CommandFailure(error.message)
        }
        try await withThrowingTaskGroup(of: Void.self) { group in
            if let input = streams.input {
                group.addTask {
                    // A program need not read all, or anything, of what it is offered.
                    try? await input.write(command.input)
                    input.close()
                }
            }
            while let bytes = try await streams.output.read() { output(bytes) }
            group.cancelAll()
        }
        let exit = try await container.wait()
        guard exit.witnessed else { throw CommandFailure("the sandbox was lost") }
        return exit.code
    }

    private func network(_ id: String, _ mode: String) async throws -> SandboxSpec.Network {
        if mode == "host" { return .host }
        if mode == "default", let pods {
            let path = try await BlockingThreads.shared.run { () throws(SystemFailure) in try pods.attach(id).path }
            return .given(try NetworkNamespace.open(path))
        }
        let empty = try NetworkNamespace.create()
        try empty.run { () throws(SystemFailure) in try RouteNetlink().apply { $0.setLink(.name("lo"), up: true) } }
        return .given(empty)
    }

    private static func spec(_ id: String, _ command: SandboxCommand, _ files: BuildFiles, _ mounts: BuildMounts) throws -> ContainerSpec {
        let image = RootFilesystem(layers: command.lower)
        let found: UserLookup.Found
        do throws(SystemFailure) { found = try UserLookup(image).resolve(command.user) } catch {
            throw CommandFailure(error.hint ?? "\(error)")
        }
        let capabilities = CapabilitySets.standard
        var process = ProcessSpec(
            arguments: command.arguments, seccomp: try SeccompFilter.runtimeDefault(capabilities: capabilities.bounding))
        process.capabilities = capabilities
        process.environment = environment(command.environment, home: found.home)
        process.directory = command.workingDirectory
        process.user = found.user
        let root = RootFilesystem(
            layers: command.lower + [files.stubs], writable: WritableLayer(upper: command.upper, work: files.work))
        var spec = ContainerSpec(id: id, root: root, process: process)
        spec.mounts += files.mounts + mounts.mounts
        return spec
    }

    private static func environment(_ given: [String], home: String) -> [String] {
        var out = given
        for (name, value) in [("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"), ("HOME", home)]
        where !given.contains(where: { $0.hasPrefix("\(name)=") }) {
            out.append("\(name)=\(value)")
        }
        return out
    }
}
