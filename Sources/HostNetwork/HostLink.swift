package import Core
package import Linux

/// The machine's side of the cluster network: one veth `jgd0` and one nftables table in its own namespace.
/// The veth's other end is a port of a bridge that lives in a namespace of its own, the *switch*: so a machine with
/// a thousand nodes still shows one link, and neither its firewall nor br_netfilter ever sees traffic between nodes.
package final class HostLink: Sendable {
    package let plan: NetworkPlan
    package let host: NetworkNamespace
    package let routes: RouteNetlink
    package let nftables: Nftables
    package let services: ServiceRules
    let directory: NamespaceDirectory
    let switchRoutes: RouteNetlink
    let bridge: Int32
    private let linkIndex: Int32

    static let switchName = "switch"
    private static let bridgeName = "nodes"
    private static let savedSettings = "host-settings"

    /// Makes what is missing and keeps what is there; call again after a crash. `host` is the machine's namespace
    /// (in tests some other one).
    package init(_ plan: NetworkPlan, host: NetworkNamespace) throws(SystemFailure) {
        self.plan = plan
        self.host = host
        directory = NamespaceDirectory(plan.directory)
        try directory.create()
        (routes, nftables) = try host.run { () throws(SystemFailure) in (try RouteNetlink(), try Nftables(table: plan.table)) }
        (switchRoutes, bridge) = try HostLink.openSwitch(plan, directory)
        linkIndex = try HostLink.openLink(plan, routes, switchRoutes, bridge, host, directory)
        try HostLink.configure(plan, linkIndex, routes, host, directory)
        try switchRoutes.awaitOperation(of: plan.link)
        let table = RuleTable(
            role: .host(link: plan.link, exposeNodePorts: plan.exposeNodePorts), serviceRange: plan.serviceRange,
            loadBalancerRange: plan.loadBalancerRange, exempt: [plan.dnsAddress])
        _ = try table.install(in: nftables)
        services = ServiceRules(nftables, node: nil)
    }

    private static func openSwitch(_ plan: NetworkPlan, _ directory: NamespaceDirectory) throws(SystemFailure) -> (RouteNetlink, Int32) {
        let space: NetworkNamespace
        if directory.isPinned(switchName) {
            space = try directory.open(switchName)
        } else {
            space = try NetworkNamespace.create()
            try directory.pin(space, as: switchName)
        }
        let routes = try space.run { () throws(SystemFailure) in
            try Sysctl.setPresent([("net/ipv6/conf/default/disable_ipv6", "1")])
            return try RouteNetlink()
        }
        if try routes.link(named: bridgeName) == nil {
            try routes.apply { $0.addBridge(bridgeName, mtu: plan.mtu) }
        }
        try routes.apply { $0.setLink(.name(bridgeName), up: true) }
        guard let bridge = try routes.link(named: bridgeName) else { throw SystemFailure("add bridge", bridgeName, errno: 19) }
        return (routes, bridge.index)
    }

    private static func openLink(
        _ plan: NetworkPlan, _ routes: RouteNetlink, _ switchRoutes: RouteNetlink, _ bridge: Int32, _ host: NetworkNamespace,
        _ directory: NamespaceDirectory
    ) throws(SystemFailure) -> Int32 {
        if let link = try routes.link(named: plan.link) {
            let peer = try switchRoutes.links().first { $0.name == plan.link }
            if link.kind == "veth", peer?.index == link.peer, peer?.master == bridge { return link.index }
            guard link.kind == "veth" else {
                throw SystemFailure("add veth", plan.link, errno: 17, hint: "a link of this name belongs to something else")
            }
            try routes.apply { $0.deleteLink(.index(link.index)) }
        }
        try switchRoutes.apply {
            // Its other end went to some other namespace, as when the daemon was started in another one before.
            $0.deleteLink(.name(plan.link))
            $0.addVeth(
                .init(name: plan.link, mac: HardwareAddress.of(plan.hostAddress, end: 1), master: bridge),
                peer: .init(name: plan.link, namespace: host.descriptor, mac: HardwareAddress.of(plan.hostAddress)), mtu: plan.mtu)
            $0.setLink(.name(plan.link), up: true)
        }
        guard let link = try routes.link(named: plan.link) else { throw SystemFailure("add veth", plan.link, errno: 19) }
        return link.index
    }

    private static func configure(
        _ plan: NetworkPlan, _ link: Int32, _ routes: RouteNetlink, _ host: NetworkNamespace, _ directory: NamespaceDirectory
    ) throws(SystemFailure) {
        try host.run { () throws(SystemFailure) in
            // Only what is not on already is saved, once, and so only that is turned off again.
            let forwarding = "net/ipv4/ip_forward"
            if try Sysctl.get(forwarding) == "0" {
                try directory.write("\(forwarding)=0\n", to: savedSettings)
                try Sysctl.set(forwarding, "1")
            }
            try Sysctl.setPresent([
                ("net/ipv6/conf/\(plan.link)/disable_ipv6", "1"), ("net/ipv4/conf/\(plan.link)/route_localnet", "1"),
                ("net/ipv4/conf/\(plan.link)/forwarding", "1"), ("net/ipv4/conf/\(plan.link)/send_redirects", "0"),
            ])
        }
        try routes.apply {
            $0.setLink(.index(link), up: true)
            $0.addAddress(plan.hostAddress, length: plan.nodeRange.length, link: link)
            $0.addAddress(plan.dnsAddress, length: 32, link: link, onlyHere: true)
            // Nothing is there to answer: destination NAT turns these before they leave. The routes give them a way
            // to be turned on, and the source that endpoints can answer to.
            for range in [plan.serviceRange, plan.loadBalancerRange] {
                $0.replaceRoute(.init(range, link: link, source: plan.hostAddress))
            }
        }
    }

    /// The way to a node's pods.
    func addNode(_ address: IPAddress, pods: IPPrefix) throws(SystemFailure) {
        try routes.apply { $0.replaceRoute(.init(pods, gateway: address, link: linkIndex, source: plan.hostAddress)) }
    }

    func removeNode(_ address: IPAddress, pods: IPPrefix) throws(SystemFailure) {
        try routes.apply { $0.deleteRoute(.init(pods, gateway: address, link: linkIndex)) }
    }
}

