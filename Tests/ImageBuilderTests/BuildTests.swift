import Core
import Synchronization
import Testing
import Transport
import Tree

@testable import ImageBuilder
@testable import OCI

/// Stands for a container: writes what it was told into `upper`.
private struct WritingSandbox: CommandSandbox {
    func run(_ command: SandboxCommand, output: @escaping @Sendable ([UInt8]) -> Void) async throws -> Int32 {
        output(Array("ran \(command.arguments.last ?? "")\n".utf8))
        if command.arguments.last == "fail" { return 3 }
        try FileSystem.writeAtomically("\(command.upper)/made", Array(command.environment.joined(separator: "\n").utf8), mode: 0o644)
        try FileSystem.makeSpecial("\(command.upper)/removed", .characterDevice(major: 0, minor: 0), mode: 0)
        return 0
    }
}

@Suite struct BuildTests {
    final class Bench: Sendable {
        let path: String
        let images: ImageStore
        let layers: LayerStore
        let builder: ImageBuilder
        let lines = Mutex<[String]>([])

        init() throws {
            path = "/tmp/jangada-build-\(Identifier.suffix(10))"
            try FileSystem.makeDirectories("\(path)/context/dir/sub")
            images = try ImageStore(content: try ContentStore(root: "\(path)/content"))
            layers = try LayerStore(content: images.content)
            builder = try ImageBuilder(images: images, layers: layers, sandbox: WritingSandbox())
            try write("app", "program")
            try write("dir/a.txt", "a")
            try write("dir/sub/b.txt", "b")
            try write("secret", "s")
            try write(".dockerignore", "secret\n")
        }

        deinit { try? FileSystem.removeTree(path) }

        func write(_ name: String, _ text: String) throws {
            try FileSystem.writeAtomically("\(path)/context/\(name)", Array(text.utf8), mode: 0o644)
        }

        func build(_ dockerfile: String, _ edit: (inout BuildRequest) -> Void = { _ in }) async throws -> (
            config: ImageConfig, tree: LayeredTree, digest: ContentDigest
        ) {
            var request = BuildRequest(context: "\(path)/context", dockerfile: dockerfile)
            request.tags = ["localhost:5000/r/app:1"]
            edit(&request)
            lines.withLock { $0 = [] }
            let target = try await builder.build(request) { line in self.lines.withLock { $0.append(line) } }
            let (_, manifest) = try images.manifest(of: target)
            let config = try images.config(of: manifest)
            return (config, LayeredTree(layers: try await layers.unpack(manifest, config)), target.digest)
        }

        func text(_ tree: LayeredTree, _ path: String) throws -> String? {
            try tree.find(path).map { String(decoding: try FileSystem.readFile($0.file), as: UTF8.self) }
        }
    }

    @Test func stagesCopiesAndMetadataMakeAnImage() async throws {
        let bench = try Bench()
        let (config, tree, _) = try await bench.build(
            """
            ARG ROOT=scratch
            FROM $ROOT AS build
            COPY dir/ /src/
            COPY <<EOF /src/made
            version ${VERSION:-none}
            EOF
            FROM scratch AS unused
            COPY nothing /
            FROM ${ROOT}
            ARG VERSION=v1
            ENV VERSION=${VERSION} WHO="the world"
            WORKDIR /srv/app
            COPY --from=build /src/*.txt /src/sub ./
            COPY --chown=7:8 --chmod=750 app /bin/
            LABEL a=$VERSION
            EXPOSE 8080 53/udp
            USER 7
            VOLUME /data
            STOPSIGNAL SIGINT
            HEALTHCHECK --interval=1m30s CMD ["/bin/app", "check"]
            ENTRYPOINT ["/bin/app"]
            CMD ["serve"]
            """
        ) { $0.arguments = ["VERSION": "v2"] }
        #expect(config.environment.contains("VERSION=v2") && config.environment.contains("WHO=the world"))
        #expect(config.workingDirectory == "/srv/app" && config.user == "7" && config.labels == ["a": "v2"])
        #expect(config.exposedPorts == ["53/udp", "8080/tcp"] && config.entrypoint == ["/bin/app"] && config.command == ["serve"])
        #expect(config.node["config"]["Healthcheck"]["Interval"].int == 90_000_000_000)
        #expect(try bench.text(tree, "/srv/app/a.txt") == "a")
        #expect(try bench.text(tree, "/srv/app/b.txt") == "b")
        let app = try #require(try tree.find("/bin/app")).status
        #expect(app.user == 7 && app.group == 8 && app.permissions == 0o750)
        #expect(bench.images["localhost:5000/r/app:1"] != nil)
        #expect(config.node["history"].list.filter { !$0.has("empty_layer") }.count == config.diffIDs.count)
    }

