import Client
import Core
import Linux
import Machinery
import Schema
import Synchronization
import Tree

/// The volumes of one pod on this node: made, kept current and taken away again. Everything can be repeated.
final class PodVolumes: Sendable {
    private let paths: PodPaths
    private let node: NodeConfiguration
    private let objects: ObjectSource
    private let tokens = ServiceAccountTokenCache()
    private let threads: BlockingThreads
    private let images: NodeImages
    /// Of the pod's events: type, reason, message.
    private let record: @Sendable (String, String, String) -> Void
    private let sources = Mutex<[String: String]>([:])
    /// What a volume is made of may change while it is made: the one who reads last writes last.
    private let writing = Turns<String>()

    init(
        paths: PodPaths, node: NodeConfiguration, objects: ObjectSource, threads: BlockingThreads, images: NodeImages,
        record: @escaping @Sendable (String, String, String) -> Void
    ) {
        self.images = images
        self.record = record
        self.paths = paths
        self.node = node
        self.objects = objects
        self.threads = threads
    }

    /// Where a volume is on the machine.
    func source(_ name: String) -> String? { sources.withLock { $0[name] } }
    var nextRenewal: Timestamp? { tokens.nextRenewal }

    static func isContent(_ volume: Node) -> Bool { ["configMap", "secret", "downwardAPI", "projected"].contains { volume.has($0) } }

    func prepare(_ pod: PodView) async throws {
        for volume in pod.spec["volumes"].list {
            let name = volume["name"].string ?? ""
            do {
                let path = try await prepare(volume, name, pod)
                sources.withLock { $0[name] = path }
            } catch {
                throw VolumeFailure("MountVolume.SetUp failed for volume \(NodePath.quoted(name)) : \(error)")
            }
        }
    }

    /// Brings what comes from the API up to date. A source that went away leaves the files as they are.
    func refresh(_ pod: PodView) async {
        for volume in pod.spec["volumes"].list where PodVolumes.isContent(volume) {
            _ = try? await writeContent(volume, volume["name"].string ?? "", pod)
        }
    }

    func remove(_ pod: PodView) async throws {
        let state = paths.state
        let memory = paths.memory
        try await threads.run { () throws(SystemFailure) in
            let volumes = "\(state)/volumes"
            if FileSystem.exists(volumes) { for name in try FileSystem.list(volumes) { try Mounts.unmount("\(volumes)/\(name)") } }
            try FileSystem.removeTree(state)
            try FileSystem.removeTree(memory)
        }
    }

    // MARK: - Kinds

    private func prepare(_ volume: Node, _ name: String, _ pod: PodView) async throws -> String {
        if PodVolumes.isContent(volume) { return try await writeContent(volume, name, pod) }
        if volume.has("emptyDir") { return try await emptyDirectory(volume["emptyDir"], name, pod) }
        if volume.has("hostPath") {
            let path = node.machinePath(volume["hostPath"]["path"].string ?? "")
            try HostPathVolume.prepare(path, type: volume["hostPath"]["type"].string ?? "")
            return path
        }
        if volume.has("image") { return try await imageContent(volume["image"], name, pod) }
        let claim = volume.has("ephemeral") ? "\(pod.name)-\(name)" : volume["persistentVolumeClaim"]["claimName"].string
        if let claim { return try await claimed(claim, pod) }
        throw VolumeFailure("no volume plugin matched")
    }

    private func writeContent(_ volume: Node, _ name: String, _ pod: PodView) async throws -> String {
        let downward = DownwardAPI(
            pod: pod, nodeName: node.name, hostAddresses: node.addresses, addresses: pod.status["podIPs"].list.compactMap { $0["ip"].string },
            allocatable: node.allocatable)
        let content = VolumeContent(downward: downward, objects: objects, tokens: tokens, user: PodVolumes.commonUser(pod))
        let path = paths.content(name)
        let directory = AtomicDirectory(path: path, group: PodVolumes.group(pod))
        await writing.take(name)
        defer { writing.giveBack(name) }
        let files = try await content.files(volume)
        _ = try await threads.run { () throws(SystemFailure) in try directory.write(files) }
        return path
    }

