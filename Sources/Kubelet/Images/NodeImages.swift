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
    /// The digest of its config, the same under every name.
    let digest: ContentDigest
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
    private let records: PullRecords

    package init(store: ImageStore, layers: LayerStore, client: RegistryClient, machineKeys: RegistryKeyring = RegistryKeyring()) {
        self.store = store
        self.layers = layers
        puller = ImagePuller(images: store, client: client)
        self.machineKeys = machineKeys
        records = PullRecords(file: "\(store.content.root)/pulls.json")
        for name in records.interrupted {
            // The pull may have been all but recorded: then nobody's right to the image is known.
            let reference = try? ImageReference(image: name)
            let image = reference.flatMap { record($0) }.flatMap { try? store.manifest(of: $0.target) }
            records.settle(name, of: reference?.name ?? name, image: image?.manifest.config.digest)
        }
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

    /// Pulls it with the first credential that is let in, and remembers whose that was.
    func pull(_ reference: ImageReference, secrets: [Node]) async throws -> LocalImage {
        let known = credentials(reference, secrets)
        var seen: Set<RegistryAuth> = []
        let name = "\(reference.withDefaultTag)"
        try records.begin(name)
        let record: ImageRecord
        let used: RegistryAuth?
        do {
            (record, used) = try await puller.pullTelling(reference, credentials: known.map(\.auth).filter { seen.insert($0).inserted })
        } catch {
            records.failed(name)
            throw error
        }
        let brought = known.filter { $0.auth == used }
        let access: PullRecords.Access =
            brought.contains { $0.secret == nil } || used == nil ? .everyone : .secrets(brought.compactMap(\.secret))
        try records.pulled(name, of: reference.name, store.manifest(of: record.target).manifest.config.digest, by: access) {
            store.content.contains($0)
        }
        return try await open(record, reference)
    }

    /// Whether a pod may start from an image that is here without asking its registry: it may where nobody pulled it here, where anybody
    /// may pull it, and where the pod has a secret that has pulled it before.
    func isAccessible(_ image: LocalImage, _ reference: ImageReference, secrets: () async throws -> [Node]) async throws -> Bool {
        switch records.access(to: image.digest, as: "\(reference.withDefaultTag)", of: reference.name) {
        case .everyone: return true
        case .secrets(let known) where known.isEmpty: return false
        case .secrets(let known):
            for own in credentials(reference, try await secrets()).compactMap(\.secret) {
                // A secret that was changed is still the same secret, and its copy elsewhere proves as much.
                guard known.contains(where: { $0.hash == own.hash || $0.isSame(as: own) }) else { continue }
                if !known.contains(own) { records.admit(own, to: image.digest, of: reference.name) }
                return true
            }
            return false
        }
    }

    /// What of the pod's secrets and the machine's own applies, the secrets first; `secret` is nil for the machine's.
    private func credentials(_ reference: ImageReference, _ secrets: [Node]) -> [(auth: RegistryAuth, secret: PullRecords.Secret?)] {
        var keys = RegistryKeyring()
        for (number, secret) in secrets.enumerated() { NodeImages.add(secret, number, to: &keys) }
        return keys.matches(reference.name).map { match in
            let metadata = match.source.map { secrets[$0]["metadata"] } ?? .null
            return (
                match.auth,
                PullRecords.Secret(
                    uid: metadata["uid"].string ?? "", namespace: metadata["namespace"].string ?? "", name: metadata["name"].string ?? "", match.auth)
            )
        } + machineKeys.matches(reference.name).map { ($0.auth, nil) }
    }

    private func open(_ record: ImageRecord, _ reference: ImageReference) async throws -> LocalImage {
        let (_, manifest) = try store.manifest(of: record.target)
        let config = try store.config(of: manifest)
        let directories = try await layers.unpack(manifest, config)
        return LocalImage(
            name: "\(reference.withDefaultTag)", id: "\(reference.pinned(to: record.target.digest))", digest: manifest.config.digest, config: config, layers: directories,
            size: manifest.layers.reduce(manifest.config.size) { $0 + $1.size })
    }

    private static func add(_ secret: Node, _ number: Int, to keys: inout RegistryKeyring) {
        let key: String
        switch secret["type"].string {
        case "kubernetes.io/dockerconfigjson": key = ".dockerconfigjson"
        case "kubernetes.io/dockercfg": key = ".dockercfg"
        default: return
        }
        guard let bytes = Base64.decode(secret["data"][key].string ?? "") else { return }
        // One broken secret among several must not keep the others from working.
        try? keys.add(dockerConfig: bytes, source: number)
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
