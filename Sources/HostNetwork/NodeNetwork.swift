package import Core
package import Linux

/// One node: a network namespace with its own address, Services and pods.
package final class NodeNetwork: Sendable {
    package let name: String
    package let address: IPAddress
    package let podRange: IPPrefix
    package let namespace: NetworkNamespace
    package let nftables: Nftables
    package let services: ServiceRules
    package let pods: PodNetwork
    private let hostLink: HostLink
    private let routes: RouteNetlink
    private let uplink: Int32

    /// Path of the pinned namespace, for processes that live in the node's own network.
    package var path: String { hostLink.directory.file(NodeNetwork.file(name)) }

    static let uplinkName = "eth0"
    /// The uplink's other end, a port of the switch.
    private static func port(_ address: IPAddress) -> String { "n\(String(address.v4, radix: 16))" }
    private static func file(_ name: String) -> String { "node-\(name)" }

    /// Makes the node, or adopts it with its pods where it is there already.
    /// `warmPods` is how many pod networks stand ready ahead of need.
    package init(_ name: String, address: IPAddress, podRange: IPPrefix, on hostLink: HostLink, warmPods: Int = 4) throws(SystemFailure) {
        self.name = name
        self.address = address
        self.podRange = podRange
        self.hostLink = hostLink
        let plan = hostLink.plan
        let directory = hostLink.directory
        let file = NodeNetwork.file(name)
        if directory.isPinned(file) {
            namespace = try directory.open(file)
        } else {
            namespace = try NetworkNamespace.create()
            try directory.pin(namespace, as: file)
        }
        (routes, nftables) = try namespace.run { () throws(SystemFailure) in
            try NodeNetwork.tune()
            return (try RouteNetlink(), try Nftables(table: plan.table))
        }
        uplink = try NodeNetwork.openUplink(routes, address, namespace, hostLink)
        try NodeNetwork.configure(routes, uplink, address, plan)
        try hostLink.switchRoutes.awaitOperation(of: NodeNetwork.port(address))
        let table = RuleTable(
            role: .node(uplink: NodeNetwork.uplinkName), serviceRange: plan.serviceRange, loadBalancerRange: plan.loadBalancerRange,
            exempt: [plan.dnsAddress])
        _ = try table.install(in: nftables)
        services = ServiceRules(nftables, node: name)
        pods = try PodNetwork(
            node: address, range: podRange, mtu: plan.mtu, namespace: namespace, routes: routes, nftables: nftables, directory: directory,
            warm: warmPods)
        try hostLink.addNode(address, pods: podRange)
    }

    private static func tune() throws(SystemFailure) {
        try Sysctl.setPresent([
            ("net/ipv6/conf/default/disable_ipv6", "1"), ("net/ipv4/ip_forward", "1"), ("net/ipv4/conf/all/route_localnet", "1"),
            ("net/ipv4/conf/all/rp_filter", "0"), ("net/ipv4/conf/default/rp_filter", "0"), ("net/ipv4/conf/all/send_redirects", "0"),
            ("net/ipv4/conf/default/send_redirects", "0"), ("net/ipv4/conf/all/accept_redirects", "0"),
            ("net/ipv4/conf/default/accept_redirects", "0"),
        ])
    }

    private static func openUplink(
        _ routes: RouteNetlink, _ address: IPAddress, _ namespace: NetworkNamespace, _ hostLink: HostLink
    ) throws(SystemFailure) -> Int32 {
        let port = NodeNetwork.port(address)
        if let link = try routes.link(named: uplinkName) {
            let peer = try hostLink.switchRoutes.links().first { $0.name == port }
            if let peer, peer.index == link.peer, peer.master == hostLink.bridge { return link.index }
            try routes.apply { $0.deleteLink(.index(link.index)) }
        }
        try hostLink.switchRoutes.apply {
            $0.deleteLink(.name(port))
            $0.addVeth(
                .init(name: port, mac: HardwareAddress.of(address, end: 1), master: hostLink.bridge),
                peer: .init(name: uplinkName, namespace: namespace.descriptor, mac: HardwareAddress.of(address)), mtu: hostLink.plan.mtu)
            $0.setLink(.name(port), up: true)
        }
        guard let link = try routes.link(named: uplinkName) else { throw SystemFailure("add veth", port, errno: 19) }
        return link.index
    }

    private static func configure(_ routes: RouteNetlink, _ uplink: Int32, _ address: IPAddress, _ plan: NetworkPlan) throws(SystemFailure)
    {
        guard let loopback = try routes.link(named: "lo") else { throw SystemFailure("set link", "lo", errno: 19) }
        try routes.apply {
            $0.setLink(.index(loopback.index), up: true)
            $0.setLink(.index(uplink), up: true)
            $0.addAddress(address, length: plan.nodeRange.length, link: uplink)
            $0.addAddress(plan.dnsAddress, length: 32, link: loopback.index, onlyHere: true)
            $0.addNeighbor(plan.hostAddress, mac: HardwareAddress.of(plan.hostAddress), link: uplink)
            $0.replaceRoute(.init(IPPrefix(IPAddress(v4: 0), length: 0), gateway: plan.hostAddress, link: uplink))
        }
    }

    /// The straight way to other nodes' pods. Without it packets go by the machine, which knows all nodes.
    package func setPeers(_ peers: [(address: IPAddress, podRange: IPPrefix)]) throws(SystemFailure) {
        let wanted = peers.filter { $0.address != address }
        let present = try routes.routes().filter {
            $0.protocolID == RouteBatch.routeProtocol && $0.gateway != nil && $0.destination.length > 0
        }
        try routes.apply { batch in
            for route in present where !wanted.contains(where: { $0.podRange == route.destination }) {
                batch.deleteRoute(.init(route.destination, gateway: route.gateway, link: uplink))
            }
            for peer in wanted {
                batch.replaceRoute(.init(peer.podRange, gateway: peer.address, link: uplink))
                batch.addNeighbor(peer.address, mac: HardwareAddress.of(peer.address), link: uplink)
            }
        }
    }

    /// Ends the node with all its pods.
    package func destroy() throws(SystemFailure) {
        try hostLink.removeNode(address, pods: podRange)
        try pods.destroy()
        try routes.apply { $0.deleteLink(.index(uplink)) }
        try hostLink.directory.remove(NodeNetwork.file(name))
    }

    /// Names of the nodes that exist, for adoption after a restart.
    package static func existing(_ plan: NetworkPlan) throws(SystemFailure) -> [String] {
        let directory = NamespaceDirectory(plan.directory)
        return try directory.names().filter { $0.hasPrefix("node-") && directory.isPinned($0) }.map { String($0.dropFirst(5)) }
    }
}
