package import Core
package import OCI
import Tree

/// What is to be built.
package struct BuildRequest: Sendable {
    /// The directory that COPY and ADD read.
    package var context: String
    /// The Dockerfile's text.
    package var dockerfile: String
    /// Text of `.dockerignore`; nil reads it from the context.
    package var ignore: String?
    package var target: String?
    package var arguments: [String: String] = [:]
    package var labels: [String: String] = [:]
    package var tags: [String] = []
    /// What `RUN --mount=type=secret` may have, by id. Of no step's key and in no layer.
    package var secrets: [String: [UInt8]] = [:]
    package var platform: Platform = .host
    package var usesCache = true

    package init(context: String, dockerfile: String) {
        self.context = context
        self.dockerfile = dockerfile
    }
}

/// Builds images from Dockerfiles into the store. Steps whose inputs were seen before are taken from the cache; the same
/// inputs give the same image, byte for byte.
package final class ImageBuilder: Sendable {
    let images: ImageStore
    let layers: LayerStore
    let sandbox: (any CommandSandbox)?
    let cache: BuildCache
    let threads: BlockingThreads
    private let clock: any TimeSource

    package init(
        images: ImageStore, layers: LayerStore, sandbox: (any CommandSandbox)?, threads: BlockingThreads = .shared,
        clock: any TimeSource = SystemTime()
    ) throws {
        self.images = images
        self.layers = layers
        self.sandbox = sandbox
        self.threads = threads
        self.clock = clock
        cache = try BuildCache(root: "\(images.content.root)/buildcache", content: images.content)
    }

    /// Builds and tags; `progress` gets the lines of buildkit's plain output.
    package func build(_ request: BuildRequest, progress: @escaping @Sendable (String) -> Void = { _ in }) async throws -> Descriptor {
        let lease = images.content.lease()
        let output = BuildProgress(progress)
        let load = output.step("[internal] load build definition from Dockerfile")
        let dockerfile = try Dockerfile(parsing: request.dockerfile)
        let ignore =
            request.ignore ?? (try? FileSystem.readFile("\(request.context)/.dockerignore")).map { String(decoding: $0, as: UTF8.self) }
            ?? ""
        load.done()
        var run = BuildRun(
            builder: self, request: request, dockerfile: dockerfile, ignore: IgnoreRules(ignore), lease: lease, output: output,
            now: clock.now().rfc3339)
        var state = try await run.target()
        if !request.labels.isEmpty {
            var labels = state.config["Labels"].stringMap
            labels.merge(request.labels) { $1 }
            state.config["Labels"] = Node(labels)
        }
        let export = output.step("exporting to image")
        let target = try record(state, request, lease)
        for tag in request.tags { export.write("#\(export.number) naming to \(tag) done") }
        export.done()
        withExtendedLifetime(lease) {}
        return target
    }

    /// What the cache keeps from collection.
    package func live(newest count: Int = 500) throws -> Set<ContentDigest> { try cache.live(newest: count) }

    private func record(_ state: StageState, _ request: BuildRequest, _ lease: ContentLease) throws -> Descriptor {
        let config = state.imageConfig(request.platform).bytes
        let digest = try images.content.put(config)
        lease.add(digest)
        let manifest = ImageManifest(
            config: Descriptor(mediaType: MediaType.ociConfig, digest: digest, size: Int64(config.count)),
            layers: state.layers.map { layer in
                var layer = layer
                layer.mediaType = ImageBuilder.ociType(layer.mediaType)
                return layer
            }
        ).bytes
        let target = Descriptor(mediaType: MediaType.ociManifest, digest: try images.content.put(manifest), size: Int64(manifest.count))
        lease.add(target.digest)
        let names = try request.tags.map { try ImageReference(parsing: $0).withDefaultTag.description }
        // Without a tag the image is known by its digest, or the next collection would take it.
        try images.set(names.isEmpty ? ["\(target.digest)"] : names, to: target)
        return target
    }

    /// Layers of a Docker base keep their bytes under OCI's names.
    private static func ociType(_ type: String) -> String {
        switch type {
        case MediaType.dockerLayer: MediaType.ociLayer
        case MediaType.dockerLayerGzip: MediaType.ociLayerGzip
        case MediaType.dockerLayerZstd: MediaType.ociLayerZstd
        default: type
        }
    }
}
