import Core
import Testing

@testable import Transport

@Suite struct IdentityTests {
    @Test func issuedCertificatesSayWhatWasAsked() throws {
        let authority = try #require(TestIdentities.authority)
        let server = try authority.issueServer(commonName: "node", organizations: ["o"], dns: ["a.b", "*.c"], addresses: ["10.0.0.1", "fd00::0:5"])
        let parsed = try #require(try Certificate.parse(pem: server.certificatePEM).first)
        #expect(parsed.subject == .init(commonName: "node", organizations: ["o"]))
        #expect(parsed.issuer.commonName == "test authority")
        #expect(parsed.names.dns == ["a.b", "*.c"])
        #expect(parsed.names.addresses == ["10.0.0.1", "fd00::5"])
        #expect(!parsed.isAuthority)
        #expect(authority.certificate.isAuthority)
        let now = Timestamp.now()
        #expect(parsed.notBefore < now)
        #expect(abs((parsed.notAfter - now).components.seconds - 365 * 86400) < 60)
        #expect(parsed.serial.count == 32)
        #expect(try Certificate(der: parsed.der) == parsed)
        #expect(try Certificate.parse(pem: parsed.pem) == [parsed])
    }

    @Test func poolsJudgeAuthorUsageAndTime() throws {
        let authority = try #require(TestIdentities.authority)
        let pool = try CertificatePool(pem: authority.identity.certificatePEM)
        func chain(_ identity: TLSIdentity) throws -> [[UInt8]] { try Certificate.parse(pem: identity.certificatePEM).map(\.der) }
        let client = try authority.issueClient(commonName: "u", organizations: ["g"])
        #expect(pool.refusal(of: try chain(client), usage: .client) == nil)
        #expect(pool.refusal(of: try chain(client), usage: .server) != nil)
        #expect(pool.refusal(of: try chain(authority.issueClient(commonName: "old", validity: .seconds(-60))), usage: .client) == "certificate has expired")
        let other = try CertificateAuthority.create(commonName: "test authority").issueClient(commonName: "u")
        #expect(pool.refusal(of: try chain(other), usage: .client) != nil)
        #expect(pool.refusal(of: [], usage: .client) != nil)
        #expect(pool.refusal(of: [[1, 2, 3]], usage: .client) != nil)
    }

    @Test func savedAuthoritiesGoOnSigningRequests() throws {
        let saved = try #require(TestIdentities.authority).identity
        let authority = try CertificateAuthority(identity: saved)
        let key = try PrivateKey(.ecdsaP256)
        let pem = try CertificateRequest.make(
            key: key, subject: .init(commonName: "system:node:a", organizations: ["system:nodes"]), names: .init(dns: ["a"], addresses: ["10.0.0.1"]))
        let request = try CertificateRequest(pem: pem)
        #expect(request.subject.commonName == "system:node:a")
        #expect(request.names.dns == ["a"])
        let signed = try #require(try Certificate.parse(pem: authority.sign(request, usages: [.client, .server], validity: .seconds(3600))).first)
        #expect(signed.subject.organizations == ["system:nodes"])
        #expect(signed.names.addresses == ["10.0.0.1"])
        #expect(try CertificatePool(pem: saved.certificatePEM).refusal(of: [signed.der], usage: .server) == nil)
        var broken = request.der
        broken[broken.count - 1] ^= 1
        #expect(throws: TransportError.self) { try CertificateRequest(der: broken) }
    }

    @Test(arguments: [PrivateKey.Kind.ecdsaP256, .rsa2048]) func tokensHoldOnlyForTheirKey(kind: PrivateKey.Kind) throws {
        let key = try PrivateKey(pem: try PrivateKey(kind).pem)
        let token = try JWT.sign(bytes(#"{"sub":"a"}"#), key: key)
        let parts = try #require(JWT.parse(token))
        #expect(text(parts.payload) == #"{"sub":"a"}"#)
        #expect(text(parts.header).contains(kind == .rsa2048 ? "RS256" : "ES256"))
        let same = try PublicKey(pem: key.publicKey.pem)
        let others = [try PrivateKey(.ecdsaP256).publicKey, try PrivateKey(.rsa2048).publicKey]
        #expect(JWT.verify(parts, keys: others + [same]))
        #expect(!JWT.verify(parts, keys: others))
        let forged = try #require(JWT.parse(token.replacing(token.split(separator: ".")[1], with: Encoding.base64URL(bytes(#"{"sub":"b"}"#)))))
        #expect(!JWT.verify(forged, keys: [same]))
        #expect(JWT.jwk(same).contains(JWT.keyID(same)))
        #expect(JWT.parse("a.b") == nil)
    }

    @Test func passwordsMatchOnlyThemselves() {
        let stored = PasswordHash.make("secret", rounds: 1000)
        #expect(PasswordHash.matches("secret", stored))
        #expect(!PasswordHash.matches("Secret", stored))
        #expect(!PasswordHash.matches("secret", "x"))
        #expect(PasswordHash.make("secret", rounds: 1000) != stored)
    }

    @Test(arguments: ["", "junk", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"]) func junkIsNoIdentity(pem: String) {
        #expect(throws: TransportError.self) { try Certificate.parse(pem: bytes(pem)) }
        #expect(throws: TransportError.self) { try PrivateKey(pem: bytes(pem)) }
        #expect(throws: TransportError.self) { try CertificateRequest(pem: bytes(pem)) }
        #expect(throws: TransportError.self) { try ServerTLS(identity: TLSIdentity(certificatePEM: bytes(pem), keyPEM: bytes(pem))) }
    }
}
