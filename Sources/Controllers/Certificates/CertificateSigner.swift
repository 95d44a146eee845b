package import Client
package import Core
import Machinery
import Schema
package import Tree

/// What signs certificates, and knows who may have one without being asked about.
package protocol CertificateIssuer: Sendable {
    /// The parts of a request that decide about it; nil where it cannot be read.
    func read(_ request: [UInt8]) -> RequestedCertificate?
    /// The certificate as PEM. Whether it may be had was decided before.
    func sign(_ request: [UInt8], usages: [String], validity: Duration) throws -> [UInt8]
    /// Whether who made the request may create `certificatesigningrequests/<subresource>`.
    func mayCreate(_ subresource: String, _ spec: Node) -> Bool
}

package struct RequestedCertificate: Sendable, Equatable {
    package var commonName: String
    package var organizations: [String]
    /// Whether it names hosts or addresses, and whether it names mailboxes or URIs.
    package var namesHosts: Bool
    package var namesOthers: Bool

    package init(commonName: String, organizations: [String], namesHosts: Bool, namesOthers: Bool) {
        self.commonName = commonName
        self.organizations = organizations
        self.namesHosts = namesHosts
        self.namesOthers = namesOthers
    }
}

/// Signs the approved requests to Kubernetes' own signers, and approves kubelets' client certificates for those who may have them.
package struct CertificateSigner: Reconciler {
    private let issuer: any CertificateIssuer
    private static let longest: Int64 = 365 * 86400

    package init(_ issuer: any CertificateIssuer) { self.issuer = issuer }

    package var name: String { "certificate-controller" }
    package var triggers: [Trigger] {
        [Trigger(.certificateSigningRequests) { change, _ in change.new.map { $0["status"]["certificate"].isEmpty } == true ? [change.key] : [] }]
    }

    package func reconcile(_ key: ObjectKey, _ view: ClusterView, _ recorder: EventRecorder, now: Timestamp) async throws -> Duration? {
        guard var request = view.get(.certificateSigningRequests, key), request["status"]["certificate"].isEmpty else { return nil }
        func has(_ type: String) -> Bool { request["status"].condition(type)?["status"].string == "True" }
        guard !has("Denied"), !has("Failed"), let text = request["spec"]["request"].string, let bytes = Base64.decode(text), let wanted = issuer.read(bytes) else {
            return nil
        }
        let signer = request["spec"]["signerName"].string ?? ""
        let usages = Set(request["spec"]["usages"].stringList)
        if !has("Approved") {
            guard let message = approval(request["spec"], wanted, signer, usages) else { return nil }
            request["status"]["conditions"].append(CertificateSigner.condition("Approved", "AutoApproved", message, now))
            _ = try await view.client.update(.certificateSigningRequests, request, subresource: "approval")
            return nil
        }
        guard let problem = CertificateSigner.problem(signer, wanted, usages) else { return nil }
        if problem.isEmpty {
            let seconds = request["spec"]["expirationSeconds"].int.map { min(max($0, 600), CertificateSigner.longest) } ?? CertificateSigner.longest
            let certificate = try issuer.sign(bytes, usages: usages.sorted(), validity: .seconds(seconds))
            request["status"]["certificate"] = .string(Base64.encode(certificate))
        } else {
            request["status"]["conditions"].append(CertificateSigner.condition("Failed", "SignerValidationFailure", problem, now))
        }
        _ = try await view.client.update(.certificateSigningRequests, request, subresource: "status")
        return nil
    }

    private static func condition(_ type: String, _ reason: String, _ message: String, _ now: Timestamp) -> Node {
        [
            "type": .string(type), "status": "True", "reason": .string(reason), "message": .string(message), "lastUpdateTime": .string(now.rfc3339),
            "lastTransitionTime": .string(now.rfc3339),
        ]
    }

    /// What to say of an approval that needs nobody; nil where somebody has to decide.
    private func approval(_ spec: Node, _ wanted: RequestedCertificate, _ signer: String, _ usages: Set<String>) -> String? {
        guard signer == "kubernetes.io/kube-apiserver-client-kubelet", CertificateSigner.problem(signer, wanted, usages) == "" else { return nil }
        if spec["username"].string == wanted.commonName, issuer.mayCreate("selfnodeclient", spec) {
            return "Auto approving self kubelet client certificate after SubjectAccessReview."
        }
        return issuer.mayCreate("nodeclient", spec) ? "Auto approving kubelet client certificate after SubjectAccessReview." : nil
    }

    /// Why a signer does not sign it: empty where it does, nil where the signer is somebody else.
    static func problem(_ signer: String, _ wanted: RequestedCertificate, _ usages: Set<String>) -> String? {
        switch signer {
        case "kubernetes.io/kube-apiserver-client":
            let others = usages.subtracting(["client auth", "digital signature", "key encipherment"])
            if !others.isEmpty { return "invalid usage for client certificate: \(others.sorted().joined(separator: ", "))" }
            return usages.contains("client auth") ? "" : "missing required usage for client certificate: client auth"
        case "kubernetes.io/kube-apiserver-client-kubelet": return kubelet(wanted, usages, "client auth", hosts: false)
        case "kubernetes.io/kubelet-serving": return kubelet(wanted, usages, "server auth", hosts: true)
        case "kubernetes.io/legacy-unknown": return ""
        default: return nil
        }
    }

    private static func kubelet(_ wanted: RequestedCertificate, _ usages: Set<String>, _ use: String, hosts: Bool) -> String {
        if wanted.organizations != ["system:nodes"] { return "subject organization is not system:nodes" }
        if hosts, !wanted.namesHosts { return "DNS or IP subjectAltName is required" }
        if !hosts, wanted.namesHosts { return "DNS subjectAltNames are not allowed" }
        if wanted.namesOthers { return "Email subjectAltNames are not allowed" }
        let required: Set<String> = ["digital signature", use]
        if usages != required, usages != required.union(["key encipherment"]) {
            return "usages did not match [\(required.union(["key encipherment"]).sorted().joined(separator: " "))]"
        }
        return wanted.commonName.hasPrefix("system:node:") ? "" : "subject common name does not begin with system:node:"
    }
}
