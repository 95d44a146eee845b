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

    package init(directory: String) { self.directory = directory }

    package var hostAddress: IPAddress { nodeRange.address(1) }

    /// The plan for this machine: the MTU of its way outside, and the first node and load balancer ranges that meet no
    /// route of its own. Nil where every range is taken. What the cluster itself has there already does not count.
    package func adapted(to routes: RouteNetlink) throws(SystemFailure) -> NetworkPlan? {
        let present = try routes.routes()
        let links = try routes.links()
        let own = links.first { $0.name == link }
        var plan = avoiding(present.filter { $0.link != own?.index || own == nil })
        let outside = present.first { $0.destination.length == 0 && $0.table == 254 }?.link
        if let mtu = links.first(where: { $0.index == outside })?.mtu, mtu >= 1280 { plan?.mtu = min(mtu, 9000) }
        return plan
    }

    func avoiding(_ routes: [RouteNetlink.Route]) -> NetworkPlan? {
        let taken = routes.filter { $0.protocolID != RouteBatch.routeProtocol && $0.destination.length > 0 && $0.table == 254 }
        for second in [UInt8(89)] + (100..<128) + (64..<88) {
            var plan = self
            if second != 89 {
                plan.nodeRange = IPPrefix(IPAddress(10, second, 0, 0), length: nodeRange.length)
                plan.loadBalancerRange = IPPrefix(IPAddress(10, second, 255, 0), length: loadBalancerRange.length)
            }
            // Service addresses stay: they are in certificates and in the pods' environment.
            let ranges = [plan.nodeRange, plan.loadBalancerRange]
            if !taken.contains(where: { route in ranges.contains { $0.overlaps(route.destination) } }) { return plan }
        }
        return nil
    }
}
