package import Client
package import Core
package import HostNetwork
package import Linux

/// The network of one cluster with all that keeps it true to the API. What is there already is adopted, so a start after a crash is the
/// same call, and it shares the machine with the networks of other clusters.
package final class NetworkBoot: Sendable {
    package struct Options: Sendable {
        /// Tells this cluster's link and table from those of others on the machine.
        package var clusterName = NetworkPlan.defaultCluster
        /// Where namespaces are pinned; the cluster's own.
        package var directory: String
        /// Two clusters that share a machine need two of these: they are the one range that is not moved to fit.
        package var serviceCIDR = "10.96.0.0/16"
        package var dnsAddress = "10.96.0.10"
        /// Where to look first for ranges that no route of the machine meets; nil is the plan's own choice.
        package var ranges: ClusterSettings.Ranges?
        package var domain = "cluster.local"
        package var exposeNodePorts = false
        package var resolvers: ResolverFile?
        /// The machine's namespace; nil is this process's own.
        package var host: NetworkNamespace?
        package init(directory: String) { self.directory = directory }
        /// Nil for a cluster that has no number, and so no network.
        package init?(_ directory: StateDirectory, _ settings: ClusterSettings) {
            guard let index = settings.index, let ranges = settings.ranges else { return nil }
            self.directory = directory.network
            clusterName = index == 0 ? NetworkPlan.defaultCluster : "\(index)"
            self.ranges = ranges
            serviceCIDR = "\(ranges.services)"
            dnsAddress = "\(ranges.services.address(10))"
        }
    }

    package let plan: NetworkPlan
    package let network: ClusterNetwork
    private let host: NetworkNamespace
    private let services: NetworkServices

    /// Makes or adopts the network without any node; declares what it reads, so make it before the view runs.
    package init(_ options: Options, view: ClusterView, time: any TimeSource = SystemTime()) throws(SystemFailure) {
        host = try NetworkBoot.host(options)
        plan = try NetworkBoot.plan(options, host)
        network = try ClusterNetwork(plan, host: host, resolvers: options.resolvers)
        services = NetworkServices(network, view: view, time: time)
    }

    private static func host(_ options: Options) throws(SystemFailure) -> NetworkNamespace {
        if let given = options.host { return given }
        return try NetworkNamespace.current()
    }

    /// What `init` takes, for whoever must know the addresses before there is a view.
    package static func plan(_ options: Options) throws(SystemFailure) -> NetworkPlan { try plan(options, try host(options)) }

    private static func plan(_ options: Options, _ host: NetworkNamespace) throws(SystemFailure) -> NetworkPlan {
        var plan = NetworkPlan(directory: options.directory, cluster: options.clusterName)
        guard let services = IPPrefix(options.serviceCIDR), !services.base.isIPv6, services.length <= 28 else {
            throw SystemFailure("plan network", options.serviceCIDR, errno: 22, hint: "the service range is no IPv4 range of 16 addresses or more")
        }
        guard let dns = IPAddress(options.dnsAddress), services.contains(dns), dns != services.base else {
            throw SystemFailure("plan network", options.dnsAddress, errno: 22, hint: "the DNS address is not one of \(services)")
        }
        plan.serviceRange = services
        plan.dnsAddress = dns
        if let ranges = options.ranges {
            plan.nodeRange = ranges.nodes
            plan.loadBalancerRange = ranges.loadBalancers
            plan.podRange = ranges.pods
        }
        plan.domain = options.domain
        plan.exposeNodePorts = options.exposeNodePorts
        let wanted = plan
        let adapted = try host.run { () throws(SystemFailure) -> NetworkPlan? in
            let routes = try RouteNetlink()
            let own = try routes.links().first { $0.name == wanted.link }?.index
            let rival = try routes.routes().first { $0.table == 254 && $0.destination == services && ($0.link != own || own == nil) }
            if rival != nil { throw SystemFailure("plan network", "\(services)", errno: 17, hint: "the service range is in use on this machine") }
            return try wanted.adapted(to: routes)
        }
        guard let adapted else {
            throw SystemFailure("plan network", options.clusterName, errno: 28, hint: "this machine's routes leave no range for nodes and pods")
        }
        return adapted
    }

    /// Where the machine itself, and so the API server, answers to nodes and pods.
    package var hostAddress: IPAddress { plan.hostAddress }

    /// Makes or adopts a node. One at a time.
    package func addNode(_ name: String, warmPods: Int = 4) throws(SystemFailure) -> NodeNetwork { try network.addNode(name, warmPods: warmPods) }

    package func removeNode(_ name: String) throws(SystemFailure) { try network.removeNode(name) }

    /// Keeps everything true until cancelled; the kernel keeps the network afterwards.
    package func run() async { await services.run() }

    // MARK: - Teardown

    /// Lets go of everything in this process; the kernel keeps the network.
    package func close() { network.close() }

    /// Ends the network with all its nodes and pods.
    package func destroy() throws(SystemFailure) { try network.destroy() }

    /// Everything of this network that exists, a line each.
    package func leftovers() throws(SystemFailure) -> [String] { try HostLink.leftovers(plan, host: host) }

    /// Ends the network that another process has left; needs no API.
    package static func destroy(_ options: Options) throws(SystemFailure) {
        let (plan, host) = try named(options)
        try HostLink.destroy(plan, host: host)
    }

    /// Lets go of the namespaces of a network whose names nobody knows any more; its links end with them.
    package static func releaseNamespaces(_ directory: String) throws(SystemFailure) {
        let directory = NamespaceDirectory(directory)
        for name in try directory.names() { try directory.remove(name) }
        directory.removeIfEmpty()
    }

    package static func leftovers(_ options: Options) throws(SystemFailure) -> [String] {
        let (plan, host) = try named(options)
        return try HostLink.leftovers(plan, host: host)
    }

    /// Teardown goes by names alone.
    private static func named(_ options: Options) throws(SystemFailure) -> (NetworkPlan, NetworkNamespace) {
        (NetworkPlan(directory: options.directory, cluster: options.clusterName), try host(options))
    }
}
