import Client
import Core
import Machinery
package import OCI
import Schema
import Synchronization
import Tree

/// An image as a container starts from it.
struct LocalImage: Sendable {
    /// As the runtime names it.
    let name: String
    /// `name@digest`
    let id: String
    let config: ImageConfig
    /// Topmost first.
    let layers: [String]
    let size: Int64
}

/// The images of the machine, shared by the kubelets of its nodes.
package final class NodeImages: Sendable {
    package let store: ImageStore
    package let layers: LayerStore
    private let puller: ImagePuller
    /// Credentials of the machine's own, for every pod.
    private let machineKeys: RegistryKeyring

    package init(store: ImageStore, layers: LayerStore, client: RegistryClient, machineKeys: RegistryKeyring = RegistryKeyring()) {
        self.store = store
        self.layers = layers
        puller = ImagePuller(images: store, client: client)
        self.machineKeys = machineKeys
    }

    func present(_ reference: ImageReference) async throws -> LocalImage? {
        guard let record = record(reference) else { return nil }
        return try await open(record, reference)
    }

    private func record(_ reference: ImageReference) -> ImageRecord? {
        if let record = store["\(reference.withDefaultTag)"] { return record }
        // A name with tag and digest is the image of that digest.
        return reference.digest.flatMap { store["\(reference.pinned(to: $0))"] }
    }

    func pull(_ reference: ImageReference, secrets: [Node]) async throws -> LocalImage {
        var keys = machineKeys
        for secret in secrets { NodeImages.add(secret, to: &keys) }
        return try await open(try await puller.pull(reference, credentials: keys.lookup(reference)), reference)
    }

    private func open(_ record: ImageRecord, _ reference: ImageReference) async throws -> LocalImage {
        let (_, manifest) = try store.manifest(of: record.target)
        let config = try store.config(of: manifest)
        let directories = try await layers.unpack(manifest, config)
        return LocalImage(
            name: "\(reference.withDefaultTag)", id: "\(reference.pinned(to: record.target.digest))", config: config, layers: directories,
            size: manifest.layers.reduce(manifest.config.size) { $0 + $1.size })
    }

    private static func add(_ secret: Node, to keys: inout RegistryKeyring) {
        let key: String
        switch secret["type"].string {
        case "kubernetes.io/dockerconfigjson": key = ".dockerconfigjson"
        case "kubernetes.io/dockercfg": key = ".dockercfg"
        default: return
        }
        guard let bytes = Base64.decode(secret["data"][key].string ?? "") else { return }
        // One broken secret among several must not keep the others from working.
        try? keys.add(dockerConfig: bytes)
    }

    /// What `status.images` of a node lists: the largest fifty.
    func summaries() -> [Node] {
        var byDigest: [ContentDigest: (names: [String], size: Int64)] = [:]
        for record in store.list() {
            let size = (try? store.manifest(of: record.target)).map { $0.manifest.layers.reduce($0.manifest.config.size) { $0 + $1.size } } ?? 0
            byDigest[record.target.digest, default: ([], size)].names.append(record.name)
        }
        return byDigest.values.sorted { ($1.size, $0.names.first ?? "") < ($0.size, $1.names.first ?? "") }.prefix(50).map { entry in
            ["names": Node(entry.names.sorted()), "sizeBytes": .int(entry.size)]
        }
    }
}
