import Core
import Testing
import Transport
import Tree

@testable import ImageRegistry
@testable import OCI

/// What Docker's engine sends, request by request: login by token, a push in chunks and by mounting, a pull.
@Suite struct DockerSequenceTests {
    /// One client of a fixture, which sends what it is told and nothing of its own.
    struct Wire: Sendable {
        let client = HTTPClient()
        let fixture: RegistryFixture
        var authorization: String?

        typealias Answer = (status: Int, headers: HTTPHeaders, body: [UInt8])

        func send(_ method: String, _ target: String, _ body: HTTPClientRequest.Body = .none, _ headers: HTTPHeaders = [:]) async throws -> Answer {
            var headers = headers
            if let authorization { headers["authorization"] = authorization }
            let endpoint = HTTPEndpoint(isTLS: false, host: "127.0.0.1", port: fixture.port)
            let response = try await client.send(HTTPClientRequest(method, endpoint, target, headers: headers, body: body))
            return (response.status, response.headers, try await response.body())
        }

        /// As Docker asks, with basic auth.
        func token(_ user: String, _ password: String, _ scopes: [String] = []) async throws -> (status: Int, node: Node) {
            var asking = self
            asking.authorization = "Basic " + Encoding.base64(Array("\(user):\(password)".utf8))
            let query = scopes.map { "&scope=" + PercentEncoding.encode($0) }.joined()
            let answer = try await asking.send(
                "GET", "/token?account=\(user)&client_id=docker&offline_token=true&service=\(PercentEncoding.encode(fixture.host))\(query)")
            return (answer.status, try JSONReader.read(answer.body))
        }

        func bearer(_ scopes: String...) async throws -> Wire {
            let answer = try await token(fixture.user, fixture.token, scopes)
            #expect(answer.status == 200)
            var out = self
            out.authorization = "Bearer " + (answer.node["token"].string ?? "")
            return out
        }
    }

    @Test func aLoginIsAChallengeATokenAndTheBaseAgain() async throws {
        try await RegistryFixture.with { fixture in
            let wire = Wire(fixture: fixture)
            let first = try await wire.send("GET", "/v2/")
            #expect(first.status == 401 && first.headers["docker-distribution-api-version"] == "registry/2.0")
            #expect(first.headers["www-authenticate"]?.hasPrefix("Bearer realm=\"http://\(fixture.host)/token\",service=") == true)
            let wrong = try await wire.token("ana", "wrong")
            #expect(wrong.status == 401 && wrong.node["errors"][0]["code"] == "UNAUTHORIZED")
            #expect(wrong.node["errors"][0]["message"] == "incorrect username or password")
            let right = try await wire.token(fixture.user, fixture.token)
            // No refresh token: Docker then keeps the password, which pull secrets made of its file can use.
            #expect(right.node["refresh_token"].isNull && right.node["expires_in"].int ?? 0 >= 60)
            #expect(right.node["access_token"] == right.node["token"] && right.node["issued_at"].string != nil)
            var logged = wire
            logged.authorization = "Bearer " + (right.node["token"].string ?? "")
            #expect(try await logged.send("GET", "/v2/").status == 200)
            // Older engines try basic at once.
            logged.authorization = "Basic " + Encoding.base64(Array("ana:wrong".utf8))
            let basic = try await logged.send("GET", "/v2/")
            #expect(basic.status == 401)
            #expect(try JSONReader.read(basic.body)["errors"][0]["message"] == "authentication required")
            logged.authorization = fixture.basic
            #expect(try await logged.send("GET", "/v2/").status == 200)
        }
    }

    @Test func tokensAreAlsoGivenForAForm() async throws {
        try await RegistryFixture.with { fixture in
            let wire = Wire(fixture: fixture)
            func ask(_ fields: [(String, String)]) async throws -> (status: Int, node: Node) {
                let form = fields.map { "\($0.0)=\(PercentEncoding.encode($0.1))" }.joined(separator: "&")
                let answer = try await wire.send(
                    "POST", "/token", .bytes(Array(form.utf8)), ["content-type": "application/x-www-form-urlencoded"])
                return (answer.status, try JSONReader.read(answer.body))
            }
            let login = [("grant_type", "password"), ("username", fixture.user), ("service", fixture.host), ("client_id", "containerd-client")]
            let scope = ("scope", "repository:meu-registry/app:pull repository:outro/app:pull,push")
            let granted = try await ask(login + [("password", fixture.token), scope])
            #expect(granted.status == 200)
            var holder = wire
            holder.authorization = "Bearer " + (granted.node["access_token"].string ?? "")
            #expect(try await holder.send("GET", "/v2/meu-registry/app/tags/list").status == 404)
            // The token grants what the credential has, of what was asked: no push, and nothing elsewhere.
            let push = try await holder.send("POST", "/v2/meu-registry/app/blobs/uploads/")
            #expect(push.status == 401 && push.headers["www-authenticate"]?.contains("error=\"insufficient_scope\"") == true)
            #expect(try await holder.send("GET", "/v2/outro/app/tags/list").status == 401)
            #expect(try await ask(login + [("password", "wrong"), scope]).status == 401)
            #expect(try await ask([("grant_type", "refresh_token"), ("refresh_token", "x"), scope]).status == 401)
        }
    }

