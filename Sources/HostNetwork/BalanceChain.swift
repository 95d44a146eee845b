import Linux

/// A chain that draws one of `count` endpoints. There is one per number of endpoints in use, not one per Service: the key that
/// finds the endpoint is put together from the packet (or, for other frontends, looked up) and the drawn index.
struct BalanceChain: Sendable, Hashable {
    enum Frontend: String, Sendable {
        /// Cluster address: the packet's own destination names the group of endpoints.
        case cluster
        /// Load balancer and external addresses.
        case forward
        case nodePort = "node-port"
    }

    var frontend: Frontend
    /// Only endpoints on this node.
    var local: Bool
    var count: UInt32
    /// Seconds; 0 without.
    var affinity: UInt32

    var name: String {
        var name = "\(frontend.rawValue)-\(local ? "local-" : "")\(count)"
        if affinity > 0 { name += "-sticky-\(affinity)" }
        return name
    }

    /// Set in the second byte of a group's protocol word: the group of this node's endpoints.
    static let localMark: UInt8 = 1

    func add(to batch: inout NftablesBatch) {
        batch.addChain(name)
        if affinity > 0 {
            batch.addRule(name, rememberedRule)
            batch.addRule(name, remembering)
        }
        // With affinity only where the table of clients is full.
        batch.addRule(
            name,
            NftablesRule {
                loadGroup(&$0, at: 4)
                $0.loadRandom(below: count, 7)
                $0.lookup(ServiceMap.endpoints.name, key: 4, into: 8)
                $0.translateDestination(address: 8, port: 9)
            })
    }

    private var timeout: UInt64 { UInt64(affinity) * 1000 }

    /// A client seen before keeps its endpoint while that is still one of the group's.
    private var rememberedRule: NftablesRule {
        NftablesRule {
            loadGroup(&$0, at: 4)
            $0.loadSource(3)
            $0.lookup(RuleTable.affinity, key: 3, into: 7)
            $0.lookup(ServiceMap.members.name, key: 4)
            $0.update(RuleTable.affinity, .refresh, key: 3, value: 7, timeout: timeout)
            $0.translateDestination(address: 7, port: 8)
        }
    }

    private var remembering: NftablesRule {
        NftablesRule {
            loadGroup(&$0, at: 4)
            $0.loadSource(3)
            // An element that is there keeps its old value however often it is added.
            $0.update(RuleTable.affinity, .delete, key: 3, value: 3, timeout: 0)
            $0.loadRandom(below: count, 7)
            $0.lookup(ServiceMap.endpoints.name, key: 4, into: 8)
            $0.update(RuleTable.affinity, .add, key: 3, value: 8, timeout: timeout)
            $0.translateDestination(address: 8, port: 9)
        }
    }

    private func loadGroup(_ rule: inout NftablesRule, at register: Int) {
        switch frontend {
        case .cluster:
            rule.loadDestination(register)
            rule.load(.transport, register + 1)
            rule.loadDestinationPort(register + 2)
        case .forward:
            rule.loadFrontend()
            rule.lookup(ServiceMap.forward.name, key: 0, into: register)
        case .nodePort:
            rule.loadPort()
            rule.lookup(ServiceMap.nodePortForward.name, key: 1, into: register)
        }
        if local { rule.flip([0, BalanceChain.localMark, 0, 0], register + 1) }
    }
}

/// The maps whose elements are the Services. A *group* names a set of endpoints: cluster address, protocol word, port.
enum ServiceMap: UInt8, Sendable, CaseIterable {
    case services
    case nodePorts
    case outsideServices
    case outsideNodePorts
    /// Other address → group.
    case forward
    case nodePortForward
    /// Group and index → address and port.
    case endpoints
    /// Group, address and port of sticky services.
    case members

    var name: String {
        switch self {
        case .services: "services"
        case .nodePorts: "node-ports"
        case .outsideServices: "outside-services"
        case .outsideNodePorts: "outside-node-ports"
        case .forward: "forward"
        case .nodePortForward: "node-port-forward"
        case .endpoints: "endpoints"
        case .members: "members"
        }
    }

    var key: [NftablesBatch.DataType] {
        switch self {
        case .services, .outsideServices, .forward: [.ipv4Address, .protocolNumber, .port]
        case .nodePorts, .outsideNodePorts, .nodePortForward: [.protocolNumber, .port]
        case .endpoints: [.ipv4Address, .protocolNumber, .port, .index]
        case .members: [.ipv4Address, .protocolNumber, .port, .ipv4Address, .port]
        }
    }

    var target: NftablesBatch.MapTarget {
        switch self {
        case .services, .nodePorts, .outsideServices, .outsideNodePorts: .verdict
        case .forward, .nodePortForward: .data([.ipv4Address, .protocolNumber, .port])
        case .endpoints: .data([.ipv4Address, .port])
        case .members: .none
        }
    }
}
