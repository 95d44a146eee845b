import Core
import Glibc
import Testing
import Transport
import Tree

@testable import ImageRegistry
@testable import OCI

@Suite struct ProtocolTests {
    let client = HTTPClient()

    func send(
        _ fixture: RegistryFixture, _ method: String, _ target: String, _ body: [UInt8]? = nil, headers: HTTPHeaders = [:],
        login: Bool = true
    ) async throws -> (status: Int, headers: HTTPHeaders, body: [UInt8]) {
        var headers = headers
        if login { headers["authorization"] = fixture.basic }
        let endpoint = HTTPEndpoint(isTLS: false, host: "127.0.0.1", port: fixture.port)
        let response = try await client.send(
            HTTPClientRequest(method, endpoint, target, headers: headers, body: body.map { .bytes($0) } ?? .none))
        return (response.status, response.headers, try await response.body())
    }

    func code(_ body: [UInt8]) -> String? { (try? JSONReader.read(body))?["errors"][0]["code"].string }

    @Test func theBaseAsksForALogin() async throws {
        try await RegistryFixture.with { fixture in
            let anonymous = try await send(fixture, "GET", "/v2/", login: false)
            #expect(anonymous.status == 401 && code(anonymous.body) == "UNAUTHORIZED")
            #expect(anonymous.headers["www-authenticate"] == "Bearer realm=\"http://\(fixture.host)/token\",service=\"\(fixture.host)\"")
            #expect(try await send(fixture, "GET", "/v2/").status == 200)
            let wrong = try await send(fixture, "GET", "/v2/", headers: ["authorization": "Basic YTpi"], login: false)
            #expect(wrong.status == 401)
        }
    }

    @Test func chunkedUploadsAreResumed() async throws {
        try await RegistryFixture.with { fixture in
            let bytes = Array("hello world".utf8)
            let digest = ContentDigest(of: bytes)
            let opened = try await send(fixture, "POST", "/v2/meu-registry/app/blobs/uploads/")
            let place = try #require(opened.headers["location"])
            #expect(opened.status == 202)
            #expect(try await send(fixture, "PATCH", place, Array(bytes[..<5]), headers: ["content-range": "0-4"]).status == 202)
            let status = try await send(fixture, "GET", place)
            #expect(status.status == 204 && status.headers["range"] == "0-4")
            #expect(try await send(fixture, "PATCH", place, [1], headers: ["content-range": "9-9"]).status == 416)
            #expect(try await send(fixture, "GET", place.replacing("app", with: "other")).status == 404)
            let done = try await send(fixture, "PUT", place + "?digest=\(digest)", Array(bytes[5...]))
            #expect(done.status == 201 && done.headers["docker-content-digest"] == digest.description)
            let blob = "/v2/meu-registry/app/blobs/\(digest)"
            #expect(try await send(fixture, "GET", blob).body == bytes)
            let part = try await send(fixture, "GET", blob, headers: ["range": "bytes=6-"])
            #expect(part.status == 206 && part.body == Array("world".utf8) && part.headers["content-range"] == "bytes 6-10/11")
            #expect(try await send(fixture, "GET", blob, headers: ["range": "bytes=99-"]).status == 416)
            #expect(try await send(fixture, "HEAD", blob).headers["content-length"] == "11")
            // The bytes lie in one store, but another repository does not show them.
            #expect(try await send(fixture, "GET", "/v2/meu-registry/other/blobs/\(digest)").status == 404)
            let mounted = try await send(fixture, "POST", "/v2/meu-registry/other/blobs/uploads/?mount=\(digest)&from=meu-registry/app")
            #expect(mounted.status == 201)
            #expect(try await send(fixture, "GET", "/v2/meu-registry/other/blobs/\(digest)").status == 200)
            #expect(try await send(fixture, "DELETE", "/v2/meu-registry/other/blobs/\(digest)").status == 202)
        }
    }

