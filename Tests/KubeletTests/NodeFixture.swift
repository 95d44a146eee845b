import APIServer
import Client
import Containers
import Core
import HostNetwork
import Kinds
import Linux
import Machinery
import OCI
import Schema
import Store
import Testing
import Transport
import Tree

@testable import Kubelet

/// One node over an API in memory, with a network of its own and an image made of the machine's shell.
final class NodeFixture: Sendable {
    let directory: String
    let name: String
    let client: InProcessClient
    let view: ClusterView
    let store: Store
    let runtime: ContainerRuntime
    let network: NodeNetwork
    let images: NodeImages
    let host: NetworkNamespace
    let link: HostLink

    static let image = "registry.test/shell:1"
    static let isPossible = (try? Files.text("/proc/self/status").contains("\nUid:\t0\t")) ?? false

    private init() throws {
        name = "jangada-kubelet-\(Identifier.suffix(8))"
        directory = "/var/tmp/\(name)"
        try FileSystem.makeDirectories(directory, mode: 0o711)
        store = try Store(.memory)
        let catalog = ResourceCatalog(graph: Graph.builtIn)
        let writer = ObjectWriter(store: store, admission: AdmissionChain([]), conversion: BuiltInConversion(), checks: ObjectChecks())
        let tokens = ServiceAccountTokens(key: try PrivateKey(.ecdsaP256), store: store)
        client = InProcessClient(
            store: store, catalog: catalog, writer: writer, posts: ["serviceaccounts/token": TokenAction(tokens: tokens, store: store)],
            user: UserInfo(name: "system:node:one", groups: ["system:masters"]))
        view = ClusterView(client: client)
        runtime = try ContainerRuntime(stateDirectory: "\(directory)/containers", runtimeDirectory: "\(directory)/run", program: try NodeFixture.program())
        host = try NetworkNamespace.create()
        try host.run { () throws(SystemFailure) in try RouteNetlink().apply { $0.setLink(.name("lo"), up: true) } }
        let plan = NetworkPlan(directory: "/tmp/\(name)")
        link = try HostLink(plan, host: host)
        network = try NodeNetwork("one", address: plan.nodeRange.address(2), podRange: plan.podRange.subnet(0, length: 24), on: link, warmPods: 1)
        let content = try ContentStore(root: "\(directory)/images")
        images = NodeImages(store: try ImageStore(content: content), layers: try LayerStore(content: content), client: RegistryClient())
        try NodeFixture.addImage(content, images.store)
    }

    private static func program() throws -> InitProgram {
        let own = try FileSystem.readLink("/proc/self/exe")
        return try InitProgram(path: "\(FileSystem.parent(of: own))/sandbox-probe")
    }

    private final class Bytes: ByteTarget {
        var all: [UInt8] = []
        func write(_ bytes: UnsafeRawBufferPointer) { all += bytes }
    }

    private static func addImage(_ content: ContentStore, _ store: ImageStore) throws {
        let tar = Bytes()
        let writer = TarWriter(tar)
        for path in ["bin", "lib", "lib64", "etc", "tmp", "proc", "sys", "dev"] { try writer.add(TarEntry(path: path, kind: .directory, mode: 0o755)) }
        for path in ["/bin/sh", "/bin/sleep", "/bin/cat", "/bin/echo", "/bin/hostname"] where FileSystem.exists(path) {
            try writer.add(TarEntry(path: String(path.dropFirst()), kind: .regular, mode: 0o755), try FileSystem.readFile(path))
        }
        for path in [
            "/lib64/ld-linux-x86-64.so.2", "/lib/x86_64-linux-gnu/libc.so.6", "/lib/ld-linux-aarch64.so.1", "/lib/aarch64-linux-gnu/libc.so.6",
        ] where FileSystem.exists(path) {
            let parent = FileSystem.parent(of: String(path.dropFirst()))
            if parent != "lib64" && parent != "lib" { try writer.add(TarEntry(path: parent, kind: .directory, mode: 0o755)) }
            try writer.add(TarEntry(path: String(path.dropFirst()), kind: .regular, mode: 0o755), try FileSystem.readFile(path))
        }
        let passwd = "root:x:0:0::/root:/bin/sh\napp:x:1000:1000::/:/bin/sh\n"
        try writer.add(TarEntry(path: "etc/passwd", kind: .regular, mode: 0o644), Array(passwd.utf8))
        try writer.finish()
        let layer = try content.put(tar.all)
        let config: Node = [
            "architecture": .string(Platform.host.architecture), "os": "linux", "config": ["Env": ["FROM_IMAGE=yes"], "Cmd": ["/bin/sh", "-c", "echo from-image; sleep 1000"]],
            "rootfs": ["type": "layers", "diff_ids": [.string("\(layer)")]],
        ]
        let configDigest = try content.put(config.json)
        let manifest = ImageManifest(
            config: OCI.Descriptor(mediaType: MediaType.ociConfig, digest: configDigest, size: Int64(config.json.count)),
            layers: [OCI.Descriptor(mediaType: MediaType.ociLayer, digest: layer, size: Int64(tar.all.count))])
        let digest = try content.put(manifest.bytes)
        try store.set([image], to: OCI.Descriptor(mediaType: MediaType.ociManifest, digest: digest, size: Int64(manifest.bytes.count)))
    }

