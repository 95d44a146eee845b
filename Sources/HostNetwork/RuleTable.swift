package import Core
package import Linux

/// The constant part of the nftables table: sets, maps and the chains that read them. What changes with Services and pods
/// are elements alone, so a change costs microseconds and never reloads a rule.
///
/// A connection walks: base chain → (`outside`, when it comes in from other machines) → `services`, which finds the frontend
/// by address, protocol and port → a balance chain made for its number of endpoints, which draws one → destination NAT.
package struct RuleTable: Sendable {
    package enum Role: Sendable, Equatable {
        /// The machine's own namespace; the link leads to the nodes.
        case host(link: String, exposeNodePorts: Bool)
        /// A node's namespace; the link leads to the other nodes and outside.
        case node(uplink: String)
    }

    package let role: Role
    package let serviceRange: IPPrefix
    package let loadBalancerRange: IPPrefix
    /// Service addresses that this namespace itself answers on, such as the cluster DNS.
    package let exempt: [IPAddress]

    package init(role: Role, serviceRange: IPPrefix, loadBalancerRange: IPPrefix, exempt: [IPAddress]) {
        self.role = role
        self.serviceRange = serviceRange
        self.loadBalancerRange = loadBalancerRange
        self.exempt = exempt
    }

    /// A set by this name says which layout the table has; another layout is replaced as a whole.
    static let layout = "layout-2"
    static let hairpin = "hairpin"
    /// Host ports of every address of the node, and those of one address alone.
    static let hostPorts = "host-ports"
    static let boundHostPorts = "host-ports-bound"
    static let affinity = "affinity"
    static let reject = "reject"
    /// Where network policy will hang its per-pod chains; empty, so that traffic passes.
    package static let policyHook = "network-policy"

    private static let loopback = IPPrefix(IPAddress(127, 0, 0, 0), length: 8)

    /// Makes the table where it is missing or of another layout. Returns whether it was made, and so is empty.
    package func install(in nftables: Nftables) throws(SystemFailure) -> Bool {
        var batch = nftables.transaction()
        if try nftables.tableExists() {
            if try nftables.sets().contains(RuleTable.layout) { return false }
            batch.deleteTable()
        }
        batch.addTable()
        addSets(&batch)
        addChains(&batch)
        addServiceRules(&batch)
        switch role {
        case .host(let link, let expose): addHostRules(&batch, link, expose)
        case .node(let uplink): addNodeRules(&batch, uplink)
        }
        try nftables.commit(batch)
        return true
    }

    private func addSets(_ batch: inout NftablesBatch) {
        batch.addSet(RuleTable.layout, key: [.port])
        batch.addSet(RuleTable.hairpin, key: [.ipv4Address, .ipv4Address])
        batch.addSet(RuleTable.hostPorts, key: [.protocolNumber, .port], target: .data([.ipv4Address, .port]))
        batch.addSet(RuleTable.boundHostPorts, key: [.ipv4Address, .protocolNumber, .port], target: .data([.ipv4Address, .port]))
        for map in ServiceMap.allCases { batch.addSet(map.name, key: map.key, target: map.target) }
        batch.addSet(
            RuleTable.affinity, key: [.ipv4Address, .ipv4Address, .protocolNumber, .port], target: .data([.ipv4Address, .port]),
            flags: [.timeout, .dynamic], size: 262_144)
    }

    private func addChains(_ batch: inout NftablesBatch) {
        for chain in [RuleTable.reject, RuleTable.policyHook, "services", "local", "outside"] { batch.addChain(chain) }
        batch.addBaseChain("guard", type: "filter", hook: .prerouting, priority: -300)
        batch.addBaseChain("prerouting", type: "nat", hook: .prerouting, priority: -100)
        batch.addBaseChain("output", type: "nat", hook: .output, priority: -100)
        batch.addBaseChain("postrouting", type: "nat", hook: .postrouting, priority: 100)
        batch.addBaseChain("forward", type: "filter", hook: .forward, priority: 0)
        // A local process hears an ICMP refusal only by its second SYN, a second later: its socket is busy sending the first.
        batch.addRule(
            RuleTable.reject,
            NftablesRule {
                $0.ifTransport(TransportProtocol.tcp.rawValue)
                $0.reset()
            })
        batch.addRule(RuleTable.reject, NftablesRule { $0.reject() })
    }

    private func addServiceRules(_ batch: inout NftablesBatch) {
        for address in exempt where !address.isIPv6 {
            batch.addRule(
                "services",
                NftablesRule {
                    $0.ifDestination(in: IPPrefix(address, length: 32))
                    $0.decide(.return)
                })
        }
        batch.addRule(
            "services",
            NftablesRule {
                $0.loadFrontend()
                $0.verdict(ServiceMap.services.name, key: 0)
            })
        // What has no frontend must not wander off by the default route.
        for range in [serviceRange, loadBalancerRange] where !range.base.isIPv6 {
            batch.addRule(
                "services",
                NftablesRule {
                    $0.ifDestination(in: range)
                    $0.decide(.goto(RuleTable.reject))
                })
        }
        batch.addRule(
            "local",
            NftablesRule {
                $0.loadFrontend()
                $0.lookup(RuleTable.boundHostPorts, key: 0, into: 4)
                $0.translateDestination(address: 4, port: 5)
            })
        batch.addRule(
            "local",
            NftablesRule {
                $0.loadPort()
                $0.lookup(RuleTable.hostPorts, key: 1, into: 4)
                $0.translateDestination(address: 4, port: 5)
            })
        batch.addRule(
            "local",
            NftablesRule {
                $0.loadPort()
                $0.verdict(ServiceMap.nodePorts.name, key: 1)
            })
        batch.addRule(
            "output",
            NftablesRule {
                $0.ifFamily(ipv6: false)
                $0.decide(.jump("services"))
            })
        batch.addRule(
            "output",
            NftablesRule {
                $0.ifFamily(ipv6: false)
                $0.ifDestinationIsLocal()
                $0.decide(.jump("local"))
            })
    }

    private func addNodeRules(_ batch: inout NftablesBatch, _ uplink: String) {
        // route_localnet lets 127.0.0.0/8 through; from the wire it is always a forgery.
        addGuard(&batch) { $0.ifInput("lo", equal: false) }
        batch.addRule(
            "prerouting",
            NftablesRule {
                $0.ifFamily(ipv6: false)
                $0.ifInput(uplink)
                $0.decide(.jump("outside"))
            })
        batch.addRule(
            "prerouting",
            NftablesRule {
                $0.ifFamily(ipv6: false)
                $0.decide(.jump("services"))
            })
        batch.addRule(
            "prerouting",
            NftablesRule {
                $0.ifFamily(ipv6: false)
                $0.ifDestinationIsLocal()
                $0.decide(.jump("local"))
            })
        batch.addRule(
            "outside",
            NftablesRule {
                $0.loadFrontend()
                $0.verdict(ServiceMap.outsideServices.name, key: 0)
            })
        batch.addRule(
            "outside",
            NftablesRule {
                $0.ifDestinationIsLocal()
                $0.loadPort()
                $0.verdict(ServiceMap.outsideNodePorts.name, key: 1)
            })
        batch.addRule(
            "postrouting",
            NftablesRule {
                $0.ifFamily(ipv6: false)
                $0.ifDestinationTranslated()
                $0.loadSource(0)
                $0.loadDestination(1)
                $0.lookup(RuleTable.hairpin, key: 0)
                $0.masquerade()
            })
        addTurnAround(&batch, uplink)
        batch.addRule(
            "postrouting",
            NftablesRule {
                $0.ifFamily(ipv6: false)
                $0.ifSource(in: RuleTable.loopback)
                $0.ifOutput("lo", equal: false)
                $0.masquerade()
            })
        batch.addRule(
            "forward",
            NftablesRule {
                $0.ifState(.invalid)
                $0.decide(.drop)
            })
        batch.addRule("forward", NftablesRule { $0.decide(.jump(RuleTable.policyHook)) })
    }

    private func addHostRules(_ batch: inout NftablesBatch, _ link: String, _ exposeNodePorts: Bool) {
        addGuard(&batch) { $0.ifInput(link) }
        // Neighbours of the machine may use load balancers, not the cluster's inner addresses.
        batch.addRule(
            "prerouting",
            NftablesRule {
                $0.ifFamily(ipv6: false)
                $0.ifInput(link, equal: false)
                $0.ifDestination(in: serviceRange)
                $0.decide(.return)
            })
        batch.addRule(
            "prerouting",
            NftablesRule {
                $0.ifFamily(ipv6: false)
                $0.decide(.jump("services"))
            })
        if exposeNodePorts {
            batch.addRule(
                "prerouting",
                NftablesRule {
                    $0.ifFamily(ipv6: false)
                    $0.ifDestinationIsLocal()
                    $0.decide(.jump("local"))
                })
        }
        batch.addRule(
            "postrouting",
            NftablesRule {
                $0.ifFamily(ipv6: false)
                $0.ifSource(in: RuleTable.loopback)
                $0.ifOutput(link)
                $0.masquerade()
            })
        addTurnAround(&batch, link)
        // The one masquerade between the cluster and the world.
        batch.addRule(
            "postrouting",
            NftablesRule {
                $0.ifFamily(ipv6: false)
                $0.ifInput(link)
                $0.ifOutput(link, equal: false)
                $0.masquerade()
            })
        batch.addRule(
            "forward",
            NftablesRule {
                $0.ifOutput(link)
                $0.ifInput(link, equal: false)
                $0.ifState(.new)
                $0.ifDestinationTranslated(false)
                $0.decide(.drop)
            })
    }

    /// What comes in by a link and leaves by it again towards an endpoint: its answers would not pass here
    /// and so never be translated back. All else keeps its source.
    private func addTurnAround(_ batch: inout NftablesBatch, _ link: String) {
        batch.addRule(
            "postrouting",
            NftablesRule {
                $0.ifFamily(ipv6: false)
                $0.ifDestinationTranslated()
                $0.ifInput(link)
                $0.ifOutput(link)
                $0.masquerade()
            })
    }

    private func addGuard(_ batch: inout NftablesBatch, _ input: (inout NftablesRule) -> Void) {
        for source in [true, false] {
            batch.addRule(
                "guard",
                NftablesRule {
                    $0.ifFamily(ipv6: false)
                    input(&$0)
                    if source { $0.ifSource(in: RuleTable.loopback) } else { $0.ifDestination(in: RuleTable.loopback) }
                    $0.decide(.drop)
                })
        }
    }
}

extension NftablesRule {
    /// Registers 0, 1, 2: destination address, protocol, destination port.
    mutating func loadFrontend() {
        loadDestination(0)
        loadPort()
    }

    /// Registers 1, 2: protocol, destination port.
    mutating func loadPort() {
        load(.transport, 1)
        loadDestinationPort(2)
    }
}
