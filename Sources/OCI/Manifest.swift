package import Tree

/// Names content by digest, size and type.
package struct Descriptor: Sendable, Hashable {
    package var mediaType: String
    package var digest: ContentDigest
    package var size: Int64
    package var platform: Platform?
    package var annotations: [String: String]
    package var urls: [String]
    package var artifactType: String?

    package init(
        mediaType: String, digest: ContentDigest, size: Int64, platform: Platform? = nil, annotations: [String: String] = [:],
        urls: [String] = [],
        artifactType: String? = nil
    ) {
        self.mediaType = mediaType
        self.digest = digest
        self.size = size
        self.platform = platform
        self.annotations = annotations
        self.urls = urls
        self.artifactType = artifactType
    }

    package init(_ node: Node, _ place: String) throws(ImageError) {
        guard let text = node["digest"].string else { throw ImageError(.invalid, "invalid manifest: \(place) has no digest") }
        do { digest = try ContentDigest(parsing: text) } catch { throw error.prefixed("invalid manifest: \(place).digest \"\(text)\": ") }
        guard let size = node["size"].int, size >= 0 else {
            throw ImageError(.invalid, "invalid manifest: \(place).size must be a size in bytes")
        }
        self.size = size
        mediaType = node["mediaType"].string ?? ""
        platform = node.has("platform") ? Platform(node["platform"]) : nil
        annotations = node["annotations"].stringMap
        urls = node["urls"].stringList
        artifactType = node["artifactType"].string
    }

    package var node: Node {
        var node: Node = ["mediaType": .string(mediaType), "digest": .string(digest.description), "size": .int(size)]
        if let artifactType { node["artifactType"] = .string(artifactType) }
        if let platform { node["platform"] = platform.node }
        if !annotations.isEmpty { node["annotations"] = Node(annotations) }
        if !urls.isEmpty { node["urls"] = Node(urls) }
        return node
    }
}

/// A manifest or an index, read from its bytes. What it lists may be absent from the store.
package enum Manifest: Sendable {
    case image(ImageManifest)
    case index(ImageIndex)

    /// Larger ones are refused, as registries do.
    package static let limit = 4 << 20

    package init(_ bytes: [UInt8], mediaType declared: String = "") throws(ImageError) {
        guard bytes.count <= Manifest.limit else { throw ImageError(.limit, "invalid manifest: larger than \(Manifest.limit) bytes") }
        let node: Node
        do { node = try JSONText.parse(bytes) } catch { throw error.prefixed("invalid manifest: ") }
        try self.init(node, mediaType: declared)
    }

    private init(_ node: Node, mediaType declared: String) throws(ImageError) {
        guard case .map = node else { throw ImageError(.invalid, "invalid manifest: not an object") }
        let inner = node["mediaType"].string
        if MediaType.isSchema1(inner ?? declared) || node["schemaVersion"].int == 1 || (node.has("fsLayers") && !node.has("layers")) {
            throw ImageError(
                .unsupported,
                "Docker image manifest version 2, schema 1 is no longer supported: the image must be pushed again by a newer client")
        }
        guard node["schemaVersion"].int == 2 else { throw ImageError(.invalid, "invalid manifest: schemaVersion must be 2") }
        // A manifest that is also an index confuses clients into reading it two ways (CVE-2021-41190).
        let looksImage = node.has("config") || node.has("layers")
        let looksIndex = node.has("manifests")
        guard !(looksImage && looksIndex) else {
            throw ImageError(.invalid, "invalid manifest: both manifests and config or layers are set")
        }
        let type = inner ?? (declared.isEmpty ? (looksIndex ? MediaType.ociIndex : MediaType.ociManifest) : declared)
        if let inner, !declared.isEmpty, inner != declared {
            throw ImageError(.invalid, "invalid manifest: mediaType in manifest should be '\(declared)' not '\(inner)'")
        }
        if MediaType.isIndex(type) {
            guard !looksImage else { throw ImageError(.invalid, "invalid manifest: an index with config or layers") }
            self = .index(try ImageIndex(node, mediaType: type))
        } else if MediaType.isManifest(type) {
            guard !looksIndex else { throw ImageError(.invalid, "invalid manifest: an image with manifests") }
            self = .image(try ImageManifest(node, mediaType: type))
        } else {
            throw ImageError(.unsupported, "unsupported manifest media type \"\(type)\"")
        }
    }

    package var mediaType: String {
        switch self {
        case .image(let manifest): manifest.mediaType
        case .index(let index): index.mediaType
        }
    }

    /// What it needs: config and layers, or the manifests of an index.
    package var children: [Descriptor] {
        switch self {
        case .image(let manifest): [manifest.config] + manifest.layers
        case .index(let index): index.manifests
        }
    }

    package var subject: Descriptor? {
        switch self {
        case .image(let manifest): manifest.subject
        case .index(let index): index.subject
        }
    }

    package var annotations: [String: String] {
        switch self {
        case .image(let manifest): manifest.annotations
        case .index(let index): index.annotations
        }
    }

    package var artifactType: String? {
        switch self {
        case .image(let manifest): manifest.artifactType ?? manifest.config.mediaType
        case .index(let index): index.artifactType
        }
    }
}

