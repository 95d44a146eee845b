package import Machinery
package import Store
import Transport
import Tree

/// Who approves a certificate request must be allowed to for its signer; who signs it likewise; and nobody becomes a master by one.
package struct CertificateAdmission: AdmissionPlugin {
    private static let collection = "certificates.k8s.io/certificatesigningrequests"
    private static let clientSigner = "kubernetes.io/kube-apiserver-client"

    private let authorizer: RBACAuthorizer
    package init(_ authorizer: RBACAuthorizer) { self.authorizer = authorizer }
    package var name: String { "CertificateApproval" }

    package func concerns(_ request: AdmissionRequest, _ stage: AdmissionStage) -> Bool { stage == .validating && request.resource.collection == CertificateAdmission.collection }

    package func validate(_ request: AdmissionRequest) async throws(APIError) {
        guard request.resource.collection == CertificateAdmission.collection else { return }
        switch (request.operation, request.subresource) {
        case (.update, "approval"):
            let signer = request.old["spec"]["signerName"].string ?? ""
            guard mayUse(signer, "approve", request.user) else {
                throw request.forbidden("user not permitted to approve requests with signerName \(FieldError.quoted(signer))")
            }
        case (.update, "status"):
            guard request.object["status"]["certificate"] != request.old["status"]["certificate"] else { return }
            let signer = request.old["spec"]["signerName"].string ?? ""
            guard mayUse(signer, "sign", request.user) else {
                throw request.forbidden("user not permitted to sign requests with signerName \(FieldError.quoted(signer))")
            }
        case (.create, ""): try checkSubject(request)
        default: return
        }
    }

    /// The signer itself, or all of its domain.
    private func mayUse(_ signer: String, _ verb: String, _ user: UserInfo) -> Bool {
        let domain = signer.prefix { $0 != "/" } + "/*"
        return [signer, String(domain)].contains { name in
            authorizer.allows(Attributes(user: user, verb: verb, group: "certificates.k8s.io", resource: "signers", name: name))
        }
    }

    private func checkSubject(_ request: AdmissionRequest) throws(APIError) {
        let spec = request.object["spec"]
        guard spec["signerName"].string == CertificateAdmission.clientSigner else { return }
        guard let pem = spec["request"].string.flatMap({ Base64.decode($0) }), let parsed = try? CertificateRequest(pem: pem) else {
            throw request.forbidden("failed to parse CSR: PEM block type must be CERTIFICATE REQUEST")
        }
        if parsed.subject.organizations.contains("system:masters") {
            throw request.forbidden("use of \(CertificateAdmission.clientSigner) signer with system:masters group is not allowed")
        }
    }
}

/// An Ingress that names no class gets the default one, the newest where several are marked.
package struct DefaultIngressClass: AdmissionPlugin {
    private let store: Store
    package init(_ store: Store) { self.store = store }
    package var name: String { "DefaultIngressClass" }

    package func concerns(_ request: AdmissionRequest, _ stage: AdmissionStage) -> Bool { stage == .mutating && request.resource.collection == "networking.k8s.io/ingresses" }

    package func admit(_ request: inout AdmissionRequest) async throws(APIError) {
        guard request.resource.collection == "networking.k8s.io/ingresses", request.subresource.isEmpty, request.operation == .create,
            request.object["spec"]["ingressClassName"].isNull, request.object.annotations["kubernetes.io/ingress.class"] == nil,
            let page = try? store.list("networking.k8s.io/ingressclasses")
        else { return }
        var best: Node?
        for record in page.records {
            let candidate = try record.sharedNode()
            guard candidate.annotations["ingressclass.kubernetes.io/is-default-class"] == "true" else { continue }
            let made = candidate["metadata"]["creationTimestamp"].string ?? ""
            let before = best?["metadata"]["creationTimestamp"].string ?? ""
            if best == nil || made > before || (made == before && candidate.name < best?.name ?? "") { best = candidate }
        }
        if let best { request.object["spec"]["ingressClassName"] = .string(best.name) }
    }
}
