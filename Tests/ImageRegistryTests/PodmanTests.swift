import Core
import Testing

@testable import ImageRegistry
@testable import OCI

/// podman and buildah share their client code with skopeo, but log in and find certificates in ways of their own.
@Suite(.enabled(if: Shell.isRoot && Shell.has("podman"), "needs root and podman")) struct PodmanTests {
    @Test(arguments: ["podman", "buildah"]) func imagesGoInAndOutOverPlainHTTPAndTLS(program: String) async throws {
        guard Shell.has(program) else { return }
        try await RegistryFixture.with { fixture in
            let archive = try fixture.archive()
            let path = fixture.path
            try FileSystem.makeDirectories("\(path)/certs")
            try FileSystem.writeAtomically("\(path)/certs/ca.crt", fixture.authority)
            try FileSystem.writeAtomically("\(path)/policy.json", Array(#"{"default":[{"type":"insecureAcceptAnything"}]}"#.utf8))
            let tool = "\(program) --root \(path)/storage --runroot \(path)/run --storage-driver vfs"
            let image = "\(fixture.host)/meu-registry/hello"
            try Shell.run("skopeo --insecure-policy copy -q docker-archive:\(archive) oci-archive:\(path)/image.tar:hello:1")
            try Shell.run("\(tool) login --tls-verify=false --authfile \(path)/auth -u ana -p wrong \(fixture.host) 2> \(path)/err", fails: true)
            #expect(String(decoding: try FileSystem.readFile("\(path)/err"), as: UTF8.self).contains("invalid username/password"))
            for (flags, tag) in [("--tls-verify=false", "plain"), ("--cert-dir \(path)/certs", "tls")] {
                try Shell.run("\(tool) login \(flags) --authfile \(path)/auth -u \(fixture.user) -p \(fixture.token) \(fixture.host) > \(path)/out")
                let trust = "--signature-policy \(path)/policy.json --authfile \(path)/auth \(flags)"
                try Shell.run("\(tool) pull -q --signature-policy \(path)/policy.json oci-archive:\(path)/image.tar > \(path)/id")
                try Shell.run("\(tool) push -q \(trust) $(cat \(path)/id) docker://\(image):\(tag)")
                try Shell.run("\(tool) rmi -a -f > \(path)/out && \(tool) pull -q \(trust) \(image):\(tag) > \(path)/out")
            }
            // What is there already would not be asked for.
            try Shell.run("\(tool) rmi -a -f > \(path)/out")
            try Shell.run("\(tool) pull -q --signature-policy \(path)/policy.json --authfile \(path)/auth \(image):tls 2> \(path)/err", fails: true)
            #expect(String(decoding: try FileSystem.readFile("\(path)/err"), as: UTF8.self).contains("unknown authority"))
            #expect(fixture.repositories["meu-registry/hello"]?.tags.keys.sorted() == ["plain", "tls"])
        }
    }
}
