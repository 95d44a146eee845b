import Core
import Testing

@testable import ImageRegistry
@testable import OCI

@Suite(.enabled(if: Shell.has("skopeo"))) struct SkopeoTests {
    @Test func skopeoPushesAndPulls() async throws {
        try await RegistryFixture.with { fixture in
            let archive = try fixture.archive()
            let creds = "\(fixture.user):\(fixture.token)"
            let image = "docker://\(fixture.host)/meu-registry/hello:1"
            try Shell.run(
                "skopeo --insecure-policy copy -q --dest-tls-verify=false --dest-creds \(creds) docker-archive:\(archive) \(image)")
            try Shell.run("skopeo --insecure-policy copy -q --src-tls-verify=false --src-creds \(creds) \(image) oci:\(fixture.path)/out:1")
            try Shell.run("skopeo inspect --tls-verify=false --creds \(creds) \(image) > \(fixture.path)/inspect")
            try Shell.run(
                "skopeo list-tags --tls-verify=false --creds \(creds) docker://\(fixture.host)/meu-registry/hello | grep -q '\"1\"'")
            // Copied within the registry, every blob is mounted.
            let other = "docker://\(fixture.host)/meu-registry/again:2"
            try Shell.run(
                "skopeo --insecure-policy copy -q --src-tls-verify=false --dest-tls-verify=false --src-creds \(creds) --dest-creds \(creds) \(image) \(other)"
            )
            try Shell.run("skopeo delete --tls-verify=false --creds \(creds) \(other)")
            #expect(fixture.repositories["meu-registry/hello"]?.tags.keys.sorted() == ["1"])
            #expect(fixture.repositories["meu-registry/again"]?.tags.isEmpty == true)
        }
    }

    @Test func wrongCredentialsAreToldSo() async throws {
        try await RegistryFixture.with { fixture in
            let archive = try fixture.archive()
            let image = "docker://\(fixture.host)/meu-registry/hello:1"
            try Shell.run(
                "skopeo --insecure-policy copy -q --dest-tls-verify=false --dest-creds ana:wrong docker-archive:\(archive) \(image) 2> \(fixture.path)/err",
                fails: true)
            let words = String(decoding: try FileSystem.readFile("\(fixture.path)/err"), as: UTF8.self)
            #expect(words.contains("invalid username/password") && words.contains("incorrect username or password"), "\(words)")
            try Shell.run("skopeo inspect --tls-verify=false \(image) 2> \(fixture.path)/err", fails: true)
            let anonymous = String(decoding: try FileSystem.readFile("\(fixture.path)/err"), as: UTF8.self)
            #expect(anonymous.contains("authentication required"), "\(anonymous)")
            let outro = "docker://\(fixture.host)/outro/hello:1"
            try Shell.run(
                "skopeo --insecure-policy copy -q --dest-tls-verify=false --dest-creds ana:\(fixture.token) docker-archive:\(archive) \(outro) 2> \(fixture.path)/err",
                fails: true)
            #expect(fixture.repositories.names().isEmpty)
        }
    }
}
