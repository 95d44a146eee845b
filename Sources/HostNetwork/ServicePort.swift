package import Linux

/// The transport protocols of a Service port, by their IP numbers.
package enum TransportProtocol: UInt8, Sendable, Hashable {
    case tcp = 6
    case udp = 17
    case sctp = 132
}

/// One address and port behind a Service, as an EndpointSlice has it.
package struct Endpoint: Sendable, Hashable {
    package var address: IPAddress
    package var port: UInt16
    package var ready: Bool
    /// Answers although it may be about to end; a ready endpoint always serves.
    package var serving: Bool
    package var terminating: Bool
    /// The node's name; nil where it lies outside the cluster.
    package var node: String?

    package init(
        _ address: IPAddress, port: UInt16, ready: Bool = true, serving: Bool? = nil, terminating: Bool = false, node: String? = nil
    ) {
        self.address = address
        self.port = port
        self.ready = ready
        self.serving = serving ?? ready
        self.terminating = terminating
        self.node = node
    }
}

/// One port of one Service with all that leads to it and all that stands behind it.
package struct ServicePort: Sendable, Hashable {
    /// Tells service ports apart: namespace, name and port name.
    package struct ID: Sendable, Hashable {
        package var namespace: String
        package var name: String
        package var port: String

        package init(namespace: String, name: String, port: String) {
            self.namespace = namespace
            self.name = name
            self.port = port
        }
    }

    package var id: ID
    package var transport: TransportProtocol
    package var clusterIPs: [IPAddress]
    package var port: UInt16
    package var nodePort: UInt16?
    package var externalIPs: [IPAddress] = []
    package var loadBalancerIPs: [IPAddress] = []
    /// Seconds for which a client address keeps its endpoint; nil without session affinity.
    package var affinitySeconds: UInt32?
    package var externalTrafficLocal = false
    package var internalTrafficLocal = false
    package var endpoints: [Endpoint]

    package init(_ id: ID, transport: TransportProtocol = .tcp, clusterIPs: [IPAddress], port: UInt16, endpoints: [Endpoint] = []) {
        self.id = id
        self.transport = transport
        self.clusterIPs = clusterIPs
        self.port = port
        self.endpoints = endpoints
    }
}
