import Core
package import ImageRegistry
import Logging
package import OCI
package import Transport

/// The images of the machine and the registry in front of them, which share one store of blobs: what was pushed is there for the
/// nodes without a copy.
package final class RegistryService: Sendable {
    package let images: ImageService
    package let registries: RegistryDirectory
    package let repositories: RepositoryStore
    private let server: HTTPServer

    /// `port` on 127.0.0.1, TLS and plain; 0 takes a free one.
    package init(_ directory: StateDirectory, port: Int, authority: CertificateAuthority) throws {
        images = try ImageService(root: directory.images)
        registries = try RegistryDirectory(root: directory.registry)
        repositories = try RepositoryStore(root: directory.registry, content: images.content)
        images.keepAlive { [repositories] in repositories.live() }
        let identity = try authority.issueServer(commonName: "jangada-registry", dns: ["localhost"], addresses: ["127.0.0.1", "::1"])
        server = HTTPServer(
            listeners: [.tcp(host: "127.0.0.1", port: port)], tls: try ServerTLS(identity: identity), sniffTLS: true,
            handler: RegistryHandler(directory: registries, repositories: repositories))
    }

    /// Takes an image archive (docker's or OCI's layout) into the machine's images.
    package func load(_ path: String) async throws -> [String] {
        let images = images.images
        return try await BlockingThreads.shared.run { () throws(any Error) in
            let source = FileSource(try FileSystem.open(path, .readOnly))
            return try ImageArchive(images: images).load(source).map(\.name)
        }
    }

    package func start() async throws -> [String] { try await server.start() }
    package var port: Int { server.port ?? 0 }
    package func stop() async { await server.shutdown() }
}
