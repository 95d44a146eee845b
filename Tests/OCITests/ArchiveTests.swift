import Core
import Testing
import Tree

@testable import OCI

@Suite struct ArchiveTests {
    let scratch: Scratch
    let images: ImageStore

    init() throws {
        scratch = try Scratch()
        images = try ImageStore(content: try scratch.store())
    }

    func archive(_ members: [(String, [UInt8])]) throws -> [UInt8] {
        let target = MemoryTarget()
        let writer = TarWriter(target)
        for (path, bytes) in members { try writer.add(TarEntry(path: path, kind: .regular, mode: 0o644), bytes) }
        try writer.finish()
        return target.bytes
    }

    func layer(_ text: String) throws -> [UInt8] { try archive([("hello", Array(text.utf8))]) }

    func docker(config: String? = nil, layer bytes: [UInt8]? = nil) throws -> [UInt8] {
        let layer = try bytes ?? layer("hi")
        let diff = ContentDigest(of: try self.layer("hi"))
        let config =
            config ?? #"{"os":"linux","architecture":"\#(Platform.host.architecture)","rootfs":{"type":"layers","diff_ids":["\#(diff)"]}}"#
        return try archive([
            ("l/layer.tar", layer), ("c.json", Array(config.utf8)),
            ("manifest.json", Array(#"[{"Config":"c.json","RepoTags":["hello:1","me/hello:2"],"Layers":["l/layer.tar"]}]"#.utf8)),
        ])
    }

    @Test func aDockerArchiveIsLoadedUnpackedAndSavedAgain() async throws {
        let loaded = try ImageArchive(images: images).load(MemorySource(try docker()))
        #expect(loaded.map(\.name).sorted() == ["docker.io/library/hello:1", "docker.io/me/hello:2"])
        let (_, manifest) = try images.manifest(of: loaded[0].target)
        let layers = try LayerStore(content: images.content)
        let directories = try await layers.unpack(manifest, try images.config(of: manifest))
        #expect(try FileSystem.readFile("\(directories[0])/hello") == Array("hi".utf8))
        #expect(try await layers.unpack(manifest, try images.config(of: manifest)) == directories)

        let saved = MemoryTarget()
        try ImageArchive.save(loaded, from: images, to: saved)
        let other = try ImageStore(content: try ContentStore(root: "\(scratch.path)/other"))
        let again = try ImageArchive(images: other).load(MemorySource(saved.bytes))
        #expect(again.map(\.name).sorted() == loaded.map(\.name).sorted())
        #expect(again[0].target.digest == loaded[0].target.digest)
    }

    @Test func brokenArchivesLeaveNothing() throws {
        let bad: [[UInt8]] = [
            [], Array("no tar".utf8), Array(try docker().prefix(2000)), try docker(config: "{"), try docker(layer: try layer("other")),
            try docker(config: #"{"rootfs":{"diff_ids":[]}}"#), try archive([("x", [1])]),
            try archive([("manifest.json", Array("[]".utf8))]),
            try archive([("manifest.json", Array(#"[{"Config":"../../etc/passwd","Layers":[]}]"#.utf8))]),
            try archive([("blobs/sha256/" + String(repeating: "a", count: 64), [1])]),
            try archive([("oci-layout", Array("{}".utf8)), ("index.json", Array(#"{"schemaVersion":2,"manifests":[]}"#.utf8))]),
        ]
        for bytes in bad {
            #expect(throws: ImageError.self) { try ImageArchive(images: images).load(MemorySource(bytes)) }
            #expect(try images.content.list().isEmpty)
            #expect(images.content.partials().isEmpty)
            #expect(images.list().isEmpty)
        }
    }

    @Test func aWrongLayerIsNeverLeftUnpacked() async throws {
        let loaded = try ImageArchive(images: images).load(MemorySource(try docker()))
        var (_, manifest) = try images.manifest(of: loaded[0].target)
        let other = try images.content.put(try layer("other"))
        manifest.layers[0].digest = other
        let layers = try LayerStore(content: images.content)
        let config = try images.config(of: manifest)
        await #expect(throws: ImageError.self) { try await layers.unpack(manifest, config) }
        #expect(try FileSystem.list("\(images.content.root)/layers") == ["tmp"])
        #expect(try FileSystem.list("\(images.content.root)/layers/tmp").isEmpty)
    }

    @Test func anIndexMayListAbsentPlatforms() throws {
        let loaded = try ImageArchive(images: images).load(MemorySource(try docker()))
        let absent = ContentDigest(of: [9])
        let index = ImageIndex(manifests: [
            Descriptor(mediaType: MediaType.ociManifest, digest: absent, size: 3, platform: Platform("linux/s390x")),
            Descriptor(
                mediaType: loaded[0].target.mediaType, digest: loaded[0].target.digest, size: loaded[0].target.size, platform: .host),
        ])
        let digest = try images.content.put(index.bytes)
        try images.set(
            ["docker.io/library/multi:1"], to: Descriptor(mediaType: MediaType.ociIndex, digest: digest, size: Int64(index.bytes.count)))
        let saved = MemoryTarget()
        try ImageArchive.save([try #require(images["docker.io/library/multi:1"])], from: images, to: saved)
        let other = try ImageStore(content: try ContentStore(root: "\(scratch.path)/other"))
        let again = try ImageArchive(images: other).load(MemorySource(saved.bytes))
        #expect(again.map(\.target.digest) == [digest])
        #expect(try other.manifest(of: again[0].target).descriptor.digest == loaded[0].target.digest)
    }
}
