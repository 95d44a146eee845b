import Testing

@testable import Controllers

@Suite struct CertificateTests {
    private static let node = RequestedCertificate(commonName: "system:node:n1", organizations: ["system:nodes"], namesHosts: false, namesOthers: false)

    @Test func kubeletsMayHaveWhatKubeletsNeed() {
        let usages: Set<String> = ["digital signature", "client auth"]
        #expect(CertificateSigner.problem("kubernetes.io/kube-apiserver-client-kubelet", CertificateTests.node, usages) == "")
        #expect(CertificateSigner.problem("kubernetes.io/kube-apiserver-client-kubelet", CertificateTests.node, usages.union(["server auth"]))?.hasPrefix("usages did not match") == true)
        #expect(CertificateSigner.problem("kubernetes.io/kubelet-serving", CertificateTests.node, ["digital signature", "server auth"]) == "DNS or IP subjectAltName is required")
    }

    @Test func othersAreNotTakenForNodes() {
        var wanted = CertificateTests.node
        wanted.commonName = "mallory"
        let usages: Set<String> = ["digital signature", "key encipherment", "client auth"]
        #expect(CertificateSigner.problem("kubernetes.io/kube-apiserver-client-kubelet", wanted, usages) == "subject common name does not begin with system:node:")
        wanted.organizations = []
        #expect(CertificateSigner.problem("kubernetes.io/kube-apiserver-client-kubelet", wanted, usages) == "subject organization is not system:nodes")
    }

    @Test func foreignSignersAreLeftAlone() {
        #expect(CertificateSigner.problem("example.com/mine", CertificateTests.node, []) == nil)
        #expect(CertificateSigner.problem("kubernetes.io/kube-apiserver-client", CertificateTests.node, ["client auth"]) == "")
        #expect(CertificateSigner.problem("kubernetes.io/kube-apiserver-client", CertificateTests.node, ["server auth"])?.isEmpty == false)
    }
}
