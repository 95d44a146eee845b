import Client
import Linux
import HostNetwork
import Machinery
import Schema
import Tree

/// One Service with all its EndpointSlices as of one moment; without `service` it is gone.
struct ServiceSnapshot: Sendable {
    let key: ObjectKey
    let service: Node?
    /// In the order of their names, so that the same objects always give the same answer.
    let slices: [Node]
}

extension ServiceSnapshot {
    static let serviceName = "kubernetes.io/service-name"
    /// Slices by the Service they belong to, as `namespace/name`.
    static let byService = ObjectTable.Index("service-name") { slice in
        slice["metadata"]["labels"][serviceName].string.map { ["\(slice.namespace)/\($0)"] } ?? []
    }

    init(_ key: ObjectKey, _ state: borrowing ClusterState) {
        self.key = key
        service = state.get(.services, key)
        slices = state[.endpointSlices].objects(ServiceSnapshot.byService.name, "\(key.namespace)/\(key.name)").sorted { $0.name < $1.name }
    }

    /// A headless Service has no address of its own, an external one not even endpoints.
    private enum Shape { case cluster([IPAddress]), headless, external(String), unknown }

    private func shape(of service: Node) -> Shape {
        let spec = service["spec"]
        if spec["type"].string == "ExternalName" { return .external(spec["externalName"].string ?? "") }
        let first = spec["clusterIP"].string ?? ""
        if first == "None" { return .headless }
        let stated = spec["clusterIPs"].stringList
        let addresses = (stated.isEmpty ? [first] : stated).compactMap { IPAddress($0) }
        // Until it has its address it is as good as not there.
        return addresses.isEmpty ? .unknown : .cluster(addresses)
    }

    // MARK: - Service ports

    /// What the rules of every node hold of the Service: nothing where it is headless, external, or some other proxy's.
    var ports: [ServicePort] {
        guard let service, case .cluster(let addresses) = shape(of: service) else { return [] }
        let labels = service["metadata"]["labels"]
        if labels.has("service.kubernetes.io/service-proxy-name") || labels.has("service.kubernetes.io/headless") { return [] }
        return service["spec"]["ports"].list.compactMap { port($0, of: service, addresses) }
    }

    private func port(_ port: Node, of service: Node, _ addresses: [IPAddress]) -> ServicePort? {
        let spec = service["spec"]
        let name = port["name"].string ?? ""
        guard let number = port["port"].portNumber, let transport = TransportProtocol(named: port["protocol"].string) else { return nil }
        var out = ServicePort(
            .init(namespace: key.namespace, name: key.name, port: name), transport: transport, clusterIPs: addresses, port: number,
            endpoints: endpoints(name, transport))
        let type = spec["type"].string ?? "ClusterIP"
        if type == "NodePort" || type == "LoadBalancer" { out.nodePort = port["nodePort"].portNumber }
        out.externalIPs = spec["externalIPs"].stringList.compactMap { IPAddress($0) }
        if type == "LoadBalancer" {
            // A balancer that rewrites destinations wants its traffic to come by it even from inside.
            out.loadBalancerIPs = service["status"]["loadBalancer"]["ingress"].list.filter { $0["ipMode"].string != "Proxy" }
                .compactMap { $0["ip"].string.flatMap { IPAddress($0) } }
        }
        if spec["sessionAffinity"].string == "ClientIP" {
            out.affinitySeconds = UInt32(clamping: spec["sessionAffinityConfig"]["clientIP"]["timeoutSeconds"].int ?? 10_800)
        }
        out.externalTrafficLocal = spec["externalTrafficPolicy"].string == "Local"
        out.internalTrafficLocal = spec["internalTrafficPolicy"].string == "Local"
        return out
    }

    /// Each slice says itself which number a named port has for its endpoints.
    private func endpoints(_ port: String, _ transport: TransportProtocol) -> [Endpoint] {
        struct Socket: Hashable { let address: IPAddress; let port: UInt16 }
        var found: [Endpoint] = []
        var places: [Socket: Int] = [:]
        for slice in slices where slice.hasAddresses && !slice["metadata"]["labels"].has("service.kubernetes.io/headless") {
            let numbers = slice["ports"].list.filter {
                ($0["name"].string ?? "") == port && TransportProtocol(named: $0["protocol"].string) == transport
            }.compactMap(\.["port"].portNumber)
            for node in slice["endpoints"].list {
                guard let address = node["addresses"][0].string.flatMap({ IPAddress($0) }) else { continue }
                let conditions = node["conditions"]
                for number in numbers {
                    let endpoint = Endpoint(
                        address, port: number, ready: conditions["ready"].bool ?? true, serving: conditions["serving"].bool ?? true,
                        terminating: conditions["terminating"].bool ?? false, node: node["nodeName"].string)
                    let socket = Socket(address: address, port: number)
                    if let place = places[socket] {
                        // Twice while it moves between slices, or when a new pod got the address of one that ends: the living one counts.
                        if !endpoint.terminating { found[place] = endpoint }
                    } else {
                        places[socket] = found.count
                        found.append(endpoint)
                    }
                }
            }
        }
        return found
    }

    // MARK: - Names

    /// What the cluster's DNS says of the Service; nil where it has no name there.
    var names: DNSService? {
        guard let service else { return nil }
        let kind: DNSService.Kind
        switch shape(of: service) {
        case .unknown: return nil
        case .external(let target):
            if target.isEmpty { return nil }
            kind = .external(target)
        case .headless: kind = .headless(slices.filter(\.hasAddresses).flatMap(ServiceSnapshot.named))
        case .cluster(let addresses): kind = .cluster(addresses, service["spec"]["ports"].list.compactMap(ServiceSnapshot.dnsPort))
        }
        return DNSService(namespace: key.namespace, name: key.name, kind)
    }

    private static func dnsPort(_ port: Node) -> DNSService.Port? {
        guard let number = port["port"].portNumber, let transport = TransportProtocol(named: port["protocol"].string) else { return nil }
        return DNSService.Port(name: port["name"].string ?? "", transport: transport, port: number)
    }

    /// The endpoints that are ready; where a Service publishes the others too, their slices call them ready.
    private static func named(_ slice: Node) -> [DNSService.Endpoint] {
        let ports = slice["ports"].list.compactMap(dnsPort)
        return slice["endpoints"].list.filter { $0["conditions"]["ready"].bool ?? true }.flatMap { endpoint in
            endpoint["addresses"].stringList.compactMap { IPAddress($0) }
                .map { DNSService.Endpoint($0, hostname: endpoint["hostname"].string, ports: ports) }
        }
    }
}

extension Node {
    fileprivate var portNumber: UInt16? {
        guard let value = int, value > 0 else { return nil }
        return UInt16(exactly: value)
    }

    /// Whether a slice holds addresses, not names.
    fileprivate var hasAddresses: Bool {
        let type = self["addressType"].string
        return type == "IPv4" || type == "IPv6"
    }
}

extension TransportProtocol {
    /// TCP where nothing is said; nil for what no Service can have.
    init?(named name: String?) {
        switch name ?? "TCP" {
        case "TCP", "": self = .tcp
        case "UDP": self = .udp
        case "SCTP": self = .sctp
        default: return nil
        }
    }
}
