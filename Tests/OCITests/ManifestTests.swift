import Core
import Testing

@testable import OCI

@Suite struct ManifestTests {
    let digest = "sha256:" + String(repeating: "a", count: 64)

    @Test func anImageManifestRoundTrips() throws {
        let text = """
            {"schemaVersion":2,"mediaType":"\(MediaType.ociManifest)","config":{"mediaType":"\(MediaType.ociConfig)","digest":"\(digest)","size":2},\
            "layers":[{"mediaType":"\(MediaType.ociLayerGzip)","digest":"\(digest)","size":7}],"annotations":{"a":"b"}}
            """
        guard case .image(let manifest) = try Manifest(Array(text.utf8)) else { throw ImageError(.invalid, "no image") }
        #expect(manifest.layers.count == 1)
        #expect(String(decoding: manifest.bytes, as: UTF8.self) == text)
    }

    @Test(arguments: [
        ("{", "invalid manifest"),
        ("[]", "not an object"),
        ("{}", "schemaVersion must be 2"),
        ("{\"schemaVersion\":1,\"fsLayers\":[]}", "schema 1 is no longer supported"),
        ("{\"schemaVersion\":2,\"layers\":[]}", "no config"),
        ("{\"schemaVersion\":2,\"layers\":[],\"manifests\":[]}", "both manifests and config or layers"),
        ("{\"schemaVersion\":2,\"config\":{\"digest\":\"sha256:zz\",\"size\":1}}", "config.digest"),
        ("{\"schemaVersion\":2,\"mediaType\":\"text/plain\"}", "unsupported manifest media type"),
    ])
    func brokenManifestsAreRefused(_ text: String, _ words: String) {
        #expect { try Manifest(Array(text.utf8)) } throws: { "\($0)".contains(words) }
    }

    @Test func theHostsPlatformIsChosen() throws {
        func entry(_ platform: Platform?, _ fill: Character, attestation: Bool = false) throws -> Descriptor {
            Descriptor(
                mediaType: MediaType.ociManifest, digest: try ContentDigest(parsing: "sha256:" + String(repeating: fill, count: 64)),
                size: 1, platform: platform,
                annotations: attestation ? ["vnd.docker.reference.type": "attestation-manifest"] : [:])
        }
        let index = ImageIndex(manifests: [
            try entry(Platform(os: "unknown", architecture: "unknown"), "a", attestation: true),
            try entry(Platform("linux/arm/v7"), "b"),
            try entry(Platform("linux/arm/v6"), "c"),
            try entry(Platform("linux/amd64"), "d"),
            try entry(Platform("linux/arm64/v8"), "e"),
        ])
        func chosen(_ text: String) -> [Character] { Platform(text).map { index.candidates(for: $0).compactMap(\.digest.hex.first) } ?? [] }
        #expect(chosen("linux/amd64") == ["d"])
        #expect(chosen("linux/arm64") == ["e"])
        #expect(chosen("linux/arm/v7") == ["b", "c"])
        #expect(chosen("windows/amd64") == [])
    }

    @Test func chainIDsFollowTheSpecification() throws {
        let one = ContentDigest(of: [1])
        let two = ContentDigest(of: [2])
        #expect(ImageConfig.chain([one]) == one)
        #expect(ImageConfig.chain([one, two]) == ContentDigest(of: Array("\(one) \(two)".utf8)))
    }
}
