import Core
import Tree

/// Reads and writes images as one tar: Docker's (`docker save`), the OCI layout, and the mixture that newer Docker writes.
package struct ImageArchive: Sendable {
    private let images: ImageStore
    private var content: ContentStore { images.content }
    /// An archive with more bytes than this is refused.
    private let limit: Int64

    package init(images: ImageStore, limit: Int64 = 64 << 30) {
        self.images = images
        self.limit = limit
    }

    /// Takes the images of an archive, and gives each the names that it carries, or `name` where it carries none.
    /// An index may list platforms whose content is absent, as long as one is whole. A broken archive leaves nothing behind.
    package func load(_ source: any ByteSource, name: String? = nil) throws(ImageError) -> [ImageRecord] {
        let lease = content.lease()
        var members = Members(content: content, lease: lease)
        do throws(ImageError) {
            let stream = try Compression.unpack(source)
            try members.read(TarReader(stream), limit: limit)
            let found: [(Descriptor, [String])]
            if let index = try members.index() { found = try layout(index, members) } else { found = try docker(members) }
            var loaded: [ImageRecord] = []
            for (target, names) in found {
                let names = names.isEmpty ? [name].compactMap(\.self) : names
                let full = try names.map { text throws(ImageError) in try ImageReference(parsing: text).withDefaultTag.description }
                let kept = full.isEmpty ? ["\(target.digest)"] : full
                try images.set(kept, to: target)
                loaded += kept.compactMap { images[$0] }
            }
            return loaded
        } catch {
            withExtendedLifetime(lease) {}
            members.dropAdded()
            throw error
        }
    }

    // MARK: - OCI layout

    private func layout(_ index: ImageIndex, _ members: Members) throws(ImageError) -> [(Descriptor, [String])] {
        guard !index.manifests.isEmpty else { throw ImageError(.invalid, "archive: index.json lists no image") }
        var out: [(target: Descriptor, names: [String])] = []
        for entry in index.manifests {
            guard content.contains(entry.digest) else { continue }
            guard isWhole(entry, depth: 0) else {
                throw ImageError(.notFound, "archive: content of \(entry.digest) is missing for every platform")
            }
            var names: [String] = []
            if let name = entry.annotations["io.containerd.image.name"] {
                names = [name]
            } else if let name = entry.annotations["org.opencontainers.image.ref.name"], name.contains("/") || name.contains(":") {
                names = [name]
            }
            var target = entry
            target.annotations = [:]
            target.platform = nil
            if let same = out.firstIndex(where: { $0.target.digest == target.digest }) {
                out[same].names += names
            } else {
                out.append((target, names))
            }
        }
        guard !out.isEmpty else { throw ImageError(.notFound, "archive: none of the images that index.json lists is in the archive") }
        // Newer Docker writes both; its manifest.json knows the tags that index.json may lack.
        if out.count == 1, out[0].names.isEmpty { out[0].names = members.dockerTags() }
        return out
    }

    private func isWhole(_ target: Descriptor, depth: Int) -> Bool {
        guard depth < 4, let bytes = try? content.read(target.digest, limit: Manifest.limit),
            let manifest = try? Manifest(bytes, mediaType: target.mediaType)
        else { return false }
        switch manifest {
        case .image(let image): return ([image.config] + image.layers).allSatisfy { content.contains($0.digest) }
        case .index(let index): return index.manifests.contains { content.contains($0.digest) && isWhole($0, depth: depth + 1) }
        }
    }

    // MARK: - Docker

    private func docker(_ members: Members) throws(ImageError) -> [(Descriptor, [String])] {
        guard let manifest = members.small["manifest.json"] else {
            throw ImageError(.invalid, "archive: neither index.json nor manifest.json: this is no image archive")
        }
        let items = try members.json(manifest, "manifest.json").list
        guard !items.isEmpty else { throw ImageError(.invalid, "archive: manifest.json lists no image") }
        var out: [(Descriptor, [String])] = []
        for item in items {
            guard let configPath = item["Config"].string, let configDigest = members.digest(configPath) else {
                throw ImageError(.invalid, "archive: manifest.json names a config that is not in the archive")
            }
            let configBytes = try content.read(configDigest)
            let config = try ImageConfig(configBytes)
            let paths = item["Layers"].stringList
            guard paths.count == config.diffIDs.count else {
                throw ImageError(.invalid, "archive: \(paths.count) layers, but the config has \(config.diffIDs.count) diff ids")
            }
            var layers: [Descriptor] = []
            for (path, diff) in zip(paths, config.diffIDs) { layers.append(try layer(path, diff, members)) }
            let image = ImageManifest(
                mediaType: MediaType.dockerManifest,
                config: Descriptor(mediaType: MediaType.dockerConfig, digest: configDigest, size: Int64(configBytes.count)), layers: layers)
            let bytes = image.bytes
            let digest = try members.put(bytes)
            out.append((Descriptor(mediaType: image.mediaType, digest: digest, size: Int64(bytes.count)), item["RepoTags"].stringList))
        }
        return out
    }

    private func layer(_ path: String, _ diff: ContentDigest, _ members: Members) throws(ImageError) -> Descriptor {
        guard let digest = members.digest(path), let size = content.size(of: digest) else {
            throw ImageError(.invalid, "archive: layer \(path) is not in the archive")
        }
        var head = [UInt8](repeating: 0, count: 4)
        let file = try content.open(digest)
        let read = try? head.withUnsafeMutableBytes { try file.read(into: $0, at: 0) }
        let compression = Compression(detecting: head.prefix(read ?? 0))
        if compression == .none, diff.algorithm == .sha256, digest != diff {
            throw ImageError(.corrupt, "archive: layer \(path) is \(digest), but the config says \(diff)")
        }
        let type =
            switch compression {
            case .none: MediaType.dockerLayer
            case .gzip: MediaType.dockerLayerGzip
            case .zstd: MediaType.dockerLayerZstd
            }
        return Descriptor(mediaType: type, digest: digest, size: size)
    }
}

