import Core
import Glibc
import Testing
import Transport

@testable import ImageRegistry
@testable import OCI

/// A registry on a free port of the loopback, with `meu-registry` and a credential for it.
final class RegistryFixture: Sendable {
    let path: String
    private let isMount: Bool
    let images: ImageStore
    let directory: RegistryDirectory
    let repositories: RepositoryStore
    let server: HTTPServer
    let port: Int
    let user: String
    let token: String
    /// PEM of the authority that the server's certificate is of.
    let authority: [UInt8]
    var host: String { "127.0.0.1:\(port)" }
    var basic: String { "Basic " + Encoding.base64(Array("\(user):\(token)".utf8)) }

    /// `disk` is how large a file system of its own it gets, as mount says it; root only.
    static func with(disk: String? = nil, _ body: (RegistryFixture) async throws -> Void) async throws {
        let fixture = try await RegistryFixture(disk)
        do { try await body(fixture) } catch {
            await fixture.close()
            throw error
        }
        await fixture.close()
    }

    private init(_ disk: String?) async throws {
        path = "/tmp/jangada-registry-\(Identifier.suffix(10))"
        try FileSystem.makeDirectories(path)
        isMount = disk != nil
        if let disk { try #require(mount("tmpfs", path, "tmpfs", 0, "size=\(disk)") == 0) }
        let content = try ContentStore(root: "\(path)/content")
        images = try ImageStore(content: content)
        directory = try RegistryDirectory(root: "\(path)/registry")
        repositories = try RepositoryStore(root: "\(path)/registry", content: content)
        try directory.create("meu-registry")
        try directory.create("outro")
        let made = try directory.createCredential(registry: "meu-registry", user: "ana")
        (user, token) = ("ana", made.token)
        // Clients that do not know it is plain try TLS first; the port takes both, as the real one does.
        let authority = try CertificateAuthority.create(commonName: "test")
        self.authority = authority.identity.certificatePEM
        let identity = try authority.issueServer(
            commonName: "registry", dns: ["localhost"], addresses: ["127.0.0.1"])
        server = HTTPServer(
            listeners: [.tcp(host: "127.0.0.1", port: 0)], tls: try ServerTLS(identity: identity), sniffTLS: true,
            handler: RegistryHandler(directory: directory, repositories: repositories))
        try await server.start()
        port = server.port ?? 0
    }

    private func close() async {
        await server.shutdown(grace: .milliseconds(10))
        if isMount { umount2(path, 2) }
        try? FileSystem.removeTree(path)
    }

    func resize(_ disk: String) throws { try #require(mount("tmpfs", path, "tmpfs", 32 /* MS_REMOUNT */, "size=\(disk)") == 0) }

    /// A docker archive of one small image, as a file.
    func archive(_ text: String = "hello", tag: String = "hello:1") throws -> String {
        func tar(_ members: [(String, [UInt8])]) throws -> [UInt8] {
            let target = MemoryTarget()
            let writer = TarWriter(target)
            for (path, bytes) in members { try writer.add(TarEntry(path: path, kind: .regular, mode: 0o644), bytes) }
            try writer.finish()
            return target.bytes
        }
        let layer = try tar([("hello", Array(text.utf8))])
        let config =
            #"{"os":"linux","architecture":"\#(Platform.host.architecture)","config":{},"rootfs":{"type":"layers","diff_ids":["\#(ContentDigest(of: layer))"]}}"#
        let manifest = #"[{"Config":"c.json","RepoTags":["\#(tag)"],"Layers":["l/layer.tar"]}]"#
        let bytes = try tar([("l/layer.tar", layer), ("c.json", Array(config.utf8)), ("manifest.json", Array(manifest.utf8))])
        let file = "\(path)/\(Identifier.suffix(8)).tar"
        try FileSystem.writeAtomically(file, bytes)
        return file
    }

    /// An OCI layout with one image, `many`, of several platforms.
    func layout(_ path: String, architectures: [String]) throws {
        try FileSystem.makeDirectories("\(path)/blobs/sha256")
        func put(_ bytes: [UInt8], _ type: String, _ platform: Platform? = nil, name: String? = nil) throws -> Descriptor {
            let digest = ContentDigest(of: bytes)
            try FileSystem.writeAtomically("\(path)/blobs/sha256/\(digest.hex)", bytes)
            return Descriptor(
                mediaType: type, digest: digest, size: Int64(bytes.count), platform: platform,
                annotations: name.map { ["org.opencontainers.image.ref.name": $0] } ?? [:])
        }
        let manifests = try architectures.map { architecture in
            let target = MemoryTarget()
            let tar = TarWriter(target)
            try tar.add(TarEntry(path: "architecture", kind: .regular, mode: 0o644), Array(architecture.utf8))
            try tar.finish()
            let layer = try put(target.bytes, MediaType.ociLayer)
            let config = try put(
                Array(#"{"os":"linux","architecture":"\#(architecture)","config":{},"rootfs":{"type":"layers","diff_ids":["\#(layer.digest)"]}}"#.utf8),
                MediaType.ociConfig)
            return try put(
                ImageManifest(config: config, layers: [layer]).bytes, MediaType.ociManifest, Platform(os: "linux", architecture: architecture))
        }
        let index = try put(ImageIndex(manifests: manifests).bytes, MediaType.ociIndex, name: "many")
        try FileSystem.writeAtomically("\(path)/index.json", ImageIndex(manifests: [index]).bytes)
        try FileSystem.writeAtomically("\(path)/oci-layout", Array(#"{"imageLayoutVersion":"1.0.0"}"#.utf8))
    }
}
