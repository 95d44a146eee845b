import Core
import Testing

@testable import OCI

@Suite struct ContentStoreTests {
    let scratch: Scratch
    let store: ContentStore

    init() throws {
        scratch = try Scratch()
        store = try scratch.store()
    }

    @Test func bytesComeBackByTheirDigest() throws {
        let digest = try store.put(Array("hello".utf8))
        #expect(store.size(of: digest) == 5)
        #expect(try store.read(digest) == Array("hello".utf8))
        #expect(try FileSystem.status(store.root)?.permissions == 0o700)
        #expect(store.partials().isEmpty)
    }

    @Test func wrongBytesLeaveNothing() throws {
        let wanted = ContentDigest(of: Array("other".utf8))
        #expect { try store.put(Array("hello".utf8), expected: wanted) } throws: { ($0 as? ImageError)?.kind == .corrupt }
        let ingest = try store.ingest("x")
        try ingest.write(Array("hello".utf8))
        #expect { try ingest.commit(expected: wanted) } throws: { ($0 as? ImageError)?.kind == .corrupt }
        #expect(try store.list().isEmpty)
        #expect(store.partials().isEmpty)
    }

    @Test(.enabled(if: Shell.isRoot, "needs root, for a small file system")) func aFullDiskLeavesNoBytesOfTheWriteThatFailed() throws {
        let small = "\(scratch.path)/small"
        try FileSystem.makeDirectory(small)
        try Shell.run("mount -t tmpfs -o size=64k none \(small)")
        defer { try? Shell.run("umount \(small)") }
        do {
            let store = try ContentStore(root: "\(small)/content")
            let ingest = try store.ingest("blob")
            let (first, second) = ([UInt8](repeating: 1, count: 40_960), [UInt8](repeating: 2, count: 40_960))
            try ingest.write(first)
            #expect(throws: ImageError.self) { try ingest.write(second) }
            #expect(throws: ImageError.self) { try second.withUnsafeBytes { try ingest.write($0) } }
            #expect(ingest.size == 40_960)
            let rest = [UInt8](repeating: 3, count: 10_000)
            try ingest.write(rest)
            let digest = try ingest.commit(expected: ContentDigest(of: first + rest))
            #expect(try store.read(digest) == first + rest)
        }
    }

    @Test func aDroppedIngestIsResumed() throws {
        do {
            let ingest = try store.ingest("blob")
            try ingest.write(Array("hel".utf8))
            #expect { try store.ingest("blob") } throws: { ($0 as? ImageError)?.kind == .busy }
        }
        let again = try ContentStore(root: store.root).ingest("blob")
        #expect(again.size == 3)
        try again.write(Array("lo".utf8))
        #expect(try again.commit(size: 5) == ContentDigest(of: Array("hello".utf8)))
    }

    @Test func sha512IsAcceptedAtCommit() throws {
        let ingest = try store.ingest("blob")
        try ingest.write(Array("hello".utf8))
        let expected = ContentDigest(of: Array("hello".utf8), .sha512)
        #expect(try ingest.commit(expected: expected) == expected)
        #expect(store.contains(expected))
    }

    @Test func collectionSparesWhatIsLivePinnedOrTouched() throws {
        let layer = try store.put(Array("layer".utf8))
        let config = try store.put(Array("{}".utf8))
        let manifest = ImageManifest(
            config: Descriptor(mediaType: MediaType.ociConfig, digest: config, size: 2),
            layers: [Descriptor(mediaType: MediaType.ociLayer, digest: layer, size: 5)])
        let root = try store.put(manifest.bytes)
        let loose = try store.put(Array("loose".utf8))
        let pinned = try store.put(Array("pinned".utf8))
        let old = Timestamp(seconds: 1)
        for digest in [layer, config, root, loose, pinned] { try FileSystem.setModified(store.path(of: digest), old) }
        let touched = try store.put(Array("touched".utf8))
        try withExtendedLifetime(store.lease()) { lease in
            lease.add(pinned)
            let removed = try store.collect(grace: .seconds(60)) { store.reachable(from: [root]) }
            #expect(removed.blobs == 1)
        }
        #expect(!store.contains(loose))
        #expect([layer, config, root, pinned, touched].allSatisfy(store.contains))
        _ = try store.collect(grace: .seconds(60)) { store.reachable(from: [root]) }
        #expect(!store.contains(pinned))
    }

    @Test func namesSurviveARestart() throws {
        let images = try ImageStore(content: store)
        let digest = try store.put(Array("{}".utf8))
        try images.set(["a:1", "b:2"], to: Descriptor(mediaType: MediaType.ociManifest, digest: digest, size: 2))
        try images.remove(["a:1"])
        #expect(try ImageStore(content: store).list().map(\.name) == ["b:2"])
    }
}
