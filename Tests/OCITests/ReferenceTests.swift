import Testing

@testable import OCI

@Suite struct ReferenceTests {
    @Test(arguments: [
        ("nginx", "docker.io/library/nginx:latest"),
        ("nginx:1.27", "docker.io/library/nginx:1.27"),
        ("me/app", "docker.io/me/app:latest"),
        ("docker.io/nginx", "docker.io/library/nginx:latest"),
        ("index.docker.io/me/app:v1", "docker.io/me/app:v1"),
        ("localhost/app", "localhost/app:latest"),
        ("localhost:5000/app:v1", "localhost:5000/app:v1"),
        ("127.0.0.1:5000/a/b/c", "127.0.0.1:5000/a/b/c:latest"),
        ("[::1]:5000/a", "[::1]:5000/a:latest"),
        ("container-registry.br-se1.magalu.cloud/meu-registry/app:1", "container-registry.br-se1.magalu.cloud/meu-registry/app:1"),
        ("UPPER/app", "UPPER/app:latest"),
        ("a__b/c-d--e:x_Y.z-9", "docker.io/a__b/c-d--e:x_Y.z-9"),
        ("app@sha256:\(String(repeating: "a", count: 64))", "docker.io/library/app@sha256:\(String(repeating: "a", count: 64))"),
        ("app:v1@sha256:\(String(repeating: "a", count: 64))", "docker.io/library/app:v1@sha256:\(String(repeating: "a", count: 64))"),
    ])
    func namesAreNormalised(_ text: String, _ expected: String) throws {
        #expect(try ImageReference(image: text).description == expected)
    }

    @Test(arguments: [
        ("", "invalid reference format"),
        ("a b", "invalid reference format"),
        ("app:", "invalid reference format"),
        ("app:-x", "invalid reference format"),
        ("a//b", "invalid reference format"),
        ("a/b/", "invalid reference format"),
        ("-a", "invalid reference format"),
        ("a___b", "invalid reference format"),
        ("a..b", "invalid reference format"),
        ("host:port/a", "invalid reference format"),
        ("app:" + String(repeating: "x", count: 129), "invalid reference format"),
        ("app@sha256:abc", "invalid reference format"),
        ("app@sha256:" + String(repeating: "a", count: 63), "invalid checksum digest length"),
        ("app@md5:" + String(repeating: "a", count: 32), "unsupported digest algorithm"),
        ("App", "invalid reference format: repository name (library/App) must be lowercase"),
        (
            String(repeating: "ab", count: 32),
            "invalid repository name (\(String(repeating: "ab", count: 32))), cannot specify 64-byte hexadecimal strings"
        ),
        ("x/" + String(repeating: "a", count: 300), "repository name must not be more than 255 characters"),
    ])
    func brokenNamesAreRefusedInKubeletsWords(_ text: String, _ reason: String) {
        #expect { try ImageReference(image: text) } throws: { error in
            "\(error)" == "couldn't parse image name \"\(text)\": \(reason)"
        }
    }

    @Test func familiarNamesDropWhatIsDefault() throws {
        #expect(try ImageReference(image: "nginx").familiar == "nginx:latest")
        #expect(try ImageReference(image: "docker.io/me/app:1").familiar == "me/app:1")
        #expect(try ImageReference(image: "localhost:5000/a:1").familiar == "localhost:5000/a:1")
    }

    @Test func aDigestIsSafeAsAFileName() {
        #expect(ContentDigest("sha256:../../etc/passwd") == nil)
        #expect(ContentDigest("sha256:" + String(repeating: "A", count: 64)) == nil)
        #expect(ContentDigest("sha512:" + String(repeating: "0", count: 128)) != nil)
        #expect(ContentDigest(of: []).description == "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
    }
}
