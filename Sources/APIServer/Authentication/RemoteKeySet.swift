import Core
import Machinery
import Transport
import Tree

/// The signing keys of an OpenID provider, found by its discovery document and kept. A key that is not known yet is asked for once,
/// whoever waits for it; a provider that fails is left alone for a while.
actor RemoteKeySet {
    struct Key: Sendable {
        let id: String
        let algorithm: String
        let key: PublicKey
    }

    struct Failure: Error, CustomStringConvertible {
        let description: String
        init(_ description: String) { self.description = description }
    }

    /// How long a failure, and a set without the key that was looked for, are believed.
    private static let patience = Duration.seconds(10)
    private static let timeout = Duration.seconds(30)

    private let issuer: String
    private let discovery: String
    private let client: HTTPClient
    private var location: String?
    private var keys: [Key] = []
    private var asked: ContinuousClock.Instant?
    private var failure: Failure?
    private var fetching: Task<Void, Never>?

    /// `authorities` is PEM; nil trusts the machine's roots.
    init(issuer: String, discovery: String?, authorities: [UInt8]?) {
        self.issuer = issuer
        let usual = (issuer.hasSuffix("/") ? String(issuer.dropLast()) : issuer) + "/.well-known/openid-configuration"
        self.discovery = discovery ?? usual
        client = HTTPClient(tls: ClientTLS(roots: authorities))
    }

    /// The keys that may have signed a token with this key id; all of them where it has none.
    func keys(for id: String) async throws(Failure) -> [Key] {
        let found = fitting(id)
        if !found.isEmpty { return found }
        if let asked, .now - asked < RemoteKeySet.patience, fetching == nil {
            if let failure { throw failure }
            return []
        }
        if fetching == nil { fetching = Task { await fetch() } }
        await fetching?.value
        if let failure { throw failure }
        return fitting(id)
    }

    private func fitting(_ id: String) -> [Key] { id.isEmpty ? keys : keys.filter { $0.id == id || $0.id.isEmpty } }

    private func fetch() async {
        do {
            if location == nil {
                let document = try await get(discovery)
                let stated = document["issuer"].string ?? ""
                guard stated == issuer else {
                    throw Failure("oidc: issuer did not match the issuer returned by provider, expected \(FieldError.quoted(issuer)) got \(FieldError.quoted(stated))")
                }
                guard let found = document["jwks_uri"].string, !found.isEmpty else { throw Failure("provider did not return JWKS URL") }
                location = found
            }
            keys = RemoteKeySet.keys(of: try await get(location ?? ""))
            failure = nil
        } catch {
            failure = error as? Failure ?? Failure(WebhookClient.reason(error))
        }
        asked = .now
        fetching = nil
    }

    private func get(_ url: String) async throws -> Node {
        guard let address = HTTPAddress(url), address.endpoint.isTLS else { throw Failure("\(url) is no https address") }
        let request = HTTPClientRequest("GET", address.endpoint, address.target, headers: ["Accept": "application/json"], timeout: RemoteKeySet.timeout)
        let client = client
        let (status, body) = try await Deadline.within(RemoteKeySet.timeout) {
            let answer = try await client.send(request)
            return (answer.status, try await answer.body(limit: 1 << 20))
        }
        guard status == 200 else { throw Failure("\(status): \(String(decoding: body.prefix(512), as: UTF8.self))") }
        return try JSONReader.read(body)
    }

    /// What is for signing and of a kind that is known; the rest of a set is no mistake.
    static func keys(of set: Node) -> [Key] {
        set["keys"].list.compactMap { entry in
            if let use = entry["use"].string, !use.isEmpty, use != "sig" { return nil }
            func number(_ name: String) -> [UInt8]? { entry[name].string.flatMap { Core.Encoding.decodeBase64($0) } }
            let numbers: PublicKey.Numbers
            switch entry["kty"].string {
            case "RSA":
                guard let modulus = number("n"), let exponent = number("e") else { return nil }
                numbers = .rsa(modulus: modulus, exponent: exponent)
            case "EC":
                guard let x = number("x"), let y = number("y") else { return nil }
                numbers = .elliptic(curve: entry["crv"].string ?? "", x: x, y: y)
            default: return nil
            }
            guard let key = try? PublicKey(numbers) else { return nil }
            return Key(id: entry["kid"].string ?? "", algorithm: entry["alg"].string ?? "", key: key)
        }
    }
}
