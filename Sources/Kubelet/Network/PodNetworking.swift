import Core
package import HostNetwork
package import Linux
import Tree

/// Gives pods of one node their network namespaces.
package protocol PodNetworking: Sendable {
    /// Idempotent; also finds what an earlier daemon made.
    func attach(_ pod: String, hostPorts: [PodPort]) throws -> PodAttachment
    func detach(_ pod: String) throws
    /// Where pods with `hostNetwork` live, and where probes come from.
    var node: NetworkNamespace { get }
    /// Pods that have a network.
    func attached() -> [String]
}

package struct PodPort: Sendable, Hashable {
    package var isUDP: Bool
    package var hostPort: UInt16
    package var containerPort: UInt16
    /// The one address of the node that it is for; empty: all of them.
    package var hostIP = ""
}

package struct PodAttachment: Sendable {
    package var addresses: [String]
    package var namespace: NetworkNamespace
    package init(addresses: [String], namespace: NetworkNamespace) {
        self.addresses = addresses
        self.namespace = namespace
    }
}

/// `PodNetworking` over a node's own network.
package struct NodePodNetworking: PodNetworking {
    private let network: NodeNetwork

    package init(_ network: NodeNetwork) { self.network = network }

    package var node: NetworkNamespace { network.namespace }

    package func attach(_ pod: String, hostPorts: [PodPort]) throws -> PodAttachment {
        let ports = hostPorts.map {
            PodNetwork.HostPort(transport: $0.isUDP ? .udp : .tcp, hostPort: $0.hostPort, containerPort: $0.containerPort, address: IPAddress($0.hostIP))
        }
        let attachment = try network.pods.attach(pod, hostPorts: ports)
        return PodAttachment(addresses: attachment.addresses.map { "\($0)" }, namespace: try NetworkNamespace.open(attachment.path))
    }

    package func detach(_ pod: String) throws {
        try network.pods.detach(pod)
        try network.pods.refill()
    }

    package func attached() -> [String] {
        network.pods.attachments().map(\.podID).filter { !$0.hasPrefix(NodePodNetworking.buildPrefix) }
    }

    /// The commands of builds have networks like pods', which are no kubelet's to clean up.
    package static let buildPrefix = "build-"
}

extension PodPort {
    /// The host ports that a pod's containers ask for and that lead into its own network.
    static func of(_ pod: PodView) -> [PodPort] { pod.usesHostNetwork ? [] : all(pod) }

    static func all(_ pod: PodView) -> [PodPort] {
        (pod.containers + pod.sidecars).flatMap { $0["ports"].list }.compactMap { port in
            guard let host = port["hostPort"].int, let target = port["containerPort"].int, let hostPort = UInt16(exactly: host), hostPort > 0,
                let containerPort = UInt16(exactly: target)
            else { return nil }
            let address = port["hostIP"].string ?? ""
            return PodPort(
                isUDP: port["protocol"].string == "UDP", hostPort: hostPort, containerPort: containerPort, hostIP: address == "0.0.0.0" ? "" : address)
        }
    }

    /// Not both on one node.
    func clashes(_ other: PodPort) -> Bool {
        isUDP == other.isUDP && hostPort == other.hostPort && (hostIP.isEmpty || other.hostIP.isEmpty || hostIP == other.hostIP)
    }
}
