package import Linux

/// A Service as the cluster's DNS shows it.
package struct DNSService: Sendable, Equatable {
    package struct Port: Sendable, Hashable {
        package var name: String
        package var transport: TransportProtocol
        package var port: UInt16

        package init(name: String, transport: TransportProtocol = .tcp, port: UInt16) {
            self.name = name
            self.transport = transport
            self.port = port
        }
    }

    /// Those endpoints of a headless Service that are ready, or all where the Service publishes unready ones too.
    package struct Endpoint: Sendable, Hashable {
        package var address: IPAddress
        package var hostname: String?
        /// Ports as they are at the endpoint.
        package var ports: [Port]

        package init(_ address: IPAddress, hostname: String? = nil, ports: [Port] = []) {
            self.address = address
            self.hostname = hostname
            self.ports = ports
        }

        var label: String {
            hostname ?? String(address.description.map { $0 == "." || $0 == ":" ? "-" : $0 })
        }
    }

    package enum Kind: Sendable, Equatable {
        case cluster([IPAddress], [Port])
        case headless([Endpoint])
        case external(String)
    }

    package var namespace: String
    package var name: String
    package var kind: Kind

    package init(namespace: String, name: String, _ kind: Kind) {
        self.namespace = namespace
        self.name = name
        self.kind = kind
    }
}

/// The cluster's zone and its reverse, after version 1.1.0 of the Kubernetes DNS specification.
/// A change costs what its Service holds, not what the table holds.
package struct DNSTable: Sendable {
    struct Key: Hashable, Sendable {
        var namespace: String
        var name: String
    }

    let zone: [String]
    let zoneWire: [UInt8]
    let ttl: UInt32
    /// Address of the server itself.
    let server: IPAddress
    /// Whose reverse names are the table's alone.
    let reverseRanges: [IPPrefix]
    private(set) var services: [Key: DNSService] = [:]
    private(set) var namespaces: [String: Int] = [:]
    /// Names of an address; the first one is answered.
    private(set) var reverse: [IPAddress: [(owner: Key, name: [UInt8])]] = [:]
    private(set) var serial: UInt32 = 1

    package init(zone: String, server: IPAddress, reverseRanges: [IPPrefix], ttl: UInt32 = 5) {
        self.zone = DNSName.split(zone)
        zoneWire = DNSName.wire(self.zone) ?? [0]
        self.server = server
        self.reverseRanges = reverseRanges
        self.ttl = ttl
    }

    package mutating func set(_ service: DNSService) {
        remove(namespace: service.namespace, name: service.name)
        let key = Key(namespace: service.namespace, name: service.name)
        services[key] = service
        namespaces[service.namespace, default: 0] += 1
        for (address, name) in reverseNames(service) { reverse[address, default: []].append((key, name)) }
        serial &+= 1
    }

    package mutating func remove(namespace: String, name: String) {
        let key = Key(namespace: namespace, name: name)
        guard let service = services.removeValue(forKey: key) else { return }
        let count = (namespaces[namespace] ?? 1) - 1
        namespaces[namespace] = count > 0 ? count : nil
        for (address, _) in reverseNames(service) {
            guard var names = reverse[address] else { continue }
            names.removeAll { $0.owner == key }
            reverse[address] = names.isEmpty ? nil : names
        }
        serial &+= 1
    }

    /// Makes the given Services all there are.
    package mutating func replaceAll(_ all: [DNSService]) {
        let kept = Set(all.map { Key(namespace: $0.namespace, name: $0.name) })
        for key in services.keys where !kept.contains(key) { remove(namespace: key.namespace, name: key.name) }
        for service in all where services[Key(namespace: service.namespace, name: service.name)] != service { set(service) }
    }

    func wire(_ labels: String..., of service: DNSService) -> [UInt8] {
        DNSName.wire(labels + [service.name, service.namespace, "svc"] + zone) ?? zoneWire
    }

    private func reverseNames(_ service: DNSService) -> [(IPAddress, [UInt8])] {
        switch service.kind {
        case .cluster(let addresses, _): addresses.map { ($0, wire(of: service)) }
        case .headless(let endpoints):
            // Without a name of its own an endpoint has none to be found by.
            endpoints.compactMap { endpoint in endpoint.hostname.map { (endpoint.address, wire($0, of: service)) } }
        case .external: []
        }
    }
}
