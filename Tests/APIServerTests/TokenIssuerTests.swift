import APIServer
import Core
import Machinery
import Store
import Testing
import Transport
import Tree

/// Tokens of an OpenID provider that speaks TLS, from its discovery document to the user that they stand for.
@Suite struct TokenIssuerTests {
    /// A provider on a free port of loopback.
    final class Provider: HTTPHandler {
        private struct State: Sendable {
            var keys: [PublicKey] = []
            var asked = 0
            var url = ""
        }

        let authority: CertificateAuthority
        private let state = Monitor(State())
        private let running = Monitor<HTTPServer?>(nil)

        init() throws { authority = try CertificateAuthority.create(commonName: "issuers") }

        func start() async throws {
            let identity = try authority.issueServer(commonName: "issuer", dns: ["localhost"], addresses: ["127.0.0.1"])
            let server = HTTPServer(listeners: [.tcp(host: "127.0.0.1", port: 0)], tls: try ServerTLS(identity: identity), handler: self)
            _ = try await server.start()
            running.withLock { $0 = server }
            state.withLock { $0.url = "https://127.0.0.1:\(server.port ?? 0)" }
        }

        func stop() async { await running.withLock { $0 }?.shutdown(grace: .zero) }
        var url: String { state.withLock { $0.url } }
        var asked: Int { state.withLock { $0.asked } }
        func serve(_ keys: [PublicKey]) { state.withLock { $0.keys = keys } }

        func handle(_ exchange: HTTPExchange) async {
            let (keys, url) = state.withLock { state in
                if exchange.request.path == "/keys" { state.asked += 1 }
                return (state.keys, state.url)
            }
            let body: String
            switch exchange.request.path {
            case "/.well-known/openid-configuration", "/elsewhere": body = "{\"issuer\":\"\(url)\",\"jwks_uri\":\"\(url)/keys\"}"
            case "/keys": body = "{\"keys\":[\(keys.map(JWT.jwk).joined(separator: ","))]}"
            default: return exchange.respond(status: 404)
            }
            exchange.respond(status: 200, headers: ["content-type": "application/json"], body: Array(body.utf8))
        }

        func token(_ key: PrivateKey, _ change: (inout Node) -> Void = { _ in }) throws -> String {
            let now = Timestamp.now().seconds
            var claims: Node = [
                "iss": .string(url), "aud": "jangada", "exp": .int(now + 600), "iat": .int(now), "sub": "ana", "email": "ana@example.com", "email_verified": true,
                "groups": ["devs", "ops"], "jti": "id-1", "team": ["name": "barco"],
            ]
            change(&claims)
            return try JWT.sign(JSONWriter.write(claims), key: key)
        }

        func configuration(_ change: (inout Node) -> Void = { _ in }) -> Node {
            var issuer: Node = [
                "issuer": ["url": .string(url), "audiences": ["jangada"], "certificateAuthority": .string(String(decoding: authority.identity.certificatePEM, as: UTF8.self))],
                "claimMappings": ["username": ["claim": "sub", "prefix": "oidc:"], "groups": ["claim": "groups", "prefix": "oidc:"]],
            ]
            change(&issuer)
            return ["apiVersion": "apiserver.config.k8s.io/v1", "kind": "AuthenticationConfiguration", "jwt": [issuer]]
        }
    }

    private func withProvider(_ body: (Provider, PrivateKey) async throws -> Void) async throws {
        let provider = try Provider()
        try await provider.start()
        let key = try PrivateKey(.rsa2048)
        provider.serve([key.publicKey])
        do { try await body(provider, key) } catch {
            await provider.stop()
            throw error
        }
        await provider.stop()
    }

