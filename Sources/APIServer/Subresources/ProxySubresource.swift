import Client
import Core
package import Machinery
import Store
import Transport
import Tree

/// `pods/proxy`, `services/proxy` and `nodes/proxy`: what follows in the path is asked of the pod, of one of the service's pods or of the
/// node's kubelet, and the answer is the client's.
package struct ProxySubresource: SubresourceHandler {
    package enum Kind: String, Sendable { case pods, services, nodes }

    private let kind: Kind
    private let forwarder: Forwarder
    private let nodes: NodeStreamsDirectory

    package init(_ kind: Kind, forwarder: Forwarder, nodes: NodeStreamsDirectory) {
        self.kind = kind
        self.forwarder = forwarder
        self.nodes = nodes
    }

    package func handle(_ request: APIRequest, _ resource: ServedResource, _ server: APIServer) async throws(APIError) {
        let place = try ProxyName(request.info.name, kind)
        let store = server.parts.store
        let endpoint: HTTPEndpoint?
        switch kind {
        case .pods: endpoint = try ProxySubresource.pod(place, request.info, store)
        case .services: endpoint = try ProxySubresource.service(place, request.info, store)
        case .nodes: endpoint = try ProxySubresource.node(place, store)
        }
        let (base, tail) = ProxySubresource.split(request.http.path, tailOf: request.info)
        try await server.admitConnect(
            request, resource, ConnectOptions.proxy(kind == .pods ? "PodProxyOptions" : "ServiceProxyOptions", path: RequestInfo.unescape(tail[...])))
        let method = request.http.method
        let query = request.http.rawQuery.map { "?\($0)" } ?? ""
        if tail.isEmpty, method == "GET" || method == "HEAD", !Forwarder.isUpgrade(request.http) {
            // Relative links of a page only work below a directory.
            var headers = request.headers(contentType: "text/plain")
            headers["location"] = "\(base)/\(query)"
            return request.exchange.respond(status: 301, headers: headers)
        }
        guard let endpoint else { return try await kubelet(request, place.name, tail) }
        try await forwarder.forward(request, to: endpoint, target: (tail.isEmpty ? "/" : tail) + query, base: base)
    }

    /// The raw path up to `/proxy` and what follows it, escapes as the client wrote them.
    static func split(_ path: String, tailOf info: RequestInfo) -> (base: String, tail: String) {
        var segments = 0
        let wanted = info.parts.isEmpty ? 0 : (info.namespace.isEmpty ? 5 : 7)
        var at = path.startIndex
        while at < path.endIndex {
            if path[at] == "/" {
                if segments == wanted { break }
                // Doubled slashes before the tail separate nothing.
                let next = path.index(after: at)
                if next < path.endIndex, path[next] != "/" { segments += 1 }
            }
            at = path.index(after: at)
        }
        return (String(path[..<at]), String(path[at...]))
    }

    /// The kubelet is in this process; it has no port of its own.
    private func kubelet(_ request: APIRequest, _ name: String, _ tail: String) async throws(APIError) {
        guard let streams = nodes.streams(of: name) else {
            throw APIError.serviceUnavailable("error trying to reach service: the kubelet of node \(FieldError.quoted(name)) cannot be reached")
        }
        let answer = await streams.endpoint(tail)
        request.exchange.respond(status: answer.status, headers: request.headers(contentType: answer.contentType), body: answer.body)
    }

    // MARK: - Where to

    /// Nil: the node's kubelet.
    private static func node(_ place: ProxyName, _ store: Store) throws(APIError) -> HTTPEndpoint? {
        guard let record = store.get(Key("nodes", name: place.name)) else { throw APIError.notFound("nodes", name: place.name) }
        let node = try record.node()
        let own = node["status"]["daemonEndpoints"]["kubeletEndpoint"]["Port"].int.map(String.init) ?? ""
        if place.port.isEmpty || place.port == own { return nil }
        let address = node["status"]["addresses"].list.first { $0["type"].string == "InternalIP" }?["address"].string ?? ""
        guard let port = Int(place.port), (1...65535).contains(port), isGlobal(address) else { throw APIError.badRequest("address not allowed") }
        return place.endpoint(address, port)
    }

    private static func pod(_ place: ProxyName, _ info: RequestInfo, _ store: Store) throws(APIError) -> HTTPEndpoint {
        guard let record = store.get(Key("pods", namespace: info.namespace, name: place.name)) else {
            throw APIError.notFound("pods", name: place.name)
        }
        let pod = try record.node()
        let declared = pod["spec"]["containers"].list.lazy.compactMap { $0["ports"].list.first?["containerPort"].int }.first
        let address = pod["status"]["podIPs"].list.first?["ip"].string ?? pod["status"]["podIP"].string ?? ""
        guard isGlobal(address) else { throw APIError.badRequest("address not allowed") }
        guard !place.port.isEmpty else { return place.endpoint(address, declared.map { Int($0) }) }
        guard let port = Int(place.port), (1...65535).contains(port) else {
            throw APIError.serviceUnavailable("error trying to reach service: dial tcp: lookup tcp/\(place.port): unknown port")
        }
        return place.endpoint(address, port)
    }

    private static func service(_ place: ProxyName, _ info: RequestInfo, _ store: Store) throws(APIError) -> HTTPEndpoint {
        var portName = place.port
        if let number = Int64(place.port) {
            guard let record = store.get(Key("services", namespace: info.namespace, name: place.name)) else {
                throw APIError.notFound("services", name: place.name)
            }
            guard let port = try record.node()["spec"]["ports"].list.first(where: { $0["port"].int == number }) else {
                throw APIError.serviceUnavailable("no service port \(number) found for service \(FieldError.quoted(place.name))")
            }
            portName = port["name"].string ?? ""
        }
        guard let record = store.get(Key("endpoints", namespace: info.namespace, name: place.name)) else {
            throw APIError.notFound("endpoints", name: place.name)
        }
        let subsets = try record.node()["subsets"].list
        if subsets.isEmpty { throw APIError.serviceUnavailable("no endpoints available for service \(FieldError.quoted(place.name))") }
        for subset in subsets.shuffled() {
            guard let port = subset["ports"].list.first(where: { ($0["name"].string ?? "") == portName })?["port"].int else { continue }
            for address in subset["addresses"].list.shuffled() where isPod(address, info.namespace, store) {
                return place.endpoint(address["ip"].string ?? "", Int(port))
            }
        }
        throw APIError.serviceUnavailable("no endpoints available for service \(FieldError.quoted(info.name))")
    }

    /// Only addresses that a pod of the namespace really has: whoever writes Endpoints must not reach what the API server reaches.
    private static func isPod(_ address: Node, _ namespace: String, _ store: Store) -> Bool {
        let target = address["targetRef"]
        guard target["namespace"].string == namespace, let name = target["name"].string, let ip = address["ip"].string,
            let pod = try? store.get(Key("pods", namespace: namespace, name: name))?.node()
        else { return false }
        return pod["status"]["podIPs"].list.contains { $0["ip"].string == ip }
    }

    private static func isGlobal(_ address: String) -> Bool {
        if address.contains(":") {
            let lower = address.lowercased()
            return lower != "::" && lower != "::1" && !lower.hasPrefix("fe80:") && !lower.hasPrefix("ff")
        }
        let octets = address.split(separator: ".").compactMap { UInt8($0) }
        guard octets.count == 4 else { return false }
        return octets[0] != 127 && octets[0] < 224 && !(octets[0] == 169 && octets[1] == 254) && octets != [0, 0, 0, 0]
    }
}

/// `name`, `name:port` or `scheme:name:port`, as the name in a proxy's path.
struct ProxyName: Equatable {
    let isTLS: Bool
    let name: String
    let port: String

    init(_ text: String, _ kind: ProxySubresource.Kind) throws(APIError) {
        let parts = text.split(separator: ":", omittingEmptySubsequences: false).map(String.init)
        let scheme = parts.count == 3 ? parts[0] : ""
        name = parts.count == 3 ? parts[1] : parts[0]
        port = parts.count == 1 ? "" : parts[parts.count - 1]
        isTLS = scheme == "https"
        guard parts.count <= 3, ["", "http", "https"].contains(scheme), !name.isEmpty else {
            throw APIError.badRequest("invalid \(kind.rawValue.dropLast()) request \(FieldError.quoted(text))")
        }
    }

    func endpoint(_ address: String, _ port: Int?) -> HTTPEndpoint { HTTPEndpoint(isTLS: isTLS, host: address, port: port) }
}