    @Test func badInputIsRefusedAndLeavesNothing() async throws {
        try await RegistryFixture.with { fixture in
            let wrong = ContentDigest(of: [1])
            let upload = try await send(fixture, "POST", "/v2/meu-registry/app/blobs/uploads/?digest=\(wrong)", [2])
            #expect(upload.status == 400 && code(upload.body) == "DIGEST_INVALID")
            for (body, expected) in [("{", "MANIFEST_INVALID"), ("{\"schemaVersion\":1}", "MANIFEST_INVALID"), ("[]", "MANIFEST_INVALID")] {
                let put = try await send(
                    fixture, "PUT", "/v2/meu-registry/app/manifests/1", Array(body.utf8), headers: ["content-type": MediaType.ociManifest])
                #expect(put.status == 400 && code(put.body) == expected)
            }
            let absent = ImageManifest(config: Descriptor(mediaType: MediaType.ociConfig, digest: wrong, size: 1), layers: [])
            let put = try await send(
                fixture, "PUT", "/v2/meu-registry/app/manifests/1", absent.bytes, headers: ["content-type": MediaType.ociManifest])
            #expect(put.status == 400 && code(put.body) == "MANIFEST_BLOB_UNKNOWN")
            #expect(code(try await send(fixture, "GET", "/v2/Upper/app/manifests/1").body) == "NAME_INVALID")
            #expect(try await send(fixture, "GET", "/v2/outro/app/manifests/1").status == 403)
            #expect(try await send(fixture, "GET", "/v2/meu-registry/app/manifests/sha256:zz").status == 400)
            #expect(try await send(fixture, "POST", "/v2/outro/app/blobs/uploads/").status == 403)
            #expect(try await send(fixture, "POST", "/v2/meu-registry/app/manifests/1").status == 405)
            #expect(try fixture.repositories.content.list().isEmpty)
            #expect(fixture.repositories.content.partials().isEmpty)
        }
    }

    /// A real full disk.
    @Test(.enabled(if: geteuid() == 0, "mounting needs root"))
    func aFullDiskIsSaidAndAPushGoesOnWhenThereIsRoom() async throws {
        try await RegistryFixture.with(disk: "1m") { fixture in
            let small = Array("small".utf8)
            let first = ContentDigest(of: small)
            #expect(try await send(fixture, "POST", "/v2/meu-registry/app/blobs/uploads/?digest=\(first)", small).status == 201)
            let large = (0..<3 << 20).map { UInt8(truncatingIfNeeded: $0 &* 31 >> 3) }
            let digest = ContentDigest(of: large)
            let whole = try await send(fixture, "POST", "/v2/meu-registry/app/blobs/uploads/?digest=\(digest)", large)
            #expect(whole.status == 507 && code(whole.body) == "UNKNOWN", "\(String(decoding: whole.body, as: UTF8.self))")
            #expect(String(decoding: whole.body, as: UTF8.self).contains("no space is left"))
            // In pieces, as Docker does it: what did not go in did not count.
            let opened = try await send(fixture, "POST", "/v2/meu-registry/app/blobs/uploads/")
            let location = try #require(opened.headers["location"])
            let refused = try await send(fixture, "PATCH", location, large)
            #expect(refused.status == 507)
            #expect(try await send(fixture, "GET", "/v2/meu-registry/app/blobs/\(first)").body == small)
            try fixture.resize("32m")
            let state = try await send(fixture, "GET", location)
            let received = state.headers["range"]?.split(separator: "-").last.flatMap { Int($0) }.map { $0 == 0 ? 0 : $0 + 1 } ?? 0
            #expect(try await send(fixture, "PATCH", location, Array(large[received...])).status == 202)
            #expect(try await send(fixture, "PUT", location + "?digest=\(digest)").status == 201)
            #expect(try await send(fixture, "GET", "/v2/meu-registry/app/blobs/\(digest)").body == large)
        }
    }

