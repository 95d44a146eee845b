package import Machinery
package import Tree

/// Network policies: which directions they rule follows from the rules, where nothing is said.
package struct NetworkPolicyStrategy: KindStrategy {
    package init() {}
    package var traits: KindTraits {
        var traits = KindTraits()
        traits.hasGeneration = true
        return traits
    }

    package func setDefaults(_ object: inout Node) {
        if object["spec"]["policyTypes"].isEmpty {
            object["spec"]["policyTypes"] = object["spec"]["egress"].isEmpty ? ["Ingress"] : ["Ingress", "Egress"]
        }
        for direction in ["ingress", "egress"] {
            guard case .list(var rules) = object["spec"][direction] else { continue }
            for index in rules.indices {
                guard case .list(var ports) = rules[index]["ports"] else { continue }
                for at in ports.indices where ports[at]["protocol"].isNull { ports[at]["protocol"] = "TCP" }
                rules[index]["ports"] = .list(ports)
            }
            object["spec"][direction] = .list(rules)
        }
    }

    package func validate(_ object: Node) -> [FieldError] {
        let (spec, path) = (object["spec"], PodStrategy.specPath)
        var findings = Findings()
        findings.add(LabelSelector.errors(spec["podSelector"], at: path.child("podSelector")))
        for (direction, side) in [("ingress", "from"), ("egress", "to")] {
            for (index, rule) in spec[direction].list.enumerated() {
                let at = path.child(direction).element(index)
                for (step, port) in rule["ports"].list.enumerated() { self.port(port, at.child("ports").element(step), &findings) }
                for (step, peer) in rule[side].list.enumerated() { self.peer(peer, at.child(side).element(step), &findings) }
            }
        }
        let types = spec["policyTypes"].stringList
        if types.count > 2 {
            findings.invalid(path.child("policyTypes"), Node(types), "may not specify more than two policyTypes")
        } else {
            for (index, type) in types.enumerated() where type != "Ingress" && type != "Egress" {
                findings.notSupported(path.child("policyTypes").element(index), type, ["Ingress", "Egress"])
            }
        }
        return findings.errors
    }

    private func port(_ port: Node, _ path: NodePath, _ findings: inout Findings) {
        findings.oneOf(path.child("protocol"), port["protocol"], ["TCP", "UDP", "SCTP"])
        let (number, end) = (port["port"], port["endPort"])
        if number.isNull {
            if !end.isNull { findings.invalid(path.child("endPort"), end, "may not be specified when `port` is not specified") }
            return
        }
        findings.port(path.child("port"), number)
        if let low = number.int, let high = end.int {
            if high < low { findings.invalid(path.child("endPort"), number, "must be greater than or equal to `port`") }
            findings.range(path.child("endPort"), end, 1...65535)
        } else if number.string != nil, !end.isNull {
            findings.invalid(path.child("endPort"), end, "may not be specified when `port` is non-numeric")
        }
    }

    private func peer(_ peer: Node, _ path: NodePath, _ findings: inout Findings) {
        for field in ["podSelector", "namespaceSelector"] { findings.add(LabelSelector.errors(peer[field], at: path.child(field))) }
        let count = ["podSelector", "namespaceSelector", "ipBlock"].count { !peer[$0].isNull }
        let block = peer["ipBlock"]
        if !block.isNull {
            let at = path.child("ipBlock")
            if block["cidr"].isEmpty {
                findings.required(at.child("cidr"))
            } else {
                let network = block["cidr"].string ?? ""
                findings.format(at.child("cidr"), network, AddressFormat.network)
                for (index, part) in block["except"].stringList.enumerated() {
                    let problems = AddressFormat.network(part)
                    for problem in problems { findings.invalid(at.child("except").element(index), .string(part), problem) }
                    if problems.isEmpty, let outer = AddressRange(network), let inner = AddressRange(part), !outer.strictlyContains(inner) {
                        findings.invalid(at.child("except").element(index), .string(part), "must be a strict subset of `cidr`")
                    }
                }
            }
        }
        if count == 0 { findings.required(path, "must specify a peer") }
        if count > 1, !block.isNull { findings.forbidden(path, "may not specify both ipBlock and another peer") }
    }
}

/// A network as bits, for comparing.
struct AddressRange {
    private let bits: [Bool]
    private let isLong: Bool

    init?(_ text: String) {
        let parts = text.split(separator: "/")
        guard StringFormat.isCIDR(text), parts.count == 2, let length = Int(parts[1]), let bytes = AddressRange.bytes(parts[0]) else { return nil }
        isLong = bytes.count == 16
        bits = Array(bytes.flatMap { byte in (0..<8).map { byte & (0x80 >> $0) != 0 } }.prefix(length))
    }