    /// The files of an image, to be read only.
    private func imageContent(_ source: Node, _ name: String, _ pod: PodView) async throws -> String {
        var wish: Node = ["image": source["reference"]]
        wish["imagePullPolicy"] = source["pullPolicy"]
        let layers: [String]
        do { layers = try await ImageProvision(images: images, objects: objects, record: record).ensure(wish, pod).layers } catch let failure as StartFailure {
            throw VolumeFailure(failure.message)
        }
        let path = paths.volume(name)
        try await threads.run { () throws(SystemFailure) in
            try FileSystem.makeDirectories(path, mode: 0o755)
            try Mounts.overlay(layers, at: path)
        }
        return path
    }

    private func emptyDirectory(_ source: Node, _ name: String, _ pod: PodView) async throws -> String {
        let path = paths.volume(name)
        let isMemory = source["medium"].string == "Memory"
        let size = Amount.bytes(source["sizeLimit"]) ?? (isMemory ? PodVolumes.memoryLimit(pod) : nil)
        let group = PodVolumes.group(pod)
        try await threads.run { () throws(SystemFailure) in
            let exists = FileSystem.exists(path)
            try FileSystem.makeDirectories(FileSystem.parent(of: path), mode: 0o755)
            try FileSystem.makeDirectories(path, mode: 0o777)
            if isMemory { try Mounts.tmpfs(at: path, size: size) }
            if exists && !isMemory { return }
            try FileSystem.setPermissions(path, group == nil ? 0o777 : 0o2777)
            if let group { try FileSystem.setOwner(path, user: 0, group: group) }
        }
        return path
    }

    private func claimed(_ claim: String, _ pod: PodView) async throws -> String {
        guard let found = try await objects.find(.persistentVolumeClaims, pod.namespace, claim) else {
            throw VolumeFailure("persistentvolumeclaim \(NodePath.quoted(claim)) not found")
        }
        guard let name = found["spec"]["volumeName"].string, !name.isEmpty, found["status"]["phase"].string == "Bound" else {
            throw VolumeFailure("PVC is not bound")
        }
        guard let volume = try await objects.find(.persistentVolumes, "", name) else {
            throw VolumeFailure("persistentvolume \(NodePath.quoted(name)) not found")
        }
        let spec = volume["spec"]
        guard let path = spec["hostPath"]["path"].string ?? spec["local"]["path"].string else {
            throw VolumeFailure("no volume plugin matched name: \(name)")
        }
        if spec.has("hostPath") { try HostPathVolume.prepare(path, type: spec["hostPath"]["type"].string ?? "") }
        if spec.has("local"), !FileSystem.exists(path) { throw VolumeFailure("path \(NodePath.quoted(path)) does not exist") }
        if let group = PodVolumes.group(pod) {
            let threads = threads
            try await threads.run { () throws(SystemFailure) in
                try FileSystem.setOwner(path, user: try FileSystem.status(path)?.user ?? 0, group: group)
                try FileSystem.setPermissions(path, (try FileSystem.status(path)?.permissions ?? 0o755) | 0o2770)
            }
        }
        return path
    }

    // MARK: - Owners

    private static func group(_ pod: PodView) -> UInt32? { pod.spec["securityContext"]["fsGroup"].int.map { UInt32(clamping: $0) } }

    private static func commonUser(_ pod: PodView) -> UInt32? {
        let shared = pod.spec["securityContext"]["runAsUser"].int
        let users = Set((pod.initContainers + pod.containers).map { $0["securityContext"]["runAsUser"].int ?? shared })
        guard users.count == 1, let user = users.first.flatMap(\.self) else { return nil }
        return UInt32(clamping: user)
    }

    /// Memory that counts against the pod anyway bounds a volume in memory that says nothing.
    private static func memoryLimit(_ pod: PodView) -> Int64? { ContainerResources.limits(pod).memory }
}