    @Test func tagsArePagedAndReferrersListed() async throws {
        try await RegistryFixture.with { fixture in
            let config = Array("{}".utf8)
            let digest = ContentDigest(of: config)
            #expect(try await send(fixture, "POST", "/v2/meu-registry/app/blobs/uploads/?digest=\(digest)", config).status == 201)
            let manifest = ImageManifest(config: Descriptor(mediaType: MediaType.ociConfig, digest: digest, size: 2), layers: [])
            for tag in ["c", "a", "b"] {
                let put = try await send(
                    fixture, "PUT", "/v2/meu-registry/app/manifests/\(tag)", manifest.bytes,
                    headers: ["content-type": MediaType.ociManifest])
                #expect(put.status == 201)
            }
            let page = try await send(fixture, "GET", "/v2/meu-registry/app/tags/list?n=2")
            #expect(try JSONReader.read(page.body)["tags"].stringList == ["a", "b"])
            #expect(page.headers["link"] == "</v2/meu-registry/app/tags/list?n=2&last=b>; rel=\"next\"")
            let rest = try await send(fixture, "GET", "/v2/meu-registry/app/tags/list?n=2&last=b")
            #expect(try JSONReader.read(rest.body)["tags"].stringList == ["c"] && rest.headers["link"] == nil)
            var signature = manifest
            let subject = ContentDigest(of: manifest.bytes)
            signature.subject = Descriptor(mediaType: MediaType.ociManifest, digest: subject, size: Int64(manifest.bytes.count))
            signature.artifactType = "application/x.signature"
            let put = try await send(
                fixture, "PUT", "/v2/meu-registry/app/manifests/\(ContentDigest(of: signature.bytes))", signature.bytes,
                headers: ["content-type": MediaType.ociManifest])
            #expect(put.headers["oci-subject"] == subject.description)
            let listed = try await send(fixture, "GET", "/v2/meu-registry/app/referrers/\(subject)?artifactType=application/x.signature")
            #expect(listed.headers["oci-filters-applied"] == "artifactType")
            #expect(try JSONReader.read(listed.body)["manifests"].list.count == 1)
            #expect(
                try JSONReader.read(try await send(fixture, "GET", "/v2/_catalog").body)["repositories"].stringList == ["meu-registry/app"])
        }
    }

    @Test func namingAnotherRepositorysContentDoesNotOpenIt() async throws {
        try await RegistryFixture.with { fixture in
            let secret = Array("of another registry".utf8)
            let digest = try fixture.repositories.content.put(secret)
            let named = Descriptor(
                mediaType: MediaType.dockerForeignLayer, digest: digest, size: Int64(secret.count), urls: ["https://example.com/layer"])
            let config = Array("{}".utf8)
            let own = Descriptor(mediaType: MediaType.ociConfig, digest: ContentDigest(of: config), size: 2)
            #expect(try await send(fixture, "POST", "/v2/meu-registry/app/blobs/uploads/?digest=\(own.digest)", config).status == 201)
            var platform = named
            (platform.mediaType, platform.urls) = (MediaType.ociManifest, [])
            for (bytes, type) in [
                (ImageIndex(manifests: [platform]).bytes, MediaType.ociIndex), (ImageManifest(config: own, layers: [named]).bytes, MediaType.ociManifest),
            ] {
                let put = try await send(fixture, "PUT", "/v2/meu-registry/app/manifests/1", bytes, headers: ["content-type": type])
                #expect(put.status == 201)
                #expect(try await send(fixture, "GET", "/v2/meu-registry/app/blobs/\(digest)").status == 404)
                #expect(try await send(fixture, "GET", "/v2/meu-registry/app/manifests/\(digest)").status == 404)
            }
            let mount = try await send(fixture, "POST", "/v2/meu-registry/app/blobs/uploads/?mount=\(digest)&from=outro/app")
            #expect(mount.status == 202)
        }
    }

    @Test func aCollectionInTheMiddleOfASlowPushSparesItsBlobs() async throws {
        try await RegistryFixture.with { fixture in
            let config = Array("{}".utf8)
            let digest = ContentDigest(of: config)
            #expect(try await send(fixture, "POST", "/v2/meu-registry/app/blobs/uploads/?digest=\(digest)", config).status == 201)
            let content = fixture.repositories.content
            _ = try content.collect(grace: .seconds(-600), live: { fixture.repositories.live() })
            let manifest = ImageManifest(config: Descriptor(mediaType: MediaType.ociConfig, digest: digest, size: 2), layers: [])
            let put = try await send(
                fixture, "PUT", "/v2/meu-registry/app/manifests/1", manifest.bytes, headers: ["content-type": MediaType.ociManifest])
            #expect(put.status == 201)
            // A registry that was deleted leaves nothing to one that gets its name.
            #expect(try await send(fixture, "POST", "/v2/meu-registry/new/blobs/uploads/?digest=\(digest)", config).status == 201)
            try fixture.repositories.removeRegistry("meu-registry")
            #expect(try await send(fixture, "GET", "/v2/meu-registry/new/blobs/\(digest)").status == 404)
            #expect(fixture.repositories.live().isEmpty)
        }
    }
}