/// One image for one platform: a config and layers, lowest first.
package struct ImageManifest: Sendable, Hashable {
    package var mediaType: String
    package var config: Descriptor
    package var layers: [Descriptor]
    package var subject: Descriptor?
    package var annotations: [String: String]
    package var artifactType: String?

    package init(
        mediaType: String = MediaType.ociManifest, config: Descriptor, layers: [Descriptor], subject: Descriptor? = nil,
        annotations: [String: String] = [:]
    ) {
        self.mediaType = mediaType
        self.config = config
        self.layers = layers
        self.subject = subject
        self.annotations = annotations
    }

    init(_ node: Node, mediaType: String) throws(ImageError) {
        self.mediaType = mediaType
        guard node.has("config") else { throw ImageError(.invalid, "invalid manifest: no config") }
        config = try Descriptor(node["config"], "config")
        let list = node["layers"].list
        guard list.count <= 1000 else { throw ImageError(.limit, "invalid manifest: more than 1000 layers") }
        layers = []
        for (index, layer) in list.enumerated() { layers.append(try Descriptor(layer, "layers[\(index)]")) }
        subject = node.has("subject") ? try Descriptor(node["subject"], "subject") : nil
        annotations = node["annotations"].stringMap
        artifactType = node["artifactType"].string
    }

    package var node: Node {
        var node: Node = ["schemaVersion": 2, "mediaType": .string(mediaType)]
        if let artifactType { node["artifactType"] = .string(artifactType) }
        node["config"] = config.node
        node["layers"] = .list(layers.map(\.node))
        if let subject { node["subject"] = subject.node }
        if !annotations.isEmpty { node["annotations"] = Node(annotations) }
        return node
    }

    package var bytes: [UInt8] { JSONText.render(node) }
}

/// Images of several platforms, or any other collection.
package struct ImageIndex: Sendable, Hashable {
    package var mediaType: String
    package var manifests: [Descriptor]
    package var subject: Descriptor?
    package var annotations: [String: String]
    package var artifactType: String?

    package init(mediaType: String = MediaType.ociIndex, manifests: [Descriptor], annotations: [String: String] = [:]) {
        self.mediaType = mediaType
        self.manifests = manifests
        self.annotations = annotations
    }

    init(_ node: Node, mediaType: String) throws(ImageError) {
        self.mediaType = mediaType
        let list = node["manifests"].list
        guard list.count <= 1000 else { throw ImageError(.limit, "invalid manifest: more than 1000 manifests") }
        manifests = []
        for (index, item) in list.enumerated() { manifests.append(try Descriptor(item, "manifests[\(index)]")) }
        subject = node.has("subject") ? try Descriptor(node["subject"], "subject") : nil
        annotations = node["annotations"].stringMap
        artifactType = node["artifactType"].string
    }

    package var node: Node {
        var node: Node = ["schemaVersion": 2, "mediaType": .string(mediaType), "manifests": .list(manifests.map(\.node))]
        if let artifactType { node["artifactType"] = .string(artifactType) }
        if let subject { node["subject"] = subject.node }
        if !annotations.isEmpty { node["annotations"] = Node(annotations) }
        return node
    }

    package var bytes: [UInt8] { JSONText.render(node) }

    /// The entries that run on a platform, the best first. Attestations (platform unknown/unknown) never match.
    package func candidates(for platform: Platform) -> [Descriptor] {
        let runnable = manifests.filter { MediaType.isManifest($0.mediaType) || MediaType.isIndex($0.mediaType) || $0.mediaType.isEmpty }
        let scored = runnable.enumerated().compactMap { offset, entry -> (score: Int, offset: Int, entry: Descriptor)? in
            guard entry.annotations["vnd.docker.reference.type"] != "attestation-manifest" else { return nil }
            // An entry without a platform says nothing against running here; it comes last.
            guard let offered = entry.platform, !offered.architecture.isEmpty else { return (0, offset, entry) }
            return platform.preference(for: offered).map { ($0, offset, entry) }
        }
        return scored.sorted { ($1.score, $0.offset) < ($0.score, $1.offset) }.map(\.entry)
    }
}