    @Test(arguments: [false, true]) func aPushInChunksAndByMountingIsPulled(withRanges: Bool) async throws {
        try await RegistryFixture.with { fixture in
            let wire = try await Wire(fixture: fixture).bearer("repository:meu-registry/app:pull,push")
            let layer = (0..<300_000).map { UInt8(truncatingIfNeeded: $0) }
            let digest = ContentDigest(of: layer)
            #expect(try await wire.send("HEAD", "/v2/meu-registry/app/blobs/\(digest)").status == 404)
            let opened = try await wire.send("POST", "/v2/meu-registry/app/blobs/uploads/?from=meu-registry/base&mount=\(digest)")
            // Nothing to mount: an upload instead.
            #expect(opened.status == 202 && opened.headers["docker-upload-uuid"] != nil)
            var place = try #require(opened.headers["location"])
            for part in [0..<100_000, 100_000..<300_000] {
                let bytes = Array(layer[part])
                // Without a length known before, as Docker streams what it compresses.
                let body = HTTPClientRequest.Body.stream(length: withRanges ? bytes.count : nil) { writer in
                    for start in stride(from: 0, to: bytes.count, by: 30_000) { try await writer.write(Array(bytes[start..<min(start + 30_000, bytes.count)])) }
                }
                let headers: HTTPHeaders = withRanges ? ["content-range": "\(part.lowerBound)-\(part.upperBound - 1)"] : [:]
                let answer = try await wire.send("PATCH", place, body, headers)
                #expect(answer.status == 202 && answer.headers["range"] == "0-\(part.upperBound - 1)")
                place = try #require(answer.headers["location"])
            }
            let done = try await wire.send("PUT", place + "?digest=\(PercentEncoding.encode("\(digest)"))", .bytes([]))
            #expect(done.status == 201 && done.headers["location"] == "/v2/meu-registry/app/blobs/\(digest)")
            let config = Array(#"{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":["\#(digest)"]}}"#.utf8)
            let configDigest = ContentDigest(of: config)
            #expect(try await wire.send("POST", "/v2/meu-registry/app/blobs/uploads/?digest=\(configDigest)", .bytes(config)).status == 201)
            let manifest = #"{"schemaVersion":2,"mediaType":"\#(MediaType.dockerManifest)","config":{"mediaType":"\#(MediaType.dockerConfig)","size":\#(config.count),"digest":"\#(configDigest)"},"layers":[{"mediaType":"\#(MediaType.dockerLayer)","size":300000,"digest":"\#(digest)"}]}"#
            let put = try await wire.send("PUT", "/v2/meu-registry/app/manifests/1", .bytes(Array(manifest.utf8)), ["content-type": MediaType.dockerManifest])
            #expect(put.status == 201 && put.headers["docker-content-digest"] == "\(ContentDigest(of: Array(manifest.utf8)))")
            try await pull(fixture, manifest: manifest, layer: layer)
            // Into another repository without sending it again; a token for both is asked for, as Docker does.
            let both = try await Wire(fixture: fixture).bearer("repository:meu-registry/copy:pull,push", "repository:meu-registry/app:pull")
            let mounted = try await both.send("POST", "/v2/meu-registry/copy/blobs/uploads/?from=meu-registry/app&mount=\(digest)")
            #expect(mounted.status == 201 && mounted.headers["docker-content-digest"] == "\(digest)")
            #expect(fixture.repositories.content.partials().isEmpty)
        }
    }

    private func pull(_ fixture: RegistryFixture, manifest: String, layer: [UInt8]) async throws {
        let wire = try await Wire(fixture: fixture).bearer("repository:meu-registry/app:pull")
        let accept: HTTPHeaders = ["accept": "\(MediaType.dockerManifest), \(MediaType.dockerList), \(MediaType.ociManifest), \(MediaType.ociIndex)"]
        let head = try await wire.send("HEAD", "/v2/meu-registry/app/manifests/1", .none, accept)
        let digest = ContentDigest(of: Array(manifest.utf8))
        #expect(head.status == 200 && head.body.isEmpty && head.headers["content-length"] == "\(manifest.utf8.count)")
        #expect(head.headers["docker-content-digest"] == "\(digest)" && head.headers["content-type"] == MediaType.dockerManifest)
        #expect(try await wire.send("GET", "/v2/meu-registry/app/manifests/\(digest)", .none, accept).body == Array(manifest.utf8))
        #expect(try await wire.send("GET", "/v2/meu-registry/app/blobs/\(ContentDigest(of: layer))").body == layer)
    }
}