// MARK: - Teardown

extension HostLink {
    /// Removes everything of the plan's, nodes and pods included; what is missing already is fine.
    package static func destroy(_ plan: NetworkPlan, host: NetworkNamespace) throws(SystemFailure) {
        let directory = NamespaceDirectory(plan.directory)
        try host.run { () throws(SystemFailure) in
            let nftables = try Nftables(table: plan.table)
            if try nftables.tableExists() {
                var batch = nftables.transaction()
                batch.deleteTable()
                try nftables.commit(batch)
            }
            // Its addresses and routes go with it.
            let routes = try RouteNetlink()
            if let link = try routes.link(named: plan.link), link.kind == "veth" {
                try routes.apply { $0.deleteLink(.index(link.index)) }
            }
            // Another cluster on this machine needs them still.
            let isShared = try routes.routes().contains { $0.protocolID == RouteBatch.routeProtocol }
            for line in (isShared ? "" : try directory.read(savedSettings) ?? "").split(separator: "\n") {
                let parts = line.split(separator: "=", maxSplits: 1)
                if parts.count == 2 { try Sysctl.setPresent([(String(parts[0]), String(parts[1]))]) }
            }
        }
        for name in try directory.names() { try directory.remove(name) }
        directory.removeIfEmpty()
    }

    /// Everything of the plan's that exists, a line each; empty after `destroy`.
    package static func leftovers(_ plan: NetworkPlan, host: NetworkNamespace) throws(SystemFailure) -> [String] {
        let directory = NamespaceDirectory(plan.directory)
        return try host.run { () throws(SystemFailure) in
            let routes = try RouteNetlink()
            let links = try routes.links()
            var found = links.filter { $0.name == plan.link }.map { "link \($0.name)" }
            let tables = try Nftables(table: plan.table).tables().filter { $0 == plan.table }
            found += tables.map { "nftables table \($0)" }
            // Other clusters' routes lead by other clusters' links.
            let own = links.first { $0.name == plan.link }?.index
            found += try routes.routes().filter { $0.protocolID == RouteBatch.routeProtocol && $0.link == own }.map { "route \($0.destination)" }
            for name in try directory.names() {
                found.append(directory.isPinned(name) ? "network namespace \(directory.file(name))" : "file \(directory.file(name))")
            }
            return found
        }
    }
}

/// Hardware addresses that follow from IP addresses, so that neighbours are known without asking.
enum HardwareAddress {
    /// Locally administered; `end` tells the ends of one pair apart.
    static func of(_ address: IPAddress, end: UInt8 = 0) -> [UInt8] { [0x0A, 0x58 &+ end] + address.bytes.suffix(4) }

    /// Of every link that leads from a node to a pod.
    static let gateway: [UInt8] = [0x0A, 0x5C, 0, 0, 0, 1]
}
