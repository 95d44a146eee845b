import Core
import Machinery
import Tree

extension KindCells {
    static let networking: [String: Row] = [
        "/Service": service, "/Endpoints": endpoints, "discovery.k8s.io/EndpointSlice": endpointSlice, "networking.k8s.io/Ingress": ingress,
        "networking.k8s.io/IngressClass": ingressClass, "networking.k8s.io/NetworkPolicy": networkPolicy, "networking.k8s.io/IPAddress": ipAddress,
        "networking.k8s.io/ServiceCIDR": serviceCIDR,
    ]

    @Sendable private static func service(_ object: Node, _ now: Timestamp) -> [Node] {
        let spec = object["spec"]
        let ports = spec["ports"].list.map { port in
            let node = port["nodePort"].int ?? 0
            return "\(port["port"].int ?? 0)\(node > 0 ? ":\(node)" : "")/\(port["protocol"].string ?? "")"
        }
        return [
            Cell.name(object), text(spec["type"]), text(spec["clusterIPs"][0], or: "<none>"), .string(externalAddress(object)), Cell.joined(ports),
            Cell.age(of: object, now: now), Cell.labels(spec["selector"]),
        ]
    }

    private static func externalAddress(_ object: Node) -> String {
        let spec = object["spec"]
        let external = spec["externalIPs"].stringList
        switch spec["type"].string {
        case "ClusterIP", "NodePort": return external.isEmpty ? "<none>" : external.joined(separator: ",")
        case "LoadBalancer":
            let all = loadBalancer(object) + external
            return all.isEmpty ? "<pending>" : all.joined(separator: ",")
        case "ExternalName": return spec["externalName"].string ?? ""
        default: return "<unknown>"
        }
    }

    private static func loadBalancer(_ object: Node) -> [String] {
        let addresses = object["status"]["loadBalancer"]["ingress"].list.compactMap { entry in
            [entry["ip"].string, entry["hostname"].string].compactMap(\.self).first { !$0.isEmpty }
        }
        return Set(addresses).sorted()
    }

    @Sendable private static func endpoints(_ object: Node, _ now: Timestamp) -> [Node] {
        [Cell.name(object), .string(shownSubsets(object["subsets"].list)), Cell.age(of: object, now: now)]
    }

    private static func shownSubsets(_ subsets: [Node]) -> String {
        if subsets.isEmpty { return "<none>" }
        var all: [String] = []
        for subset in subsets {
            let addresses = subset["addresses"].list.map { $0["ip"].string ?? "" }
            let ports = subset["ports"].list
            if ports.isEmpty { all += addresses }
            for port in ports {
                let number = port["port"].int ?? 0
                all += addresses.map { $0.contains(":") ? "[\($0)]:\(number)" : "\($0):\(number)" }
            }
        }
        return some(all, of: all.count, limit: 3, none: "").string ?? ""
    }

    @Sendable private static func endpointSlice(_ object: Node, _ now: Timestamp) -> [Node] {
        let ports = object["ports"].list.map { port in port["port"].int.map { "\($0)" } ?? port["name"].string ?? "*" }
        let addresses = object["endpoints"].list.flatMap { $0["addresses"].stringList }
        return [
            Cell.name(object), text(object["addressType"]), some(ports, of: ports.count, limit: 3, none: "<unset>"),
            some(addresses, of: addresses.count, limit: 3, none: "<unset>"), Cell.age(of: object, now: now),
        ]
    }

    @Sendable private static func ingress(_ object: Node, _ now: Timestamp) -> [Node] {
        let spec = object["spec"]
        var hosts: [String] = []
        var more = false
        for rule in spec["rules"].list {
            if hosts.count == 3 { more = true }
            if !more, let host = rule["host"].string, !host.isEmpty { hosts.append(host) }
        }
        var shown = hosts.isEmpty ? "*" : hosts.joined(separator: ",")
        if more { shown += " + \(spec["rules"].list.count - 3) more..." }
        return [
            Cell.name(object), .string(spec["ingressClassName"].string ?? "<none>"), .string(shown), .string(loadBalancer(object).joined(separator: ",")),
            spec["tls"].list.isEmpty ? "80" : "80, 443", Cell.age(of: object, now: now),
        ]
    }

    @Sendable private static func ingressClass(_ object: Node, _ now: Timestamp) -> [Node] {
        let parameters = object["spec"]["parameters"]
        var shown = "<none>"
        if !parameters.isNull {
            let group = parameters["apiGroup"].string.map { "." + $0 } ?? ""
            shown = "\(parameters["kind"].string ?? "")\(group)/\(parameters["name"].string ?? "")"
        }
        let isDefault = object.annotations["ingressclass.kubernetes.io/is-default-class"] == "true"
        return [.string(object.name + (isDefault ? " (default)" : "")), text(object["spec"]["controller"]), .string(shown), Cell.age(of: object, now: now)]
    }

    @Sendable private static func networkPolicy(_ object: Node, _ now: Timestamp) -> [Node] {
        [Cell.name(object), Cell.selector(object["spec"]["podSelector"]), Cell.age(of: object, now: now)]
    }

    @Sendable private static func ipAddress(_ object: Node, _ now: Timestamp) -> [Node] {
        let parent = object["spec"]["parentRef"]
        var shown = "<none>"
        if !parent.isNull {
            let group = parent["group"].string ?? ""
            shown = ((parent["resource"].string ?? "") + (group.isEmpty ? "" : "." + group)).lowercased()
            if let namespace = parent["namespace"].string, !namespace.isEmpty { shown += "/" + namespace }
            shown += "/" + (parent["name"].string ?? "")
        }
        return [Cell.name(object), .string(shown), Cell.age(of: object, now: now)]
    }

    @Sendable private static func serviceCIDR(_ object: Node, _ now: Timestamp) -> [Node] {
        [Cell.name(object), .string(object["spec"]["cidrs"].stringList.joined(separator: ",")), Cell.age(of: object, now: now)]
    }
}
