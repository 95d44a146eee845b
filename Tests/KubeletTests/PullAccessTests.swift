import Core
import ImageRegistry
import Testing
import Transport
import Tree

@testable import Kubelet
@testable import OCI

/// An image that one pod's secret brought is there for other pods only as far as they may have it themselves.
@Suite struct PullAccessTests {
    /// A registry with one image in a private and in a public place, and a node's images.
    final class Bench: Sendable {
        let path = "/tmp/jangada-access-\(Identifier.suffix(8))"
        let directory: RegistryDirectory
        let server: HTTPServer
        let token: String

        init() async throws {
            let content = try ContentStore(root: "\(path)/registry/content")
            directory = try RegistryDirectory(root: "\(path)/registry")
            try directory.create("private")
            try directory.create("open", isPublic: true)
            token = try directory.createCredential(registry: "private", user: "ana").token
            let open = try directory.createCredential(registry: "open", user: "ana").token
            let repositories = try RepositoryStore(root: "\(path)/registry", content: content)
            server = HTTPServer(
                listeners: [.tcp(host: "127.0.0.1", port: 0)], handler: RegistryHandler(directory: directory, repositories: repositories))
            try await server.start()
            let images = try ImageStore(content: ContentStore(root: "\(path)/source"))
            let record = try Bench.image(images)
            for (place, token) in [("private", token), ("open", open)] {
                try await ImagePusher(images: images, client: RegistryClient()).push(
                    record, to: try reference(place), credentials: [RegistryAuth(username: "ana", password: token)])
            }
        }

        static func image(_ images: ImageStore) throws -> ImageRecord {
            let target = MemoryTarget()
            let tar = TarWriter(target)
            try tar.add(TarEntry(path: "hello", kind: .regular, mode: 0o644), Array("hello".utf8))
            try tar.finish()
            let layer = try images.content.put(target.bytes)
            let config = Array(
                #"{"os":"linux","architecture":"\#(Platform.host.architecture)","config":{},"rootfs":{"type":"layers","diff_ids":["\#(layer)"]}}"#.utf8)
            let manifest = ImageManifest(
                config: Descriptor(mediaType: MediaType.ociConfig, digest: try images.content.put(config), size: Int64(config.count)),
                layers: [Descriptor(mediaType: MediaType.ociLayer, digest: layer, size: Int64(target.bytes.count))])
            let digest = try images.content.put(manifest.bytes)
            try images.set(["built:1"], to: Descriptor(mediaType: MediaType.ociManifest, digest: digest, size: Int64(manifest.bytes.count)))
            return try #require(images["built:1"])
        }

        func reference(_ place: String) throws -> ImageReference { try ImageReference(image: "127.0.0.1:\(server.port ?? 0)/\(place)/app:1") }

        /// A kubelet's view of the same machine; each call is a start.
        func node() throws -> NodeImages {
            let content = try ContentStore(root: "\(path)/node")
            return NodeImages(store: try ImageStore(content: content), layers: try LayerStore(content: content), client: RegistryClient())
        }

        func secret(_ uid: String, _ password: String, name: String = "pull") throws -> Node {
            let host = "127.0.0.1:\(server.port ?? 0)"
            let config = #"{"auths":{"\#(host)":{"auth":"\#(Encoding.base64(Array("ana:\(password)".utf8)))"}}}"#
            return [
                "metadata": ["name": .string(name), "namespace": "default", "uid": .string(uid)], "type": "kubernetes.io/dockerconfigjson",
                "data": [".dockerconfigjson": .string(Encoding.base64(Array(config.utf8)))],
            ]
        }

        static func with(_ body: (Bench) async throws -> Void) async throws {
            let bench = try await Bench()
            let result: Result<Void, any Error>
            do { result = .success(try await body(bench)) } catch { result = .failure(error) }
            await bench.server.shutdown(grace: .milliseconds(10))
            try? FileSystem.removeTree(bench.path)
            try result.get()
        }
    }

    private func may(_ node: NodeImages, _ reference: ImageReference, _ secrets: [Node]) async throws -> Bool {
        let image = try #require(try await node.present(reference))
        return try await node.isAccessible(image, reference) { secrets }
    }

    @Test func whatASecretPulledIsForThoseWhoHaveIt() async throws {
        try await Bench.with { bench in
            let reference = try bench.reference("private")
            let node = try bench.node()
            await #expect(throws: ImageError.self) { try await node.pull(reference, secrets: []) }
            let mine = try bench.secret("1", bench.token)
            _ = try await node.pull(reference, secrets: [try bench.secret("0", "wrong", name: "old"), mine])
            // Of this daemon and of the next.
            for node in [node, try bench.node()] {
                #expect(try await may(node, reference, []) == false)
                #expect(try await may(node, reference, [try bench.secret("0", "wrong", name: "old")]) == false)
                #expect(try await may(node, reference, [try bench.secret("2", "wrong")]) == false)
                #expect(try await may(node, reference, [mine]))
            }
            // The same credential in another secret, and then that secret with another credential.
            #expect(try await may(node, reference, [try bench.secret("3", bench.token, name: "copy")]))
            #expect(try await may(node, reference, [try bench.secret("3", "rotated", name: "copy")]))
            await #expect(throws: ImageError.self) { try await node.pull(reference, secrets: []) }
            #expect(try await may(node, reference, []) == false)
            // Once anybody may pull it, a pull without a secret opens it to everyone.
            try bench.directory.setPublic("private", true)
            _ = try await node.pull(reference, secrets: [])
            #expect(try await may(try bench.node(), reference, []))
            let file = String(decoding: try FileSystem.readFile("\(bench.path)/node/pulls.json"), as: UTF8.self)
            #expect(!file.contains(bench.token))
        }
    }

    @Test func preloadedAndPublicImagesAreForEveryone() async throws {
        try await Bench.with { bench in
            let node = try bench.node()
            _ = try Bench.image(node.store)
            let built = try ImageReference(image: "built:1")
            let target = try #require(node.store["built:1"]).target
            try node.store.set(["\(built.withDefaultTag)"], to: target)
            #expect(try await may(node, built, []))
            // Also when a pod has pulled the same image from somewhere private: this name is not from there.
            _ = try await node.pull(try bench.reference("private"), secrets: [try bench.secret("1", bench.token)])
            #expect(try await may(try bench.node(), built, []))
            #expect(try await may(node, try bench.reference("private"), []) == false)
            _ = try await node.pull(try bench.reference("open"), secrets: [])
            #expect(try await may(node, try bench.reference("open"), []))
        }
    }

    @Test func aPullThatACrashCutOffLeavesNoOpenDoor() async throws {
        try await Bench.with { bench in
            let reference = try bench.reference("private")
            let node = try bench.node()
            // As it is between the image's arrival and the record of it.
            try PullRecords(file: "\(bench.path)/node/pulls.json").begin("\(reference)")
            let target = try Bench.image(node.store).target
            try node.store.set(["\(reference)"], to: target)
            let next = try bench.node()
            #expect(try await may(next, reference, []) == false)
            let mine = try bench.secret("1", bench.token)
            #expect(try await may(next, reference, [mine]) == false)
            _ = try await next.pull(reference, secrets: [mine])
            #expect(try await may(next, reference, [mine]))
            try FileSystem.writeAtomically("\(bench.path)/node/pulls.json", Array("{".utf8))
            #expect(try await may(try bench.node(), reference, [mine]) == false)
        }
    }
}
