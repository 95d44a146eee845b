package import Core
package import Linux
import Synchronization

/// The network of one cluster on one machine: the machine's link, the nodes, the Services everywhere and the DNS.
/// Everything is made where it is missing and adopted where it is there, so a start after a crash is the same call.
package final class ClusterNetwork: Sendable {
    package let plan: NetworkPlan
    package let hostLink: HostLink
    package let dns: DNSServer

    private struct State {
        var nodes: [String: NodeNetwork] = [:]
        /// As last given, for nodes that come later.
        var services: [ServicePort.ID: ServicePort] = [:]
        var servicesAreKnown = false
    }

    private let state = Mutex(State())
    /// Held while Services are programmed, so that a node that comes meanwhile misses no change.
    private let programming = Mutex(())
    private let podRangeLength: Int

    package init(_ plan: NetworkPlan, host: NetworkNamespace, podRangeLength: Int = 24, resolvers: ResolverFile? = nil)
        throws(SystemFailure)
    {
        self.plan = plan
        self.podRangeLength = podRangeLength
        hostLink = try HostLink(plan, host: host)
        dns = try DNSServer(plan, host: host, resolvers: resolvers)
        try dns.add("", host)
    }

    package var nodes: [NodeNetwork] { state.withLock { Array($0.nodes.values) } }

    package func node(_ name: String) -> NodeNetwork? { state.withLock { $0.nodes[name] } }

    /// Makes or adopts a node. Without a pod range the node keeps the one it has, or gets the first that is free;
    /// its address follows from the position of the range. Add nodes one at a time.
    package func addNode(_ name: String, podRange: IPPrefix? = nil, warmPods: Int = 4) throws(SystemFailure) -> NodeNetwork {
        if let node = node(name) { return node }
        let range: IPPrefix
        if let podRange { range = podRange } else { range = try chooseRange(for: name) }
        guard let index = plan.podRange.index(of: range.base).map({ $0 >> UInt64(32 - range.length) }),
            plan.nodeRange.contains(plan.nodeRange.address(index + 2)), index + 3 < plan.nodeRange.count
        else { throw SystemFailure("add node", name, errno: 34, hint: "no node address is left for the pod range \(range)") }
        let node = try NodeNetwork(name, address: plan.nodeRange.address(index + 2), podRange: range, on: hostLink, warmPods: warmPods)
        try dns.add(name, node.namespace)
        try programming.withLock { _ throws(SystemFailure) in
            let (services, areKnown) = state.withLock { state in
                state.nodes[name] = node
                return (Array(state.services.values), state.servicesAreKnown)
            }
            // Before the first list is known an adopted node keeps what it has.
            if areKnown { try node.services.replaceAll(services) }
        }
        try setPeers()
        return node
    }

    private func chooseRange(for name: String) throws(SystemFailure) -> IPPrefix {
        var taken = Set(state.withLock { $0.nodes.values.map(\.podRange) })
        for existing in try NodeNetwork.existing(plan) {
            guard let address = try NodeNetwork.address(of: existing, plan), let index = plan.nodeRange.index(of: address), index >= 2
            else { continue }
            let range = plan.podRange.subnet(index - 2, length: podRangeLength)
            if existing == name { return range }
            taken.insert(range)
        }
        let count = UInt64(1) << UInt64(podRangeLength - plan.podRange.length)
        for index in 0..<count {
            let range = plan.podRange.subnet(index, length: podRangeLength)
            if !taken.contains(range) { return range }
        }
        throw SystemFailure("allocate pod range", name, errno: 28, hint: "\(plan.podRange) is used up")
    }

    package func removeNode(_ name: String) throws(SystemFailure) {
        guard let node = node(name) else { return }
        dns.remove(name)
        try node.destroy()
        state.withLock { _ = $0.nodes.removeValue(forKey: name) }
        try setPeers()
    }

    /// Straight routes between all nodes while they are few; many go by the machine, or each would hold a route to each.
    private func setPeers() throws(SystemFailure) {
        let nodes = nodes
        let peers = nodes.count <= 64 ? nodes.map { (address: $0.address, podRange: $0.podRange) } : []
        for node in nodes { try node.setPeers(peers) }
    }

    /// Makes these all the Services there are, everywhere.
    package func replaceServices(_ services: [ServicePort]) throws(SystemFailure) {
        let nodes = state.withLock { state in
            state.services = Dictionary(services.map { ($0.id, $0) }, uniquingKeysWith: { _, last in last })
            state.servicesAreKnown = true
            return Array(state.nodes.values)
        }
        try programming.withLock { _ throws(SystemFailure) in
            try hostLink.services.replaceAll(services)
            for node in nodes { try node.services.replaceAll(services) }
        }
    }

    package func updateServices(_ changed: [ServicePort], removed: [ServicePort.ID] = []) throws(SystemFailure) {
        let nodes = state.withLock { state in
            for id in removed { state.services[id] = nil }
            for service in changed { state.services[service.id] = service }
            return Array(state.nodes.values)
        }
        try programming.withLock { _ throws(SystemFailure) in
            try hostLink.services.update(changed, removed: removed)
            for node in nodes { try node.services.update(changed, removed: removed) }
        }
    }

    /// Lets go of everything in this process; the kernel keeps the network.
    package func close() { dns.stop() }

    /// Ends the network with all its nodes and pods.
    package func destroy() throws(SystemFailure) {
        dns.stop()
        for node in nodes { try node.destroy() }
        state.withLock { $0 = State() }
        try HostLink.destroy(plan, host: hostLink.host)
    }
}

extension NodeNetwork {
    /// The address that an existing node's namespace has.
    static func address(of name: String, _ plan: NetworkPlan) throws(SystemFailure) -> IPAddress? {
        let space = try NamespaceDirectory(plan.directory).open("node-\(name)")
        return try space.run { () throws(SystemFailure) in
            let routes = try RouteNetlink()
            guard let link = try routes.link(named: NodeNetwork.uplinkName) else { return nil }
            return try routes.addresses().first { $0.link == link.index && plan.nodeRange.contains($0.address) }?.address
        }
    }
}
