import Core
import Testing

@testable import ImageRegistry
@testable import OCI

@Suite(.enabled(if: Shell.has("skopeo"), "skopeo is not installed")) struct SkopeoTests {
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

    @Test func anImageOfSeveralPlatformsIsCopiedWhole() async throws {
        try await RegistryFixture.with { fixture in
            let source = "\(fixture.path)/layout"
            try fixture.layout(source, architectures: ["amd64", "arm64", "riscv64"])
            let creds = "\(fixture.user):\(fixture.token)"
            let image = "docker://\(fixture.host)/meu-registry/many:1"
            try Shell.run("skopeo --insecure-policy copy -q --all --preserve-digests --dest-tls-verify=false --dest-creds \(creds) oci:\(source):many \(image)")
            #expect(fixture.repositories["meu-registry/many"]?.manifests.count == 4)
            try Shell.run("skopeo --insecure-policy copy -q --all --preserve-digests --src-tls-verify=false --src-creds \(creds) \(image) oci:\(fixture.path)/back:many")
            for architecture in ["amd64", "arm64", "riscv64"] {
                let flags = "--override-arch \(architecture) --tls-verify=false --creds \(creds)"
                try Shell.run("skopeo inspect \(flags) --config \(image) | grep -q '\"architecture\": *\"\(architecture)\"'")
            }
            #expect(try FileSystem.list("\(fixture.path)/back/blobs/sha256") == FileSystem.list("\(source)/blobs/sha256"))
            try Shell.run("skopeo delete --tls-verify=false --creds \(creds) \(image)")
            try Shell.run("skopeo inspect --tls-verify=false --creds \(creds) \(image) 2> \(fixture.path)/err", fails: true)
            let words = String(decoding: try FileSystem.readFile("\(fixture.path)/err"), as: UTF8.self)
            #expect(words.contains("manifest unknown"), "\(words)")
        }
    }

    @Test func aLoginIsKeptAndUsed() async throws {
        try await RegistryFixture.with { fixture in
            let file = "--authfile \(fixture.path)/auth"
            try Shell.run("skopeo login \(file) --tls-verify=false -u ana -p wrong \(fixture.host) 2> \(fixture.path)/err", fails: true)
            #expect(String(decoding: try FileSystem.readFile("\(fixture.path)/err"), as: UTF8.self).contains("invalid username/password"))
            try Shell.run("skopeo login \(file) --tls-verify=false -u \(fixture.user) -p \(fixture.token) \(fixture.host) > \(fixture.path)/out")
            let image = "docker://\(fixture.host)/meu-registry/hello"
            try Shell.run("skopeo --insecure-policy copy -q \(file) --dest-tls-verify=false docker-archive:\(try fixture.archive()) \(image):1")
            // A certificate that its authority vouches for; without it, none.
            try FileSystem.makeDirectories("\(fixture.path)/certs")
            try FileSystem.writeAtomically("\(fixture.path)/certs/ca.crt", fixture.authority)
            try Shell.run("skopeo list-tags \(file) --cert-dir \(fixture.path)/certs \(image) > \(fixture.path)/out")
            try Shell.run("skopeo list-tags \(file) \(image) 2> \(fixture.path)/err", fails: true)
            #expect(String(decoding: try FileSystem.readFile("\(fixture.path)/err"), as: UTF8.self).contains("unknown authority"))
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