/// What an archive holds, while it is read: its content in the store, and what it was called.
private struct Members {
    let content: ContentStore
    let lease: ContentLease
    var digests: [String: ContentDigest] = [:]
    var links: [String: String] = [:]
    var small: [String: [UInt8]] = [:]
    private let added = Added()

    /// What was not in the store before.
    private final class Added { var digests: [ContentDigest] = [] }

    init(content: ContentStore, lease: ContentLease) {
        self.content = content
        self.lease = lease
    }

    mutating func read(_ tar: TarReader, limit: Int64) throws(ImageError) {
        var total: Int64 = 0
        var count = 0
        while let entry = try tar.next() {
            count += 1
            guard count <= 100_000 else { throw ImageError(.limit, "archive: more than 100000 members") }
            guard let parts = RootedTree.parts(entry.path) else {
                throw ImageError(.invalid, "archive: path \"\(entry.path)\" escapes the archive")
            }
            let path = parts.joined(separator: "/")
            switch entry.kind {
            case .regular:
                total += entry.size
                guard total <= limit else { throw ImageError(.limit, "archive: more than \(limit) bytes") }
                guard entry.extents == nil else { throw ImageError(.unsupported, "archive: \(path) is a sparse member") }
                try member(path, entry, tar)
            case .symlink:
                // Old Docker saved a layer that two images share as a link.
                let base = parts.dropLast().joined(separator: "/")
                if let target = RootedTree.parts("\(base)/\(entry.link)") { links[path] = target.joined(separator: "/") }
            case .hardLink: if let target = RootedTree.parts(entry.link) { links[path] = target.joined(separator: "/") }
            default: break
            }
        }
        guard count > 0 else { throw ImageError(.invalid, "archive: empty") }
    }

    private mutating func member(_ path: String, _ entry: TarEntry, _ tar: TarReader) throws(ImageError) {
        if path == "manifest.json" || path == "index.json" || path == "oci-layout" || path == "repositories" {
            small[path] = try tar.readAll(limit: Manifest.limit)
            return
        }
        let ingest = try content.ingest("load-\(Identifier.suffix(16))")
        do throws(ImageError) {
            let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 256 << 10, alignment: 16)
            defer { buffer.deallocate() }
            while true {
                let count = try tar.read(into: buffer)
                if count == 0 { break }
                try ingest.write(UnsafeRawBufferPointer(rebasing: buffer[..<count]))
            }
            // In a layout, a blob's path is its digest: what lies about it is refused.
            let parts = path.split(separator: "/")
            let named = parts.count == 3 && parts[0] == "blobs" ? ContentDigest("\(parts[1]):\(parts[2])") : nil
            let digest = try ingest.commit(expected: named, isNew: { added.digests.append($0) })
            lease.add(digest)
            digests[path] = digest
        } catch {
            ingest.abandon()
            throw error
        }
    }

    func put(_ bytes: [UInt8]) throws(ImageError) -> ContentDigest {
        let known = content.contains(ContentDigest(of: bytes))
        let digest = try content.put(bytes)
        lease.add(digest)
        if !known { added.digests.append(digest) }
        return digest
    }

    func digest(_ path: String) -> ContentDigest? {
        guard let parts = RootedTree.parts(path) else { return nil }
        var name = parts.joined(separator: "/")
        for _ in 0..<8 {
            if let digest = digests[name] { return digest }
            guard let next = links[name] else { return nil }
            name = next
        }
        return nil
    }

    func json(_ bytes: [UInt8], _ name: String) throws(ImageError) -> Node {
        do { return try JSONText.parse(bytes) } catch { throw error.prefixed("archive: \(name): ") }
    }

    func index() throws(ImageError) -> ImageIndex? {
        guard small["oci-layout"] != nil, let bytes = small["index.json"] else { return nil }
        guard case .index(let index) = try Manifest(bytes) else { throw ImageError(.invalid, "archive: index.json is no index") }
        return index
    }

    func dockerTags() -> [String] {
        guard let bytes = small["manifest.json"], let node = try? JSONText.parse(bytes) else { return [] }
        return node.list.flatMap { $0["RepoTags"].stringList }
    }

    func dropAdded() { for digest in added.digests { content.dropLeased(digest) } }
}
