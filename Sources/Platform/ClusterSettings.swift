package import Linux
import Store

/// What a person chose about a cluster, and what follows from its number on this machine.
package struct ClusterSettings: Sendable, Equatable {
    package enum Durability: String, Sendable, CaseIterable { case durable, relaxed, memory }

    package static let defaultName = "jangada"
    package static let defaultPort = 6443
    package static let defaultRegistryPort = 5000

    package var name = ClusterSettings.defaultName
    /// Tells this cluster from others on the machine; nil until it is claimed.
    package var index: Int?
    /// Port of the API on 127.0.0.1; 0 takes a free one.
    package var port = ClusterSettings.defaultPort
    /// Port of the registry on 127.0.0.1; 0 takes a free one.
    package var registryPort = ClusterSettings.defaultRegistryPort
    package var nodes = 1
    package var durability = Durability.durable
    package var api = APIServerOptions()
    /// False where upstream's kube-controller-manager, or another, takes the place of the own controllers.
    package var controllerManager = true
    /// False where upstream's kube-scheduler, or another, takes the place of the own one.
    package var scheduler = true

    package init() {}

    /// The name of the cluster's entries in a kubeconfig.
    package var context: String { ClusterSettings.context(name) }
    package static func context(_ name: String) -> String { name == defaultName ? defaultName : "\(defaultName)-\(name)" }

    /// The cluster's cgroup, and the name of its nftables table; nil where it has no number and so none of them.
    package var group: String? { index.map(ClusterSettings.group) }
    static func group(_ index: Int) -> String { index == 0 ? "jangada" : "jangada-\(index)" }

    /// Ranges of addresses. Those of nodes, load balancers and pods give way where the machine's own routes are in them.
    package struct Ranges: Sendable, Equatable {
        package var nodes: IPPrefix
        package var loadBalancers: IPPrefix
        package var pods: IPPrefix
        package var services: IPPrefix
    }

    /// No two numbers share any of them.
    package var ranges: Ranges? {
        guard let index, (0..<ClusterIndex.count).contains(index) else { return nil }
        let number = UInt8(index)
        return Ranges(
            nodes: IPPrefix(IPAddress(10, 89, number, 0), length: 24), loadBalancers: IPPrefix(IPAddress(10, 89, 255 - number, 0), length: 24),
            pods: IPPrefix(IPAddress(10, 244 - number, 0, 0), length: 16), services: ClusterSettings.serviceRange(index))
    }

    static func serviceRange(_ index: Int) -> IPPrefix {
        guard index > 0 else { return IPPrefix(IPAddress(10, 96, 0, 0), length: 16) }
        return IPPrefix(IPAddress(10, UInt8(97 + (index - 1) / 8), UInt8((index - 1) % 8 * 32), 0), length: 19)
    }

    func location(_ directory: StateDirectory) -> Store.Location {
        switch durability {
        case .durable: .file(directory.database, .durable)
        case .relaxed: .file(directory.database, .relaxed)
        case .memory: .memory
        }
    }
}
