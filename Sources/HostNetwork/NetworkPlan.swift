package import Core
package import Linux

/// The addresses and names of one cluster's network on one machine.
package struct NetworkPlan: Sendable, Equatable {
    /// Addresses of the nodes; its first one is the machine's own, the nodes' way outside.
    package var nodeRange = IPPrefix(IPAddress(10, 89, 0, 0), length: 24)
    package var serviceRange = IPPrefix(IPAddress(10, 96, 0, 0), length: 16)
    package var podRange = IPPrefix(IPAddress(10, 244, 0, 0), length: 16)
    package var loadBalancerRange = IPPrefix(IPAddress(10, 89, 255, 0), length: 24)
    package var dnsAddress = IPAddress(10, 96, 0, 10)
    package var domain = "cluster.local"
    package var mtu: UInt32 = 1500
    /// The one link in the machine's own namespace.
    package var link = "jgd0"
    package var table = "jangada"
    /// Where namespaces are pinned.
    package var directory: String
    /// Whether node ports answer on the machine's outer addresses too, not only to its own processes.
    package var exposeNodePorts = false

    /// Link and table carry the cluster's name, so that several clusters share one machine; `directory` must be the cluster's own too.
    package init(directory: String, cluster: String = NetworkPlan.defaultCluster) {
        self.directory = directory
        guard cluster != NetworkPlan.defaultCluster else { return }
        link = NetworkPlan.linkName(cluster)
        table = "jangada-\(cluster)"
    }

    package static let defaultCluster = "jangada"

    /// The kernel takes fifteen bytes; longer names give way to their digest.
    private static func linkName(_ cluster: String) -> String {
        let plain = "jgd-\(cluster)"
        let isFit = plain.utf8.count <= 15 && plain.utf8.allSatisfy { $0 > 32 && $0 < 127 && $0 != UInt8(ascii: "/") }
        return isFit ? plain : "jgd-\(Encoding.hex(SHA256.hash(Array(cluster.utf8)).prefix(5)))"
    }

    package var hostAddress: IPAddress { nodeRange.address(1) }

    /// The plan for this machine: the MTU of its way outside, and the first node, load balancer and pod ranges that meet no
    /// route of its own or of another cluster. Nil where every range is taken. A cluster that is there already keeps its ranges.
    package func adapted(to routes: RouteNetlink) throws(SystemFailure) -> NetworkPlan? {
        let present = try routes.routes()
        let links = try routes.links()
        let own = links.first { $0.name == link }
        var plan = avoiding(present.filter { $0.link != own?.index || own == nil })
        if let own, let address = try routes.addresses().first(where: { $0.link == own.index && $0.length == nodeRange.length })?.address {
            plan = (plan ?? self).keeping(address, present.filter { $0.link == own.index })
        }
        let outside = present.first { $0.destination.length == 0 && $0.table == 254 }?.link
        if let mtu = links.first(where: { $0.index == outside })?.mtu, mtu >= 1280 { plan?.mtu = min(mtu, 9000) }
        return plan
    }

    /// The ranges of the cluster that runs: nodes and pods have addresses of them.
    private func keeping(_ address: IPAddress, _ routes: [RouteNetlink.Route]) -> NetworkPlan {
        var plan = self
        plan.nodeRange = IPPrefix(address, length: nodeRange.length)
        plan.loadBalancerRange = loadBalancerRange.moved(to: address.v4 >> 16)
        let toPods = routes.first { $0.protocolID == RouteBatch.routeProtocol && $0.gateway != nil && $0.destination.length > podRange.length }
        if let toPods { plan.podRange = IPPrefix(toPods.destination.base, length: podRange.length) }
        return plan
    }

    /// Service addresses stay: they are in certificates and in the pods' environment.
    func avoiding(_ routes: [RouteNetlink.Route]) -> NetworkPlan? {
        let taken = routes.filter { $0.destination.length > 0 && $0.table == 254 }.map(\.destination)
        func isFree(_ range: IPPrefix) -> Bool { !range.overlaps(serviceRange) && !taken.contains { range.overlaps($0) } }
        let own: [UInt32] = (Array(100..<128) + Array(64..<88) as [UInt32]).map { (second: UInt32) -> UInt32 in 0x0A00 | second }
        var nodes: [UInt32] = [nodeRange.base.v4 >> 16]
        nodes += own
        nodes += NetworkPlan.unusual
        let node = nodes.first {
            isFree(nodeRange.moved(to: $0)) && isFree(loadBalancerRange.moved(to: $0))
        }
        guard let node else { return nil }
        var plan = self
        plan.nodeRange = nodeRange.moved(to: node)
        plan.loadBalancerRange = loadBalancerRange.moved(to: node)
        var pods: [UInt32] = [podRange.base.v4 >> 16]
        pods += (200..<244 as Range<UInt32>).map { (second: UInt32) -> UInt32 in 0x0A00 | second }
        pods += NetworkPlan.unusual.filter { $0 != node }
        guard let pod = pods.first(where: { isFree(IPPrefix(IPAddress(v4: $0 << 16), length: podRange.length)) }) else { return nil }
        plan.podRange = IPPrefix(IPAddress(v4: pod << 16), length: podRange.length)
        return plan
    }

    /// For machines whose own network is all of 10.0.0.0/8: ranges that RFC 2544 and 6598 keep from the world.
    private static let unusual: [UInt32] = [198 << 8 | 18, 198 << 8 | 19, 100 << 8 | 96, 100 << 8 | 97]
}

extension IPPrefix {
    /// The same range with other first sixteen bits.
    fileprivate func moved(to first: UInt32) -> IPPrefix { IPPrefix(IPAddress(v4: first << 16 | base.v4 & 0xFFFF), length: length) }
}