    private static func bytes(_ text: Substring) -> [UInt8]? {
        if !text.contains(":") { return text.split(separator: ".").compactMap { UInt8($0) } }
        let halves = text.ranges(of: "::").first.map { [text[..<$0.lowerBound], text[$0.upperBound...]] } ?? [text]
        var sides: [[UInt8]] = []
        for half in halves {
            var side: [UInt8] = []
            for group in half.split(separator: ":") {
                if group.contains(".") {
                    side += group.split(separator: ".").compactMap { UInt8($0) }
                } else {
                    guard let value = UInt16(group, radix: 16) else { return nil }
                    side += [UInt8(value >> 8), UInt8(value & 0xFF)]
                }
            }
            sides.append(side)
        }
        guard sides.count == 2 else { return sides[0].count == 16 ? sides[0] : nil }
        let gap = 16 - sides[0].count - sides[1].count
        return gap < 0 ? nil : sides[0] + Array(repeating: 0, count: gap) + sides[1]
    }

    func strictlyContains(_ other: AddressRange) -> Bool {
        isLong == other.isLong && bits.count < other.bits.count && Array(other.bits.prefix(bits.count)) == bits
    }
}

/// Ingresses: hosts by name, paths that a proxy can tell apart, one backend each.
package struct IngressStrategy: KindStrategy {
    package init() {}
    package var traits: KindTraits {
        var traits = KindTraits()
        traits.hasGeneration = true
        return traits
    }

    package func validate(_ object: Node) -> [FieldError] {
        let (spec, path) = (object["spec"], PodStrategy.specPath)
        var findings = Findings()
        let rules = spec["rules"].list
        if rules.isEmpty, spec["defaultBackend"].isNull {
            findings.invalid(path, rules.isEmpty ? .null : spec["rules"], "either `defaultBackend` or `rules` must be specified")
        }
        if object.revision == 0, let name = object.annotations["kubernetes.io/ingress.class"], let other = spec["ingressClassName"].string, name != other {
            // Upstream leaves the metadata out of the path.
            findings.invalid(NodePath([.key("annotations"), .key("kubernetes.io/ingress.class")]), .string(name), "must match `ingressClassName` when both are specified")
        }
        if !spec["defaultBackend"].isNull { backend(spec["defaultBackend"], path.child("defaultBackend"), &findings) }
        for (index, rule) in rules.enumerated() {
            let at = path.child("rules").element(index)
            if let host = rule["host"].string, !host.isEmpty {
                if AddressFormat.address(host).isEmpty { findings.invalid(at.child("host"), .string(host), "must be a DNS name, not an IP address") }
                self.host(host, at.child("host"), &findings)
            }
            guard !rule["http"].isNull else { continue }
            let paths = rule["http"]["paths"].list
            if paths.isEmpty { findings.required(at.child("http").child("paths")) }
            for (step, entry) in paths.enumerated() { self.path(entry, at.child("http").child("paths").element(step), &findings) }
        }
        for (index, tls) in spec["tls"].list.enumerated() {
            let at = path.child("tls").element(index)
            for (step, name) in tls["hosts"].stringList.enumerated() { host(name, at.child("hosts").element(step), &findings) }
            if let secret = tls["secretName"].string, !secret.isEmpty { findings.format(at.child("secretName"), secret, NameFormat.dnsSubdomain) }
        }
        if let name = spec["ingressClassName"].string { findings.format(path.child("ingressClassName"), name, NameFormat.dnsSubdomain) }
        return findings.errors
    }

    private func host(_ host: String, _ path: NodePath, _ findings: inout Findings) {
        findings.format(path, host, host.contains("*") ? NameFormat.wildcardSubdomain : NameFormat.dnsSubdomain)
    }

    private func path(_ entry: Node, _ path: NodePath, _ findings: inout Findings) {
        let (text, at) = (entry["path"].string ?? "", path.child("path"))
        switch entry["pathType"].string {
        case "Exact", "Prefix":
            if !text.hasPrefix("/") { findings.invalid(at, .string(text), "must be an absolute path") }
            for part in ["//", "/./", "/../", "%2f", "%2F"] where text.contains(part) { findings.invalid(at, .string(text), "must not contain '\(part)'") }
            for end in ["/..", "/."] where text.hasSuffix(end) { findings.invalid(at, .string(text), "cannot end with '\(end)'") }
        case "ImplementationSpecific":
            if !text.isEmpty, !text.hasPrefix("/") { findings.invalid(at, .string(text), "must be an absolute path") }
        case let type?:
            findings.notSupported(path.child("pathType"), type, ["Exact", "ImplementationSpecific", "Prefix"])
        case nil:
            return findings.required(path.child("pathType"), "pathType must be specified")
        }
        backend(entry["backend"], path.child("backend"), &findings)
    }

    private func backend(_ backend: Node, _ path: NodePath, _ findings: inout Findings) {
        let (resource, service) = (backend["resource"], backend["service"])
        switch (resource.isNull, service.isNull) {
        case (false, false): findings.invalid(path, "", "cannot set both resource and service backends")
        case (true, true): findings.invalid(path, "", "resource or service backend is required")
        case (false, true):
            findings.add(ClassFormat.reference(resource, at: path.child("resource")))
        case (true, false):
            let at = path.child("service")
            findings.named(at.child("name"), service["name"], NameFormat.dnsLabel)
            let (name, number) = (service["port"]["name"].string ?? "", service["port"]["number"].int ?? 0)
            if !name.isEmpty, number != 0 {
                findings.invalid(path, "", "cannot set both port name & port number")
            } else if !name.isEmpty {
                findings.format(at.child("port").child("name"), name, NameFormat.portName)
            } else if number != 0 {
                findings.range(at.child("port").child("number"), .int(number), 1...65535)
            } else {
                findings.required(path, "port name or number is required")
            }
        }
    }
}

