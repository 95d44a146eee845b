package import Machinery

/// Which admission plugins run: upstream's usual ones, with what a person turns on and off by upstream's names.
package struct AdmissionSelection: Sendable {
    private static let usual: Set<String> = [
        "NamespaceLifecycle", "LimitRanger", "ServiceAccount", "NodeRestriction", "TaintNodesByCondition", "PodSecurity", "Priority", "DefaultTolerationSeconds",
        "DefaultStorageClass", "StorageObjectInUseProtection", "PersistentVolumeClaimResize", "RuntimeClass", "CertificateApproval", "DefaultIngressClass", "PodTopologyLabels",
        "MutatingAdmissionPolicy", "MutatingAdmissionWebhook", "ValidatingAdmissionPolicy", "ValidatingAdmissionWebhook", "ResourceQuota",
    ]
    private static let further: Set<String> = ["AlwaysAdmit", "AlwaysPullImages", "DenyServiceExternalIPs", "AlwaysDeny"]
    /// Of upstream's, those whose rules are part of others here, or that are not here at all.
    private static let joined = ["CertificateSigning": "CertificateApproval", "CertificateSubjectRestriction": "CertificateApproval"]

    private let names: Set<String>

    package init() { names = AdmissionSelection.usual }

    /// Throws for names that mean nothing here.
    package init(enabled: [String], disabled: [String]) throws(APIError) {
        var names = AdmissionSelection.usual
        let known = AdmissionSelection.usual.union(AdmissionSelection.further)
        for (option, list) in [("enable-admission-plugins", enabled), ("disable-admission-plugins", disabled)] {
            for name in list where !known.contains(name) {
                if let other = AdmissionSelection.joined[name] {
                    if option.hasPrefix("enable") { continue }
                    throw .badRequest("\(option): the rules of \(name) are part of \(other) here")
                }
                throw .badRequest("\(option) plugin \(FieldError.quoted(name)) is unknown")
            }
        }
        if let both = enabled.first(where: disabled.contains) {
            throw .badRequest("[\(both)] in enable-admission-plugins and disable-admission-plugins overlapped")
        }
        names.formUnion(enabled)
        names.subtract(disabled)
        self.names = names
    }

    package func includes(_ name: String) -> Bool { names.contains(name) }
}
