import Core
import Synchronization
import Testing
import Transport

@testable import ImageRegistry
@testable import OCI

@Suite struct PullPushTests {
    /// Another machine's store, with a client that reaches the registry under a public name.
    func other(_ fixture: RegistryFixture, _ name: String = "other", alias: String? = nil) throws -> (ImageStore, RegistryClient) {
        var hosts = RegistryHosts()
        if let alias { hosts.aliases[alias] = HTTPEndpoint(isTLS: false, host: "127.0.0.1", port: fixture.port) }
        return (try ImageStore(content: try ContentStore(root: "\(fixture.path)/\(name)")), RegistryClient(hosts: hosts))
    }

    func pushed(_ fixture: RegistryFixture, _ text: String = "hello", tag: String = "1") async throws -> ImageRecord {
        let (images, client) = try other(fixture, "builder-\(tag)")
        let loaded = try ImageArchive(images: images).load(FileSource(try FileSystem.open(try fixture.archive(text))))
        let reference = try ImageReference(parsing: "\(fixture.host)/meu-registry/hello:\(tag)")
        try await ImagePusher(images: images, client: client).push(
            loaded[0], to: reference, credentials: [RegistryAuth(username: fixture.user, password: fixture.token)])
        return loaded[0]
    }

    @Test func whatIsPushedIsPulledByTagAndDigest() async throws {
        try await RegistryFixture.with { fixture in
            let record = try await pushed(fixture)
            let (images, client) = try other(fixture, alias: "container-registry.br-se1.magalu.cloud")
            var keyring = RegistryKeyring()
            let auth = Encoding.base64(Array("\(fixture.user):\(fixture.token)".utf8))
            try keyring.add(dockerConfig: Array(#"{"auths":{"https://*.br-se1.magalu.cloud":{"auth":"\#(auth)"}}}"#.utf8))
            let reference = try ImageReference(image: "container-registry.br-se1.magalu.cloud/meu-registry/hello:1")
            let seen = Mutex<[TransferProgress]>([])
            let puller = ImagePuller(images: images, client: client)
            let pulled = try await puller.pull(reference, credentials: keyring.lookup(reference)) { step in
                seen.withLock { $0.append(step) }
            }
            #expect(pulled.target.digest == record.target.digest)
            #expect(pulled.name == reference.description)
            #expect(images.list().map(\.name).contains("\(reference.name)@\(record.target.digest)"))
            #expect(seen.withLock { $0.contains { !$0.skipped && $0.done == $0.total } })
            let again = try await puller.pull(reference.pinned(to: record.target.digest), credentials: keyring.lookup(reference))
            #expect(again.target.digest == record.target.digest)
            let (_, manifest) = try images.manifest(of: pulled.target)
            let layers = try LayerStore(content: images.content)
            let directories = try await layers.unpack(manifest, try images.config(of: manifest))
            #expect(try FileSystem.readFile("\(directories[0])/hello") == Array("hello".utf8))
        }
    }

    @Test func refusalsAreWordedAsContainerdWordsThem() async throws {
        try await RegistryFixture.with { fixture in
            _ = try await pushed(fixture)
            let (images, client) = try other(fixture)
            let puller = ImagePuller(images: images, client: client)
            let name = "\(fixture.host)/meu-registry/hello:1"
            func words(_ image: String, _ auth: [RegistryAuth] = []) async -> String {
                do {
                    _ = try await puller.pull(try ImageReference(image: image), credentials: auth)
                    return "pulled"
                } catch { return "\(error)" }
            }
            let resolve = "failed to pull and unpack image \"\(name)\": failed to resolve reference \"\(name)\": "
            #expect(
                await words(name) == resolve
                    + "pull access denied, repository does not exist or may require authorization: server message: insufficient_scope: authorization failed"
            )
            let wrong = await words(name, [RegistryAuth(username: "ana", password: "x")])
            #expect(wrong.hasPrefix(resolve + "pull access denied") && wrong.hasSuffix("401 Unauthorized"), "\(wrong)")
            let right = [RegistryAuth(username: fixture.user, password: fixture.token)]
            let missing = "\(fixture.host)/meu-registry/hello:2"
            #expect(
                await words(missing, right)
                    == "failed to pull and unpack image \"\(missing)\": failed to resolve reference \"\(missing)\": \(missing): not found")
            #expect(await words(name, [RegistryAuth(username: "ana", password: "x")] + right) == "pulled")
            let refused = await words("127.0.0.1:1/a/b:1")
            #expect(
                refused.hasSuffix(
                    "failed to do request: Head \"http://127.0.0.1:1/v2/a/b/manifests/1\": dial tcp 127.0.0.1:1: connect: connection refused"
                ), "\(refused)")
            #expect(images.list().map(\.name).allSatisfy { $0.hasPrefix(fixture.host) })
        }
    }

    @Test func rotationAndDeletionShutTheDoor() async throws {
        try await RegistryFixture.with { fixture in
            _ = try await pushed(fixture)
            let (images, client) = try other(fixture)
            let puller = ImagePuller(images: images, client: client)
            let reference = try ImageReference(image: "\(fixture.host)/meu-registry/hello:1")
            let credential = try #require(fixture.directory.credentials(of: "meu-registry").first)
            let fresh = try fixture.directory.rotateCredential(credential.id)
            await #expect(throws: ImageError.self) {
                try await puller.pull(reference, credentials: [RegistryAuth(username: "ana", password: fixture.token)])
            }
            _ = try await puller.pull(reference, credentials: [RegistryAuth(username: "ana", password: fresh.token)])
            try fixture.directory.deleteCredential(credential.id)
            await #expect(throws: ImageError.self) {
                try await puller.pull(reference, credentials: [RegistryAuth(username: "ana", password: fresh.token)])
            }
            try fixture.directory.setPublic("meu-registry", true)
            _ = try await puller.pull(reference)
            let file = String(decoding: try FileSystem.readFile("\(fixture.path)/registry/registries.json"), as: UTF8.self)
            #expect(!file.contains(fresh.token) && !file.contains(fixture.token))
        }
    }

    @Test func collectionSparesWhatRepositoriesHold() async throws {
        try await RegistryFixture.with { fixture in
            let record = try await pushed(fixture)
            let content = fixture.repositories.content
            let again = try RepositoryStore(root: "\(fixture.path)/registry", content: content)
            #expect(again["meu-registry/hello"]?.tags == ["1": record.target.digest])
            let loose = try content.put(Array("loose".utf8))
            #expect(try content.collect(grace: .seconds(600), live: { again.live() }).blobs == 0)
            _ = try content.collect(grace: .seconds(-600), live: { again.live() })
            #expect(!content.contains(loose) && content.contains(record.target.digest))
            try fixture.repositories.removeRegistry("meu-registry")
            _ = try content.collect(grace: .seconds(-600), live: { fixture.repositories.live() })
            #expect(try content.list().isEmpty)
        }
    }
}
