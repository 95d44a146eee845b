package import Machinery
package import Transport

/// The user that a trusted proxy names in headers. Trusted is who shows a certificate of the front proxy's authority with its name.
package struct RequestHeaderAuthenticator: Authenticator {
    private let pool: CertificatePool
    private let allowedNames: Set<String>

    package init(pool: CertificatePool, allowedNames: Set<String>) {
        self.pool = pool
        self.allowedNames = allowedNames
    }

    package func authenticate(_ request: HTTPRequest) throws(APIError) -> UserInfo? {
        guard let name = request.headers["x-remote-user"], !name.isEmpty, let leaf = request.clientCertificates.first,
            pool.refusal(of: request.clientCertificates, usage: .client) == nil, let certificate = try? Certificate(der: leaf),
            allowedNames.contains(certificate.subject.commonName)
        else { return nil }
        var user = UserInfo(name: name, uid: request.headers["x-remote-uid"] ?? "", groups: request.headers.values("x-remote-group"))
        let prefix = "x-remote-extra-"
        for field in request.headers.fields {
            let key = field.name.lowercased()
            guard key.hasPrefix(prefix) else { continue }
            user.extra[PercentEncoding.decode(String(key.dropFirst(prefix.count))), default: []].append(field.value)
        }
        return user
    }
}
