import Linux

/// One element of one map.
struct ElementID: Sendable, Hashable {
    var map: ServiceMap
    var key: [UInt8]

    // All bytes at once: element by element it was a third of the time that a full programming takes.
    func hash(into hasher: inout Hasher) {
        hasher.combine(map.rawValue)
        key.withUnsafeBytes { hasher.combine(bytes: $0) }
    }
}

/// What one service port comes down to in one namespace.
struct CompiledService: Sendable {
    var elements: [(id: ElementID, value: Nftables.Value)] = []
    var chains: Set<BalanceChain> = []
    /// The order in which the endpoints of each group are numbered; the next compilation changes as few numbers as it can.
    var orders: [[UInt8]: [[UInt8]]] = [:]
    /// UDP frontends, and UDP endpoints with a frontend: whose connections must be forgotten when they come or go.
    var datagramFrontends: Set<[UInt8]> = []
    var datagramEndpoints: Set<[UInt8]> = []
}

/// Turns service ports into elements. Pure: the same input and previous numbering give the same output.
struct ServiceCompiler: Sendable {
    /// The node whose endpoints count as local; nil on the host, which stands before all nodes as a load balancer does.
    var node: String?

    func compile(_ service: ServicePort, after previous: CompiledService?) -> CompiledService {
        var compiled = CompiledService()
        for clusterIP in service.clusterIPs where !clusterIP.isIPv6 {
            compile(service, clusterIP, after: previous, into: &compiled)
        }
        return compiled
    }

    private func compile(
        _ service: ServicePort, _ clusterIP: IPAddress, after previous: CompiledService?, into compiled: inout CompiledService
    ) {
        let affinity = service.affinitySeconds ?? 0
        let frontend = ServiceCompiler.key(clusterIP, service.transport, service.port)
        let endpoints = ServiceCompiler.usable(service.endpoints.filter { $0.address.isIPv6 == clusterIP.isIPv6 })
        let count = addGroup(frontend, endpoints, affinity, previous, &compiled)
        var localCount = 0
        let usesLocal = node != nil && (service.externalTrafficLocal || service.internalTrafficLocal)
        if usesLocal {
            let local = service.endpoints.filter { $0.address.isIPv6 == clusterIP.isIPv6 && $0.node == node }
            var group = frontend
            group[5] = BalanceChain.localMark
            localCount = addGroup(group, ServiceCompiler.usable(local), affinity, previous, &compiled)
        }

        func verdict(_ frontend: BalanceChain.Frontend, local: Bool) -> Nftables.Value {
            if count == 0 { return .verdict(.goto(RuleTable.reject)) }
            if local, localCount == 0 { return .verdict(.drop) }
            let chain = BalanceChain(frontend: frontend, local: local, count: UInt32(local ? localCount : count), affinity: affinity)
            compiled.chains.insert(chain)
            return .verdict(.goto(chain.name))
        }
        func add(_ map: ServiceMap, _ key: [UInt8], _ value: Nftables.Value) {
            compiled.elements.append((ElementID(map: map, key: key), value))
        }

        add(.services, frontend, verdict(.cluster, local: service.internalTrafficLocal && usesLocal))
        if service.transport == .udp { compiled.datagramFrontends.insert(frontend) }
        let externalLocal = service.externalTrafficLocal && usesLocal
        for address in service.externalIPs + service.loadBalancerIPs where address.isIPv6 == clusterIP.isIPv6 {
            let key = ServiceCompiler.key(address, service.transport, service.port)
            add(.services, key, verdict(.forward, local: false))
            add(.forward, key, .data(frontend))
            if externalLocal { add(.outsideServices, key, verdict(.forward, local: true)) }
            if service.transport == .udp { compiled.datagramFrontends.insert(key) }
        }
        if let nodePort = service.nodePort {
            let key = Array(ServiceCompiler.key(clusterIP, service.transport, nodePort)[4...])
            add(.nodePorts, key, verdict(.nodePort, local: false))
            add(.nodePortForward, key, .data(frontend))
            if externalLocal { add(.outsideNodePorts, key, verdict(.nodePort, local: true)) }
        }
        if service.transport == .udp {
            for endpoint in endpoints { compiled.datagramEndpoints.insert(ServiceCompiler.value(endpoint)) }
        }
    }

    /// Those that are ready; where none is, those that still serve while they end.
    private static func usable(_ endpoints: [Endpoint]) -> [Endpoint] {
        let ready = endpoints.filter(\.ready)
        return ready.isEmpty ? endpoints.filter { $0.serving && $0.terminating } : ready
    }

    private func addGroup(
        _ group: [UInt8], _ endpoints: [Endpoint], _ affinity: UInt32, _ previous: CompiledService?, _ compiled: inout CompiledService
    ) -> Int {
        let order = ServiceCompiler.number(endpoints.map(ServiceCompiler.value), after: previous?.orders[group] ?? [])
        compiled.orders[group] = order
        for (index, value) in order.enumerated() {
            let key = group + withUnsafeBytes(of: UInt32(index)) { Array($0) }
            compiled.elements.append((ElementID(map: .endpoints, key: key), .data(value)))
            if affinity > 0 { compiled.elements.append((ElementID(map: .members, key: group + value), .none)) }
        }
        return order.count
    }

    /// Keeps every number that it can: what goes leaves a gap that new ones fill, then the last ones.
    static func number(_ values: [[UInt8]], after previous: [[UInt8]]) -> [[UInt8]] {
        var wanted = Set(values)
        guard !previous.isEmpty else {
            return values.filter { wanted.remove($0) != nil }
        }
        var order = previous.map { wanted.remove($0) }
        var fresh = values.filter { wanted.remove($0) != nil }[...]
        var index = 0
        while index < order.count {
            if order[index] == nil {
                if let next = fresh.popFirst() {
                    order[index] = next
                } else {
                    while let last = order.last, last == nil { order.removeLast() }
                    if index < order.count { order.swapAt(index, order.count - 1) }
                    continue
                }
            }
            index += 1
        }
        return order.compactMap { $0 } + fresh
    }

    static func key(_ address: IPAddress, _ transport: TransportProtocol, _ port: UInt16) -> [UInt8] {
        address.bytes + [transport.rawValue, 0, 0, 0, UInt8(port >> 8), UInt8(port & 255), 0, 0]
    }

    static func value(_ endpoint: Endpoint) -> [UInt8] {
        endpoint.address.bytes + [UInt8(endpoint.port >> 8), UInt8(endpoint.port & 255), 0, 0]
    }
}
