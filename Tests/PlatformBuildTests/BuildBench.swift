import Containers
import Core
import Glibc
import HostNetwork
import ImageBuilder
import Linux
import OCI
import Synchronization
import Testing

@testable import Platform

/// A builder whose commands run in real sandboxes, over an image made of the machine's own shell; everything goes when the body ends.
final class BuildBench: Sendable {
    let name = "jangada-build-\(Identifier.suffix(8))"
    let path: String
    let images: ImageStore
    let layers: LayerStore
    let runtime: ContainerRuntime
    let sandbox: BuildSandbox
    let builder: ImageBuilder
    let lines = Mutex<[String]>([])
    private let network: NodeNetwork
    private let link: HostLink
    private let host: NetworkNamespace

    static let isPossible = geteuid() == 0
    static let needs: Comment = "needs root, for containers"

    private init() throws {
        path = "/var/tmp/\(name)"
        try FileSystem.makeDirectories("\(path)/context", mode: 0o711)
        images = try ImageStore(content: try ContentStore(root: "\(path)/images"))
        layers = try LayerStore(content: images.content)
        let own = try FileSystem.readLink("/proc/self/exe")
        runtime = try ContainerRuntime(
            stateDirectory: "\(path)/containers", runtimeDirectory: "\(path)/run", program: try InitProgram(path: "\(FileSystem.parent(of: own))/sandbox-probe"))
        host = try NetworkNamespace.create()
        try host.run { () throws(SystemFailure) in try RouteNetlink().apply { $0.setLink(.name("lo"), up: true) } }
        let plan = NetworkPlan(directory: "/tmp/\(name)")
        link = try HostLink(plan, host: host)
        network = try NodeNetwork("one", address: plan.nodeRange.address(2), podRange: plan.podRange.subnet(0, length: 24), on: link, warmPods: 1)
        sandbox = BuildBench.sandbox(runtime, network.pods, path, name)
        builder = try ImageBuilder(images: images, layers: layers, sandbox: sandbox)
        // The programs with every library they name, where they name it.
        try BuildBench.shell(
            """
            mkdir -p \(path)/context/root/bin \(path)/context/root/etc && cd \(path)/context/root
            echo 'root:x:0:0::/root:/bin/sh' > etc/passwd && echo 'app:x:1000:1000::/home/app:/bin/sh' >> etc/passwd && echo 'app:x:1000:' > etc/group
            for p in sh rm mkdir cat id sleep ls; do
              f=$(readlink -f $(command -v $p)) && cp $f bin/$p && ldd $f | grep -o '/[^ ]*' | while read l; do mkdir -p .$(dirname $l) && cp -L $l .$l; done
            done
            """)
    }

    private static func sandbox(_ runtime: ContainerRuntime, _ pods: PodNetwork, _ path: String, _ name: String) -> BuildSandbox {
        BuildSandbox(
            runtime: runtime, pods: pods,
            .init(cgroup: BuildSandbox.cgroup(of: name), caches: "\(path)/caches", secrets: "\(path)/run/secrets", resolver: "10.96.0.10"))
    }

    /// The same machine as the next daemon finds it.
    func successor() throws -> (ContainerRuntime, BuildSandbox) {
        let runtime = try ContainerRuntime(stateDirectory: "\(path)/containers", runtimeDirectory: "\(path)/run", program: try InitProgram.ownExecutable())
        return (runtime, BuildBench.sandbox(runtime, network.pods, path, name))
    }

    static func shell(_ script: String) throws {
        var pid = pid_t()
        var arguments: [UnsafeMutablePointer<CChar>?] = [strdup("sh"), strdup("-ec"), strdup(script), nil]
        defer { for argument in arguments { free(argument) } }
        try #require(posix_spawn(&pid, "/bin/sh", nil, nil, &arguments, environ) == 0)
        var status: Int32 = 0
        while waitpid(pid, &status, 0) < 0, errno == EINTR {}
        try #require(status == 0)
    }

    static func with(_ body: (BuildBench) async throws -> Void) async throws {
        let bench = try BuildBench()
        let result: Result<Void, any Error>
        do { result = .success(try await body(bench)) } catch { result = .failure(error) }
        try await bench.runtime.destroyAll()
        try HostLink.destroy(bench.link.plan, host: bench.host)
        try await bench.runtime.cgroups.group(bench.name).destroy()
        try FileSystem.removeTree(bench.path)
        try result.get()
    }

    /// Builds upon the shell image; the tree of the result.
    @discardableResult
    func build(_ steps: String, _ edit: (inout BuildRequest) -> Void = { _ in }) async throws -> (tree: LayeredTree, config: ImageConfig, manifest: ImageManifest) {
        var request = BuildRequest(context: "\(path)/context", dockerfile: "FROM scratch AS base\nCOPY root/ /\n" + steps)
        request.tags = ["built:1"]
        edit(&request)
        lines.withLock { $0 = [] }
        let target = try await builder.build(request) { line in self.lines.withLock { $0.append(line) } }
        let (_, manifest) = try images.manifest(of: target)
        let config = try images.config(of: manifest)
        return (LayeredTree(layers: try await layers.unpack(manifest, config)), config, manifest)
    }

    func text(_ tree: LayeredTree, _ path: String) throws -> String? {
        try tree.find(path).map { String(decoding: try FileSystem.readFile($0.file), as: UTF8.self) }
    }

    /// Paths in the uppermost layer.
    func last(_ manifest: ImageManifest) throws -> [String] {
        let layer = try #require(manifest.layers.last)
        let tar = TarReader(try Compression.unpack(FileSource(try images.content.open(layer.digest))))
        var names: [String] = []
        while let entry = try tar.next() { names.append(entry.path) }
        return names.sorted()
    }

    func has(_ line: String) -> Bool { lines.withLock { $0.contains { $0.hasSuffix(" " + line) } } }

    /// What commands have left on the machine.
    func leftovers() throws -> [String] {
        try FileSystem.list("\(path)/run/sandboxes") + FileSystem.list("\(path)/containers/containers") + FileSystem.list("\(path)/images/layers/tmp")
            + network.pods.attachments().map(\.podID) + runtime.cgroups.group(BuildSandbox.cgroup(of: name)).children()
            + ((try? FileSystem.list("\(path)/run/secrets")) ?? [])
    }
}
