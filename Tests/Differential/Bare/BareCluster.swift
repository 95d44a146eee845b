import Core
import Platform
import Store
import Transport

/// The API server of a cluster with nothing behind it: no node, no controller, its store in memory.
package struct BareCluster: Sendable {
    package let kubeconfig: String
    private let plane: ControlPlane

    package init(directory: String, port: Int = 0) async throws {
        try FileSystem.makeDirectories(directory)
        let pki = try ClusterPKI.load(directory, names: .init())
        var options = ControlPlane.Options(location: .memory)
        options.port = port
        options.advertisedAddress = "192.0.2.1"
        options.isControllerManager = false
        plane = try ControlPlane(options, pki: pki)
        _ = try await plane.start()
        kubeconfig = "\(directory)/kubeconfig"
        // Named as upstream's administrator is in the comparison.
        let admin = try pki.authority.issueClient(commonName: "admin", organizations: ["system:masters"], validity: .seconds(86400 * 30))
        try Kubeconfig.make(
            name: "bare", server: "https://127.0.0.1:\(plane.port)", authorityPEM: pki.authority.identity.certificatePEM, client: admin
        ).write(kubeconfig)
    }

    package func stop() async { await plane.stop() }
}
