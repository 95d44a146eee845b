import APIServer
import Controllers
import Core
import Transport
import Tree

/// Certificates from the cluster's own authority, with the API's authorization deciding who may approve for themselves.
struct ClusterIssuer: CertificateIssuer {
    private let authority: CertificateAuthority
    private let authorizer: RBACAuthorizer

    init(_ authority: CertificateAuthority, _ authorizer: RBACAuthorizer) {
        self.authority = authority
        self.authorizer = authorizer
    }

    func read(_ request: [UInt8]) -> RequestedCertificate? {
        guard let parsed = try? CertificateRequest(pem: request) else { return nil }
        return RequestedCertificate(
            commonName: parsed.subject.commonName, organizations: parsed.subject.organizations,
            namesHosts: !parsed.names.dns.isEmpty || !parsed.names.addresses.isEmpty,
            namesOthers: !parsed.names.emails.isEmpty || !parsed.names.uris.isEmpty)
    }

    func sign(_ request: [UInt8], usages: [String], validity: Duration) throws -> [UInt8] {
        let uses = usages.compactMap { ["client auth": CertificateUsage.client, "server auth": .server][$0] }
        return try authority.sign(try CertificateRequest(pem: request), usages: uses, validity: validity)
    }

    func mayCreate(_ subresource: String, _ spec: Node) -> Bool {
        let user = UserInfo(name: spec["username"].string ?? "", groups: spec["groups"].stringList)
        return authorizer.allows(
            Attributes(user: user, verb: "create", group: "certificates.k8s.io", resource: "certificatesigningrequests", subresource: subresource))
    }
}
