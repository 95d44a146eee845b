import Core
import Glibc
import Testing

@testable import ImageBuilder
@testable import OCI

/// The repository's own images, built as the demo builds them: nothing but this machine's compiler is needed.
@Suite(.serialized, .enabled(if: ["clang", "gcc", "cc"].contains { access("/usr/bin/\($0)", X_OK) == 0 })) struct DemoImageTests {
    private let root = #filePath.split(separator: "/").dropLast(3).reduce("") { $0 + "/" + $1 } + "/Images"

    private func compile() throws {
        var pid = pid_t()
        var arguments: [UnsafeMutablePointer<CChar>?] = [strdup("sh"), strdup("\(root)/build"), nil]
        defer { for argument in arguments { free(argument) } }
        #expect(posix_spawn(&pid, "/bin/sh", nil, nil, &arguments, environ) == 0)
        var status: Int32 = 0
        while waitpid(pid, &status, 0) < 0, errno == EINTR {}
        #expect(status == 0)
    }

    @Test(arguments: ["checkout-api", "order-worker"]) func releasesDifferOnlyInTheirConfig(_ name: String) async throws {
        try compile()
        let path = "/tmp/jangada-demo-\(Identifier.suffix(10))"
        defer { try? FileSystem.removeTree(path) }
        let service = try ImageService(root: path)
        let builder = try ImageBuilder(images: service.images, layers: service.layers, sandbox: nil)
        var request = BuildRequest(
            context: "\(root)/\(name)", dockerfile: String(decoding: try FileSystem.readFile("\(root)/\(name)/Dockerfile"), as: UTF8.self))
        for version in ["v1", "v2"] {
            request.arguments = ["VERSION": version]
            request.tags = ["localhost:5000/meu-registry/\(name):\(version)"]
            _ = try await builder.build(request)
        }
        let one = try await service.prepare("localhost:5000/meu-registry/\(name):v1")
        let two = try await service.prepare("localhost:5000/meu-registry/\(name):v2")
        #expect(one.layers == two.layers && one.status.id != two.status.id)
        #expect(two.config.environment.contains("VERSION=v2") && two.config.user == "65532:65532" && two.config.entrypoint == ["/\(name)"])
        let program = try #require(try LayeredTree(layers: two.layers).find("/\(name)"))
        #expect(program.status.permissions == 0o755 && program.status.user == 65532 && program.status.size > 100_000)
        #expect(try FileSystem.list(two.layers[0]) == [name])

        try service.remove("localhost:5000/meu-registry/\(name):v1")
        try service.collect(grace: .seconds(-600))
        #expect(service.status("localhost:5000/meu-registry/\(name):v1") == nil)
        #expect(service.list().map(\.id) == [two.status.id])
        #expect(try await service.prepare("localhost:5000/meu-registry/\(name):v2").layers == two.layers)
        try service.remove("localhost:5000/meu-registry/\(name):v2")
        #expect(try service.collect(grace: .seconds(-600)).layers == 1)
        #expect(try service.content.list().isEmpty)
    }
}