    @Test func theSameInputsGiveTheSameImageFromTheCache() async throws {
        let bench = try Bench()
        let file = "FROM scratch\nCOPY . /all/\nRUN do it\n"
        let first = try await bench.build(file)
        #expect(try first.tree.find("/all/secret") == nil)
        #expect(try first.tree.find("/all/dir/sub/b.txt") != nil)
        #expect(bench.lines.withLock { $0.contains { $0.hasSuffix("ran do it") } })
        try FileSystem.setModified("\(bench.path)/context/app", Timestamp(seconds: 5))
        let second = try await bench.build(file)
        #expect(second.digest == first.digest)
        #expect(bench.lines.withLock { $0.filter { $0.hasSuffix("CACHED") }.count } == 2)
        try bench.write("app", "changed")
        let third = try await bench.build(file)
        #expect(third.digest != first.digest)
        #expect(bench.lines.withLock { $0.contains { $0.hasSuffix("CACHED") } } == false)
        #expect(try bench.text(third.tree, "/all/app") == "changed")
    }

    @Test func runSeesVariablesAndItsRemovalsHide() async throws {
        let bench = try Bench()
        let (_, tree, _) = try await bench.build("FROM scratch\nARG TOKEN=t\nENV E=1\nCOPY app /removed\nRUN x\n")
        let made = try #require(try bench.text(tree, "/made"))
        #expect(made.contains("TOKEN=t") && made.contains("E=1"))
        #expect(try tree.find("/removed") == nil)
    }

    @Test func archivesAreUnpackedByAdd() async throws {
        let bench = try Bench()
        let target = MemoryTarget()
        let tar = TarWriter(target)
        try tar.add(TarEntry(path: "in/side", kind: .regular, mode: 0o644), Array("x".utf8))
        try tar.finish()
        try bench.write("a.tar", String(decoding: target.bytes, as: UTF8.self))
        let (_, tree, _) = try await bench.build("FROM scratch\nADD a.tar /to/\nCOPY a.tar /kept/\n")
        #expect(try bench.text(tree, "/to/in/side") == "x")
        #expect(try tree.find("/kept/a.tar") != nil)
    }

    @Test func filesOfTheWebAreAddedByWhatTheyContain() async throws {
        let bench = try Bench()
        let content = Mutex(Array("version 1".utf8))
        let server = HTTPServer(listeners: [.tcp(host: "127.0.0.1", port: 0)], handler: Web { exchange in
            switch exchange.request.path {
            case "/moved": exchange.respond(status: 302, headers: ["location": "/files/tool"])
            case "/files/tool": exchange.respond(status: 200, body: content.withLock { $0 })
            default: exchange.respond(status: 404)
            }
        })
        try await server.start()
        let base = "http://127.0.0.1:\(server.port ?? 0)"
        let digest = ContentDigest(of: content.withLock { $0 })
        let file = "FROM scratch\nADD \(base)/moved /plain\nADD --chmod=755 --checksum=\(digest) \(base)/files/tool?x=1 /bin/\n"
        let (_, tree, first) = try await bench.build(file)
        #expect(try bench.text(tree, "/plain") == "version 1")
        #expect(try tree.find("/plain")?.status.permissions == 0o600 && tree.find("/bin/tool")?.status.permissions == 0o755)
        #expect(try await bench.build(file).digest == first)
        content.withLock { $0 = Array("version 2".utf8) }
        for (steps, words) in [(file, "digest mismatch sha256:"), ("FROM scratch\nADD \(base)/none /x\n", "invalid response status 404"), ("FROM scratch\nADD \(base)/ /x/\n", "404")] {
            do {
                _ = try await bench.build(steps)
                Issue.record("built")
            } catch let error as BuildError { #expect(error.message.contains(words), "\(error)") }
        }
        #expect(try FileSystem.list("\(bench.path)/content/layers/tmp").isEmpty)
        await server.shutdown(grace: .milliseconds(10))
    }

    private struct Web: HTTPHandler {
        let body: @Sendable (HTTPExchange) -> Void
        func handle(_ exchange: HTTPExchange) async { body(exchange) }
    }

    @Test(arguments: [
        ("FROM scratch\n\nCOPY missing /x", 3, "\"/missing\": not found"), ("FROM scratch\nCOPY secret /x", 2, "\"/secret\": not found"),
        ("FROM nowhere:1", 1, "not found"), ("FROM scratch\nRUN fail", 2, "The command '/bin/sh -c fail' returned a non-zero code: 3"),
        ("FROM scratch\nCOPY --chown=who app /x", 2, "no such user"),
        ("FROM scratch\nCOPY app dir /x", 2, "must be a directory and end with a /"),
        ("FROM scratch\nEXPOSE http", 2, "invalid containerPort"), ("FROM scratch\nCOPY ../../etc/passwd /x", 2, "not found"),
    ])
    func failuresNameTheLineAndTagNothing(_ dockerfile: String, _ line: Int, _ words: String) async throws {
        let bench = try Bench()
        do {
            _ = try await bench.build(dockerfile)
            Issue.record("built")
        } catch let error as BuildError {
            #expect(error.line == line && error.message.contains(words), "\(error)")
        }
        #expect(bench.images.list().isEmpty)
        #expect(bench.images.content.partials().isEmpty)
    }
}
