import Core
import Tree

extension ImageArchive {
    /// Writes images as an OCI layout that also has Docker's manifest.json, so that `docker load`, `ctr`, `skopeo` and
    /// `podman` all read it. Content of other platforms that is not here is left out.
    package static func save(_ records: [ImageRecord], from images: ImageStore, to target: any ByteTarget, platform: Platform = .host)
        throws(ImageError)
    {
        let content = images.content
        let tar = TarWriter(target)
        var entries: [Node] = []
        var docker: [Node] = []
        var digests: [ContentDigest] = []
        for record in records {
            guard content.contains(record.target.digest) else { throw ImageError(.notFound, "content \(record.target.digest): not found") }
            var descriptor = record.target
            descriptor.annotations["io.containerd.image.name"] = record.name
            if let tag = try? ImageReference(parsing: record.name).tag { descriptor.annotations["org.opencontainers.image.ref.name"] = tag }
            entries.append(descriptor.node)
            digests += content.reachable(from: [record.target.digest]).filter(content.contains)
            let (_, manifest) = try images.manifest(of: record.target, platform: platform)
            let name = (try? ImageReference(parsing: record.name).familiar) ?? record.name
            docker.append([
                "Config": .string(path(manifest.config.digest)), "RepoTags": [.string(name)],
                "Layers": .list(manifest.layers.map { .string(path($0.digest)) }),
            ])
        }
        try tar.add(file("oci-layout"), Array(#"{"imageLayoutVersion":"1.0.0"}"#.utf8))
        try tar.add(
            file("index.json"),
            JSONText.render(["schemaVersion": 2, "mediaType": .string(MediaType.ociIndex), "manifests": .list(entries)]))
        try tar.add(file("manifest.json"), JSONText.render(.list(docker)))
        for directory in ["blobs/", "blobs/sha256/"] { try tar.add(TarEntry(path: directory, kind: .directory, mode: 0o755)) }
        for digest in Set(digests).sorted() {
            var entry = file(path(digest))
            entry.size = content.size(of: digest) ?? 0
            try tar.add(entry, from: FileSource(try content.open(digest)))
        }
        try tar.finish()
    }

    private static func path(_ digest: ContentDigest) -> String { "blobs/\(digest.algorithm.rawValue)/\(digest.hex)" }
    private static func file(_ path: String) -> TarEntry { TarEntry(path: path, kind: .regular, mode: 0o644) }
}
