package import Core
import Synchronization

/// What the node says of one image, as `Node.status.images` and container statuses need it.
package struct ImageStatus: Sendable, Hashable {
    /// The digest of its config: the same image whatever it is called.
    package let id: ContentDigest
    /// `docker.io/library/nginx:1.27`.
    package let tags: [String]
    /// `docker.io/library/nginx@sha256:…`: what `imageID` shows.
    package let digests: [String]
    /// Packed bytes: config and layers.
    package let size: Int64
    package let target: Descriptor
    /// USER of the config: a number where it is one, else a name.
    package let user: String
}

/// An image ready to be a container's root: its config and where its layers are.
package struct PreparedImage: Sendable {
    package let status: ImageStatus
    package let config: ImageConfig
    /// Uppermost first, as overlayfs wants them.
    package let layers: [String]
    /// Of each layer, lowest first. A container holds them all (`LayerStore.hold`), so that no collection takes them from under it.
    package let chains: [ContentDigest]
}

/// The node's images: pulled, loaded, built, unpacked, collected. One per machine; every node and the builder share it.
package final class ImageService: Sendable {
    package let content: ContentStore
    package let images: ImageStore
    package let layers: LayerStore
    package let client: RegistryClient
    package let puller: ImagePuller
    package let pusher: ImagePusher
    private let roots = Mutex<[@Sendable () throws -> Set<ContentDigest>]>([])

    package init(root: String, hosts: RegistryHosts = RegistryHosts(), clock: any TimeSource = SystemTime()) throws {
        content = try ContentStore(root: root, clock: clock)
        images = try ImageStore(content: content, clock: clock)
        layers = try LayerStore(content: content)
        client = RegistryClient(hosts: hosts, clock: clock)
        puller = ImagePuller(images: images, client: client)
        pusher = ImagePusher(images: images, client: client)
    }

    /// Adds what else keeps content alive: the built-in registry's repositories, the builder's cache.
    package func keepAlive(_ live: @escaping @Sendable () throws -> Set<ContentDigest>) { roots.withLock { $0.append(live) } }

    // MARK: - Asking

    /// The image a pod's `image` names, by tag, digest or id; nil where it is not here, or not for this platform.
    package func status(_ image: String) -> ImageStatus? {
        if let digest = ContentDigest(image) ?? ContentDigest("sha256:" + image) {
            return list().first { $0.id == digest || $0.target.digest == digest }
        }
        guard let reference = try? ImageReference(image: image) else { return nil }
        if let record = images["\(reference)"] { return status(of: [record]) }
        // Tag and digest: the digest decides.
        guard let digest = reference.digest else { return nil }
        return images["\(reference.pinned(to: digest))"].flatMap { status(of: [$0]) }
    }

    package func list() -> [ImageStatus] {
        Dictionary(grouping: images.list(), by: \.target.digest).values.compactMap { status(of: $0) }.sorted { $0.id < $1.id }
    }

    private func status(of records: [ImageRecord]) -> ImageStatus? {
        guard let first = records.first, let (_, manifest) = try? images.manifest(of: first.target),
            let config = try? images.config(of: manifest),
            manifest.layers.allSatisfy({ content.contains($0.digest) })
        else { return nil }
        let names = images.list().filter { $0.target.digest == first.target.digest }.map(\.name)
        return ImageStatus(
            id: manifest.config.digest, tags: names.filter { !$0.contains("@") && !$0.hasPrefix("sha256:") },
            digests: names.filter { $0.contains("@") },
            size: manifest.config.size + manifest.layers.reduce(0) { $0 + $1.size }, target: first.target, user: config.user)
    }

    // MARK: - Doing

    /// Pulls and unpacks; afterwards `prepare` has nothing left to do.
    @discardableResult
    package func pull(
        _ image: String, keyring: RegistryKeyring = RegistryKeyring(), progress: @escaping @Sendable (TransferProgress) -> Void = { _ in }
    ) async throws -> PreparedImage {
        let reference = try ImageReference(image: image)
        let record = try await puller.pull(reference, credentials: keyring.lookup(reference), progress: progress)
        do { return try await prepare(record) } catch let error as ImageError {
            throw error.prefixed("failed to pull and unpack image \"\(reference)\": ")
        }
    }

    /// The image's layers unpacked, config at hand.
    package func prepare(_ image: String) async throws -> PreparedImage {
        guard let found = status(image), let record = images.list().first(where: { $0.target.digest == found.target.digest }) else {
            throw ImageError(.notFound, "image \"\(image)\": not found")
        }
        return try await prepare(record)
    }

    private func prepare(_ record: ImageRecord) async throws -> PreparedImage {
        let (_, manifest) = try images.manifest(of: record.target)
        let config = try images.config(of: manifest)
        guard let status = status(of: [record]) else { throw ImageError(.notFound, "image \"\(record.name)\": not found") }
        let directories = try await layers.unpack(manifest, config)
        return PreparedImage(status: status, config: config, layers: directories, chains: ImageConfig.chains(config.diffIDs))
    }

    /// Forgets every name of an image, or the one name given. Its bytes go with the next collection.
    package func remove(_ image: String) throws {
        if let reference = try? ImageReference(image: image), images["\(reference)"] != nil, reference.digest == nil {
            let target = images["\(reference)"]?.target.digest
            let pinned = images.list().filter { $0.target.digest == target && $0.name.hasPrefix("\(reference.name)@") }.map(\.name)
            let others = images.list().filter { $0.target.digest == target && $0.name.hasPrefix("\(reference.name):") }.count
            return try images.remove(["\(reference)"] + (others > 1 ? [] : pinned))
        }
        guard let found = status(image) else { throw ImageError(.notFound, "image \"\(image)\": not found") }
        try images.remove(images.list().filter { $0.target.digest == found.target.digest }.map(\.name))
    }

    /// Removes blobs and unpacked layers that nothing refers to. Never races a pull or a push: what is being written is younger than `grace` or leased.
    @discardableResult
    package func collect(grace: Duration = .seconds(600)) throws -> (blobs: Int, bytes: Int64, layers: Int) {
        let others = roots.withLock { $0 }
        let removed = try content.collect(grace: grace) { () throws(ImageError) in
            var live = images.live()
            for root in others {
                do { live.formUnion(try root()) } catch { throw (error as? ImageError) ?? ImageError(.system, "\(error)") }
            }
            return live
        }
        var chains: Set<ContentDigest> = []
        for record in images.list() {
            guard let (_, manifest) = try? images.manifest(of: record.target), let config = try? images.config(of: manifest) else {
                continue
            }
            chains.formUnion(ImageConfig.chains(config.diffIDs))
        }
        return (removed.blobs, removed.bytes, try layers.collect(live: chains, grace: grace))
    }
}