    @Test func aTokenStandsForTheUserThatItsClaimsName() async throws {
        try await withProvider { provider, key in
            let configured = ConfiguredAuthentication()
            try configured.load(provider.configuration())
            let user = await configured.user(of: try provider.token(key))
            #expect(user?.name == "oidc:ana")
            #expect(user?.groups == ["oidc:devs", "oidc:ops"])
            #expect(user?.extra == ["authentication.kubernetes.io/credential-id": ["JTI=id-1"]])
            // Keys are kept.
            for _ in 0..<5 { #expect(await configured.user(of: try provider.token(key)) != nil) }
            #expect(provider.asked == 1)
        }
    }

    @Test func ellipticKeysAreTakenToo() async throws {
        try await withProvider { provider, _ in
            let key = try PrivateKey(.ecdsaP256)
            provider.serve([key.publicKey])
            let configured = ConfiguredAuthentication()
            try configured.load(provider.configuration())
            #expect(await configured.user(of: try provider.token(key))?.name == "oidc:ana")
        }
    }

    @Test func whatIsNotRightWithATokenRefusesIt() async throws {
        try await withProvider { provider, key in
            let configured = ConfiguredAuthentication()
            try configured.load(provider.configuration { $0["claimValidationRules"] = [["claim": "hd", "requiredValue": "example.com"]] })
            func user(_ change: (inout Node) -> Void) async throws -> UserInfo? {
                await configured.user(
                    of: try provider.token(key) { claims in
                        claims["hd"] = "example.com"
                        change(&claims)
                    })
            }
            let now = Timestamp.now().seconds
            let good = try await user { _ in }
            let several = try await user { $0["aud"] = ["other", "jangada"] }
            #expect(good != nil && several != nil)
            let wrong: [@Sendable (inout Node) -> Void] = [
                { $0["aud"] = "other" }, { $0["exp"] = .int(now - 1) }, { $0["nbf"] = .int(now + 3600) }, { $0["iss"] = "https://other.example.com" },
                { $0["hd"] = "other.example.com" }, { $0.remove("hd") }, { $0.remove("sub") },
            ]
            for (index, change) in wrong.enumerated() {
                let refused = try await user(change)
                #expect(refused == nil, "\(index)")
            }
            let stranger = try provider.token(try PrivateKey(.rsa2048)) { $0["hd"] = "example.com" }
            #expect(await configured.user(of: stranger) == nil)
            #expect(await configured.user(of: "no.token.really") == nil)
            // Signed by nobody: the payload of a good token with a header that says so.
            let parts = try provider.token(key) { $0["hd"] = "example.com" }.split(separator: ".").map(String.init)
            #expect(await configured.user(of: "eyJhbGciOiJub25lIn0.\(parts[1]).") == nil)
        }
    }

    @Test func expressionsMapAndCheckClaimsAndUsers() async throws {
        try await withProvider { provider, key in
            let configured = ConfiguredAuthentication()
            let configuration = provider.configuration { issuer in
                issuer["claimMappings"] = [
                    "username": ["expression": "claims.email_verified ? claims.email : 'nobody'"],
                    "groups": ["expression": "claims.groups.filter(g, g != 'ops').map(g, 'team:' + claims.team.name + ':' + g)"],
                    "uid": ["expression": "claims.sub"],
                    "extra": [["key": "example.com/team", "valueExpression": "claims.team.name"], ["key": "example.com/none", "valueExpression": "''"]],
                ]
                issuer["claimValidationRules"] = [["expression": "claims.exp - claims.iat <= 3600", "message": "lives too long"]]
                issuer["userValidationRules"] = [["expression": "!user.username.startsWith('system:')", "message": "reserved"]]
            }
            try configured.load(configuration)
            let user = await configured.user(of: try provider.token(key))
            #expect(user?.name == "ana@example.com")
            #expect(user?.uid == "ana")
            #expect(user?.groups == ["team:barco:devs"])
            #expect(user?.extra["example.com/team"] == ["barco"])
            #expect(user?.extra["example.com/none"] == nil)
            let lasting = try provider.token(key) { $0["exp"] = .int(($0["iat"].int ?? 0) + 7200) }
            let reserved = try provider.token(key) { $0["email"] = "system:admin" }
            #expect(await configured.user(of: lasting) == nil)
            #expect(await configured.user(of: reserved) == nil)
            let withoutEmail = try provider.token(key) { $0.remove("email") }
            #expect(await configured.user(of: withoutEmail) == nil)
        }
    }

    @Test func fieldsThatThereAreNotAreRefused() throws {
        let file: Node = [
            "apiVersion": "apiserver.config.k8s.io/v1", "kind": "AuthenticationConfiguration", "anonymus": ["enabled": false],
            "jwt": [["issuer": ["url": "https://example.com", "audience": ["a"]], "claimMappings": ["extra": [["key": "a/b", "value": "c"]]]]],
        ]
        #expect {
            try ConfiguredAuthentication().load(file)
        } throws: { error in
            guard let message = (error as? APIError)?.message, message.hasPrefix("strict decoding error: ") else { return false }
            let told = Set(message.dropFirst(23).split(separator: ", "))
            return told == [#"unknown field "anonymus""#, #"unknown field "jwt[0].issuer.audience""#, #"unknown field "jwt[0].claimMappings.extra[0].value""#]
        }
    }

    @Test func aNewKeyIsFetchedWhenATokenNamesIt() async throws {
        try await withProvider { provider, key in
            let configured = ConfiguredAuthentication()
            try configured.load(provider.configuration { $0["issuer"]["discoveryURL"] = .string(provider.url + "/elsewhere") })
            // Before the first answer nothing was asked.
            #expect(provider.asked == 0)
            let users = await withTaskGroup(of: Bool.self) { group in
                for _ in 0..<10 { group.addTask { await configured.user(of: (try? provider.token(key)) ?? "") != nil } }
                return await group.reduce(into: 0) { $0 += $1 ? 1 : 0 }
            }
            #expect(users == 10)
            #expect(provider.asked == 1, "ten at once ask once")
        }
    }

    @Test func aProviderThatCannotBeTrustedIsNotBelieved() async throws {
        try await withProvider { provider, key in
            let other = try CertificateAuthority.create(commonName: "other")
            let configured = ConfiguredAuthentication()
            try configured.load(provider.configuration { $0["issuer"]["certificateAuthority"] = .string(String(decoding: other.identity.certificatePEM, as: UTF8.self)) })
            #expect(await configured.user(of: try provider.token(key)) == nil)
        }
    }

    @Test func aRequestComesInWithSuchATokenAndAnonymousOnesOnlyWhereAllowed() async throws {
        try await withProvider { provider, key in
            let configured = ConfiguredAuthentication()
            var configuration = provider.configuration()
            configuration["anonymous"] = ["enabled": true, "conditions": [["path": "/healthz"]]]
            try configured.load(configuration)
            let fixture = try await ServerFixture(authenticators: AuthenticatorChain([], configured: configured))
            func ask(_ path: String, _ token: String?) async throws -> (Int, Node) {
                try await fixture.send("GET", path, headers: token.map { [("authorization", "Bearer \($0)")] } ?? [])
            }
            let good = try provider.token(key)
            let (code, body) = try await ask("/api/v1/namespaces", good)
            #expect(code == 403)
            #expect(body["message"].string?.contains("User \"oidc:ana\"") == true)
            #expect(try await ask("/api/v1/namespaces", "nonsense").0 == 401)
            #expect(try await ask("/healthz", nil).0 == 403, "known as anonymous, whom no role lets in here")
            #expect(try await ask("/version", nil).0 == 401)
            // What is wrong is refused and changes nothing.
            #expect(throws: APIError.self) { try configured.load(["apiVersion": "apiserver.config.k8s.io/v1", "kind": "Other"]) }
            #expect(try await ask("/api/v1/namespaces", good).0 == 403)
            try configured.load(["apiVersion": "apiserver.config.k8s.io/v1", "kind": "AuthenticationConfiguration"])
            #expect(try await ask("/api/v1/namespaces", good).0 == 401)
            await fixture.stop()
        }
    }

    @Test(arguments: [
        (#"{"issuer":{"url":"http://x","audiences":["a"]},"claimMappings":{"username":{"claim":"sub","prefix":""}}}"#, "jwt[0].issuer.url: Invalid value: \"http://x\": URL scheme must be https"),
        (#"{"issuer":{"url":"https://x"},"claimMappings":{"username":{"claim":"sub","prefix":""}}}"#, "jwt[0].issuer.audiences: Required value"),
        (#"{"issuer":{"url":"https://x","audiences":["a","b"]},"claimMappings":{"username":{"claim":"sub","prefix":""}}}"#, "audienceMatchPolicy must be MatchAny for multiple audiences"),
        (#"{"issuer":{"url":"https://x","audiences":["a"]},"claimMappings":{"username":{"claim":"sub"}}}"#, "jwt[0].claimMappings.username.prefix: Required value"),
        (#"{"issuer":{"url":"https://x","audiences":["a"]},"claimMappings":{}}"#, "jwt[0].claimMappings.username: Required value: claim or expression is required"),
        (#"{"issuer":{"url":"https://x","audiences":["a"]},"claimMappings":{"username":{"expression":"claims.sub +"}}}"#, "compilation failed"),
        (#"{"issuer":{"url":"https://x","audiences":["a"]},"claimMappings":{"username":{"expression":"1 + 1"}}}"#, "must evaluate to string"),
        (#"{"issuer":{"url":"https://x","audiences":["a"]},"claimMappings":{"username":{"expression":"claims.email"}}}"#, "claims.email_verified must be used"),
        (#"{"issuer":{"url":"https://x","audiences":["a"]},"claimMappings":{"username":{"claim":"sub","prefix":""},"extra":[{"key":"foo.kubernetes.io/x","valueExpression":"'a'"}]}}"#, "reserved for Kubernetes use"),
        (#"{"issuer":{"url":"https://kubernetes.default.svc.cluster.local","audiences":["a"]},"claimMappings":{"username":{"claim":"sub","prefix":""}}}"#, "must not overlap with disallowed issuers"),
        (#"{"issuer":{"url":"https://x","audiences":["a"],"certificateAuthority":"nonsense"},"claimMappings":{"username":{"claim":"sub","prefix":""}}}"#, "certificateAuthority: Invalid value: \"<omitted>\""),
    ])
    func aConfigurationWithAMistakeIsRefused(_ issuer: String, _ words: String) throws {
        let node: Node = ["apiVersion": "apiserver.config.k8s.io/v1", "kind": "AuthenticationConfiguration", "jwt": [try JSONReader.read(Array(issuer.utf8))]]
        do {
            try ConfiguredAuthentication().load(node)
            Issue.record("\(issuer) was taken")
        } catch { #expect(error.message.contains(words), "\(error.message)") }
    }

    @Test func aTokenFileIsReadAsUpstreamReadsIt() throws {
        let tokens = try StaticTokenAuthenticator(csv: "# comment\nt1,ana,u1,\"devs,ops\"\nt2,\"b,o\"\"b\",u2\r\n\n")
        #expect(tokens.user(of: "t1") == UserInfo(name: "ana", uid: "u1", groups: ["devs", "ops"]))
        #expect(tokens.user(of: "t2") == UserInfo(name: "b,o\"b", uid: "u2"))
        #expect(tokens.user(of: "t3") == nil)
        #expect(throws: APIError.self) { try StaticTokenAuthenticator(csv: "t1,ana") }
    }
}
