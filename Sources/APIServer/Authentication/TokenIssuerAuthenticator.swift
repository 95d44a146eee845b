import Core
import Logging
import Machinery
import Transport
import Tree

/// Takes the signed tokens of one issuer outside the cluster.
struct TokenIssuerAuthenticator: Sendable {
    /// Clocks may differ by so much when a token is very new.
    private static let leeway: Int64 = 300

    let issuer: TokenIssuer
    private let keys: RemoteKeySet
    private let time: any TimeSource

    init(_ issuer: TokenIssuer, time: any TimeSource) {
        self.issuer = issuer
        self.time = time
        keys = RemoteKeySet(issuer: issuer.url, discovery: issuer.discoveryURL, authorities: issuer.authorities)
    }

    /// Nil for a token of somebody else.
    func user(of token: String) async throws(TokenFailure) -> UserInfo? {
        guard let parts = JWT.parse(token), let claims = try? JSONReader.read(parts.payload), let header = try? JSONReader.read(parts.header) else { return nil }
        var stated = claims["iss"].string ?? ""
        // Google's tokens have the name without the scheme.
        if stated == "accounts.google.com" { stated = "https://accounts.google.com" }
        guard stated == issuer.url else { return nil }
        let now = time.now().seconds
        let audiences = claims["aud"].string.map { [$0] } ?? claims["aud"].stringList
        guard audiences.contains(where: issuer.audiences.contains) else { throw TokenFailure("verify token: expected audience in \(issuer.audiences) got \(audiences)") }
        guard let expiry = TokenIssuerAuthenticator.seconds(claims["exp"]), expiry > now else { throw TokenFailure("verify token: token is expired") }
        if let start = TokenIssuerAuthenticator.seconds(claims["nbf"]), start > now + TokenIssuerAuthenticator.leeway {
            throw TokenFailure("verify token: current time is before the nbf (not before) time")
        }
        guard let algorithm = JWT.Algorithm(rawValue: header["alg"].string ?? "") else {
            throw TokenFailure("verify token: id token signed with unsupported algorithm \(FieldError.quoted(header["alg"].string ?? ""))")
        }
        let candidates: [RemoteKeySet.Key]
        do { candidates = try await keys.keys(for: header["kid"].string ?? "") } catch { throw TokenFailure("verify token: fetching keys \(error)") }
        let isSigned = candidates.contains { key in
            (key.algorithm.isEmpty || key.algorithm == algorithm.rawValue) && JWT.verify(parts, key: key.key, by: algorithm)
        }
        guard isSigned else { throw TokenFailure("verify token: failed to verify signature") }
        return try issuer.user(claims)
    }

    /// Issuers write times with and without a fraction.
    private static func seconds(_ node: Node) -> Int64? { node.int ?? node.double.map { Int64(clamping: Int($0.clamped)) } }
}

extension Double {
    /// Where an integer can hold it.
    fileprivate var clamped: Double { isFinite ? Swift.min(Swift.max(self, -9e15), 9e15) : 0 }
}