    static func with(_ body: (NodeFixture) async throws -> Void) async throws {
        let fixture = try NodeFixture()
        var failure: (any Error)?
        do {
            for name in ["default", "kube-node-lease"] { _ = try await fixture.client.create(.namespaces, namespace: "", ["metadata": ["name": .string(name)]]) }
            _ = try await fixture.client.create(.serviceAccounts, namespace: "default", ["metadata": ["name": "default"]])
            try await body(fixture)
        } catch { failure = error }
        try await fixture.close()
        if let failure { throw failure }
    }

    private func close() async throws {
        try await runtime.destroyAll()
        store.close()
        let pods = "\(directory)/pods"
        for pod in (try? FileSystem.list(pods)) ?? [] {
            for volume in (try? FileSystem.list("\(pods)/\(pod)/volumes")) ?? [] { try Mounts.unmount("\(pods)/\(pod)/volumes/\(volume)") }
        }
        try HostLink.destroy(link.plan, host: host)
        try await runtime.cgroups.group(name).destroy()
        try FileSystem.removeTree(directory)
    }

    func kubelet(_ view: ClusterView) -> Kubelet {
        var node = NodeConfiguration(
            name: "one", addresses: ["\(network.address)"], capacity: ["cpu": Quantity(4), "memory": Quantity(4 << 30, format: .binarySI), "pods": Quantity(110)],
            podsDirectory: "\(directory)/pods", runtimeDirectory: "\(directory)/memory", logsDirectory: "\(directory)/logs", cgroup: name)
        node.clusterDNS = ["10.96.0.10"]
        return Kubelet(node: node, client: client, view: view, runtime: runtime, network: NodePodNetworking(network), images: images)
    }

    /// Runs a kubelet as long as the body; containers stay when it ends.
    func running(_ body: @escaping @Sendable (Kubelet) async throws -> Void) async throws {
        let view = ClusterView(client: client)
        let kubelet = kubelet(view)
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { await view.run() }
            group.addTask { await kubelet.run() }
            group.addTask {
                try await body(kubelet)
                throw CancellationError()
            }
            do { for try await _ in group {} } catch is CancellationError { group.cancelAll() }
        }
    }

    @discardableResult
    func create(_ yaml: String) async throws -> Node {
        var pod = try Node(yaml: yaml)
        if pod["metadata"]["name"].isNull { pod["metadata"]["name"] = "web" }
        pod["metadata"]["namespace"] = "default"
        pod["spec"]["nodeName"] = "one"
        for index in pod["spec"]["containers"].list.indices where pod["spec"]["containers"][index]["image"].isNull {
            pod["spec"]["containers"][index]["image"] = .string(NodeFixture.image)
        }
        return try await client.create(.pods, namespace: "default", pod)
    }

    /// The pod once it is as wanted. Fails with what it was, after far longer than a busy machine needs.
    func wait(_ name: String = "web", _ what: String = "", _ holds: @Sendable @escaping (Node) -> Bool) async throws -> Node {
        var last = Node.null
        let deadline = ContinuousClock.now + .seconds(180)
        while ContinuousClock.now < deadline {
            last = (try? await client.get(.pods, ObjectKey("default", name))) ?? .null
            if holds(last) { return last }
            try await Task.sleep(for: .milliseconds(20))
        }
        let events = try await client.list(.events, ListOptions(namespace: "default")).items.compactMap { $0["message"].string }
        Issue.record("\(what): \(last["status"].jsonText)\n\(events)")
        throw CancellationError()
    }

    static func isReady(_ pod: Node) -> Bool { PodConditions.isTrue(pod, "Ready") }

    func log(_ pod: Node, _ container: String = "app", _ attempt: Int = 0) throws -> [String] {
        let path = "\(directory)/logs/default_\(pod.name)_\(pod.uid)/\(container)/\(attempt).log"
        return try Files.text(path).split(separator: "\n").compactMap { CRILine($0).map { String($0.text) } }
    }
}