/// Endpoint slices: addresses of one family, at most a thousand.
package struct EndpointSliceStrategy: KindStrategy {
    package init() {}

    package func warnings(_ object: Node, old: Node?) -> [String] {
        old == nil && object["addressType"].string == "FQDN" ? ["spec.addressType: FQDN endpoints are deprecated"] : []
    }

    package var traits: KindTraits {
        var traits = KindTraits()
        traits.hasGeneration = true
        traits.generationCounts = ["labels"]
        traits.uncheckedFields = ["endpoints.hints.forZones.name"]
        return traits
    }

    package func setDefaults(_ object: inout Node) {
        guard case .list(var ports) = object["ports"] else { return }
        for index in ports.indices {
            if ports[index]["name"].isNull { ports[index]["name"] = "" }
            if ports[index]["protocol"].isNull { ports[index]["protocol"] = "TCP" }
        }
        object["ports"] = .list(ports)
    }

    package func validate(_ object: Node) -> [FieldError] {
        var findings = Findings()
        let type = object["addressType"].string ?? ""
        let path = NodePath([.key("endpoints")])
        let endpoints = object["endpoints"].list
        if type.isEmpty { findings.required(NodePath([.key("addressType")])) }
        ports(object["ports"].list, NodePath([.key("ports")]), &findings)
        if endpoints.count > 1000 {
            findings.add(.tooMany("endpoints", actual: endpoints.count, limit: 1000))
            return findings.errors
        }
        for (index, endpoint) in endpoints.enumerated() {
            let at = path.element(index)
            let addresses = endpoint["addresses"].stringList
            if addresses.isEmpty { findings.required(at.child("addresses"), "must contain at least 1 address") }
            if addresses.count > 100 { findings.add(.tooMany("\(at.child("addresses"))", actual: addresses.count, limit: 100)) }
            for (step, address) in addresses.enumerated() { self.address(address, type, at.child("addresses"), step, &findings) }
            if let name = endpoint["nodeName"].string { findings.format(at.child("nodeName"), name, NameFormat.dnsSubdomain) }
            if let name = endpoint["hostname"].string { findings.format(at.child("hostname"), name, NameFormat.dnsLabel) }
            for (step, zone) in endpoint["hints"]["forZones"].list.enumerated() {
                findings.format(at.child("hints").child("forZones").element(step).child("name"), zone["name"].string ?? "", NameFormat.labelValue)
            }
        }
        return findings.errors
    }

    private func address(_ address: String, _ type: String, _ path: NodePath, _ step: Int, _ findings: inout Findings) {
        let at = path.element(step)
        if type == "FQDN" { return findings.format(at, address, NameFormat.dnsSubdomain) }
        guard type == "IPv4" || type == "IPv6" else { return }
        let problems = AddressFormat.address(address)
        for problem in problems { findings.invalid(at, .string(address), problem) }
        guard problems.isEmpty else { return }
        if (type == "IPv6") != address.contains(":") { findings.invalid(path, .string(address), "must be an \(type) address") }
        findings.format(at, address, EndpointAddress.errors)
    }

    private func ports(_ ports: [Node], _ path: NodePath, _ findings: inout Findings) {
        if ports.count > 20_000 { return findings.add(.tooMany("\(path)", actual: ports.count, limit: 20_000)) }
        var names: Set<String> = []
        for (index, port) in ports.enumerated() {
            let name = port["name"].string ?? ""
            if !name.isEmpty { findings.format(path.element(index).child("name"), name, NameFormat.dnsLabel) }
            if !names.insert(name).inserted { findings.duplicate(path.element(index).child("name"), name) }
            if let spoken = port["appProtocol"].string { findings.format(path.element(index).child("appProtocol"), spoken, NameFormat.qualifiedName) }
        }
    }

    package func validateUpdate(_ object: Node, old: Node, subresource: String) -> [FieldError] {
        var findings = Findings()
        findings.immutable(NodePath([.key("addressType")]), object["addressType"], old["addressType"])
        return findings.errors
    }
}
