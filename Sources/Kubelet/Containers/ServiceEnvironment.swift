import Machinery
import Tree

/// The variables by which services of a namespace are known to containers that do not ask the DNS.
enum ServiceEnvironment {
    /// `services` of the pod's namespace (none where the pod does not want them), and the API's own service always.
    static func variables(_ services: [Node], namespace: String, links: Bool) -> [(String, String)] {
        var chosen: [String: Node] = [:]
        for service in services {
            guard let address = service["spec"]["clusterIP"].string, !address.isEmpty, address != "None" else { continue }
            if service.namespace == namespace, links { chosen[service.name] = service }
            if service.namespace == "default", service.name == "kubernetes", chosen[service.name] == nil { chosen[service.name] = service }
        }
        return chosen.sorted { $0.key < $1.key }.flatMap { of($0.value) }
    }

    private static func of(_ service: Node) -> [(String, String)] {
        let name = variable(service.name)
        let host = service["spec"]["clusterIP"].string ?? ""
        let ports = service["spec"]["ports"].list
        guard let first = ports.first?["port"].int else { return [] }
        var out = [("\(name)_SERVICE_HOST", host), ("\(name)_SERVICE_PORT", "\(first)")]
        for port in ports {
            if let label = port["name"].string, !label.isEmpty { out.append(("\(name)_SERVICE_PORT_\(variable(label))", "\(port["port"].int ?? 0)")) }
        }
        let shown = host.contains(":") ? "[\(host)]" : host
        for (index, port) in ports.enumerated() {
            let number = port["port"].int ?? 0
            let transport = port["protocol"].string ?? "TCP"
            let url = "\(transport.lowercased())://\(shown):\(number)"
            let prefix = "\(name)_PORT_\(number)_\(transport.uppercased())"
            if index == 0 { out.append(("\(name)_PORT", url)) }
            out += [(prefix, url), ("\(prefix)_PROTO", transport.lowercased()), ("\(prefix)_PORT", "\(number)"), ("\(prefix)_ADDR", host)]
        }
        return out
    }

    private static func variable(_ text: String) -> String { String(text.uppercased().map { $0 == "-" ? "_" : $0 }) }
}
