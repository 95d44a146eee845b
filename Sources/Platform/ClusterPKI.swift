package import APIServer
package import Core
package import Transport

/// The keys of a cluster, made once and kept: its CA, the API server's identity, the key that signs service account tokens, and the
/// administrator's certificate. Keys are 0600.
package struct ClusterPKI: Sendable {
    package let authority: CertificateAuthority
    package let server: TLSIdentity
    package let admin: TLSIdentity
    /// By which aggregated servers know this one; an authority of its own, so that no client certificate passes for it.
    package let frontProxy: FrontProxy
    package let serviceAccountKey: PrivateKey

    /// What the server's certificate is good for, beside localhost and the cluster's own names.
    package struct Names: Sendable {
        package var dns: [String]
        package var addresses: [String]
        package init(dns: [String] = [], addresses: [String] = []) {
            self.dns = dns
            self.addresses = addresses
        }
    }

    private static let year = Duration.seconds(365 * 86400)

    /// Loads what is there and makes what is missing. A server certificate that lacks a name, or ends within 30 days, is made anew.
    package static func load(_ directory: String, names: Names, now: Timestamp = .now()) throws -> ClusterPKI {
        let authority = try CertificateAuthority(
            identity: identity(directory, "ca", isGood: { _ in true }) { try CertificateAuthority.create(commonName: "jangada").identity })
        let wanted = Certificate.SubjectNames(
            dns: ["localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local"] + names.dns,
            addresses: ["127.0.0.1", "::1"] + names.addresses)
        let server = try identity(directory, "apiserver", isGood: { certificate in
            certificate.notAfter > now + .seconds(30 * 86400) && wanted.dns.allSatisfy(certificate.names.dns.contains)
                && wanted.addresses.allSatisfy(certificate.names.addresses.contains)
        }) {
            try authority.issueServer(commonName: "kube-apiserver", dns: wanted.dns, addresses: wanted.addresses, validity: year)
        }
        let admin = try identity(directory, "admin", isGood: { $0.notAfter > now + .seconds(30 * 86400) }) {
            try authority.issueClient(commonName: "kubernetes-admin", organizations: ["system:masters"], validity: year * 10)
        }
        let frontAuthority = try CertificateAuthority(
            identity: identity(directory, "front-proxy-ca", isGood: { _ in true }) { try CertificateAuthority.create(commonName: "front-proxy-ca").identity })
        let front = try identity(directory, "front-proxy-client", isGood: { $0.notAfter > now + .seconds(30 * 86400) }) {
            try frontAuthority.issueClient(commonName: FrontProxy.commonName, validity: year)
        }
        return ClusterPKI(
            authority: authority, server: server, admin: admin, frontProxy: FrontProxy(identity: front, authority: frontAuthority.identity.certificatePEM),
            serviceAccountKey: try key("\(directory)/sa.key"))
    }

    private static func identity(
        _ directory: String, _ name: String, isGood: (Certificate) -> Bool, make: () throws -> TLSIdentity
    ) throws -> TLSIdentity {
        let certificatePath = "\(directory)/\(name).crt"
        let keyPath = "\(directory)/\(name).key"
        if FileSystem.exists(certificatePath), FileSystem.exists(keyPath) {
            let found = TLSIdentity(certificatePEM: try FileSystem.readFile(certificatePath), keyPEM: try FileSystem.readFile(keyPath))
            if let certificate = try Certificate.parse(pem: found.certificatePEM).first, isGood(certificate) { return found }
        }
        let made = try make()
        try FileSystem.writeAtomically(keyPath, made.keyPEM, mode: 0o600)
        try FileSystem.writeAtomically(certificatePath, made.certificatePEM, mode: 0o644)
        return made
    }

    private static func key(_ path: String) throws -> PrivateKey {
        if FileSystem.exists(path) { return try PrivateKey(pem: try FileSystem.readFile(path)) }
        let made = try PrivateKey(.ecdsaP256)
        try FileSystem.writeAtomically(path, made.pem, mode: 0o600)
        return made
    }
}
