import Core
package import Machinery
package import Tree

/// Services: addresses and node ports are given by the server's allocation and do not change afterwards.
package struct ServiceStrategy: KindStrategy {
    package init() {}
    package var traits: KindTraits {
        var traits = KindTraits()
        traits.allowsCreateOnUpdate = true
        traits.returnsDeletedObject = true
        traits.nameRule = .dnsLabel
        return traits
    }

    private static func isExternal(_ spec: Node) -> Bool {
        switch spec["type"].string {
        case "LoadBalancer", "NodePort": true
        case "ClusterIP": !spec["externalIPs"].isEmpty
        default: false
        }
    }

    private static func needsHealthCheck(_ spec: Node) -> Bool {
        spec["type"].string == "LoadBalancer" && spec["externalTrafficPolicy"].string == "Local"
    }

    private static func isHeadless(_ spec: Node) -> Bool { spec["clusterIP"].string == "None" || spec["clusterIPs"][0].string == "None" }

    // MARK: - Defaults

    package func setDefaults(_ object: inout Node) {
        var spec = object["spec"]
        if spec["type"].isEmpty { spec["type"] = "ClusterIP" }
        if spec["sessionAffinity"].isEmpty { spec["sessionAffinity"] = "None" }
        if spec["sessionAffinity"].string == "None" { spec.remove("sessionAffinityConfig") }
        if spec["sessionAffinity"].string == "ClientIP", spec["sessionAffinityConfig"]["clientIP"]["timeoutSeconds"].isNull {
            spec["sessionAffinityConfig"] = ["clientIP": ["timeoutSeconds": 10800]]
        }
        if case .list(var ports) = spec["ports"] {
            for index in ports.indices {
                if ports[index]["protocol"].isEmpty { ports[index]["protocol"] = "TCP" }
                if ports[index]["targetPort"].isEmpty { ports[index]["targetPort"] = ports[index]["port"] }
            }
            spec["ports"] = .list(ports)
        }
        if ServiceStrategy.isExternal(spec), spec["externalTrafficPolicy"].isEmpty { spec["externalTrafficPolicy"] = "Cluster" }
        if spec["internalTrafficPolicy"].isNull, spec["type"].string != "ExternalName" { spec["internalTrafficPolicy"] = "Cluster" }
        if spec["type"].string == "LoadBalancer", spec["allocateLoadBalancerNodePorts"].isNull { spec["allocateLoadBalancerNodePorts"] = true }
        object["spec"] = spec
        guard spec["type"].string == "LoadBalancer", case .list(var ingress) = object["status"]["loadBalancer"]["ingress"] else { return }
        for index in ingress.indices where !ingress[index]["ip"].isEmpty && ingress[index]["ipMode"].isNull { ingress[index]["ipMode"] = "VIP" }
        object["status"]["loadBalancer"]["ingress"] = .list(ingress)
    }

    package func prepareCreate(_ object: inout Node) {
        object["status"] = ["loadBalancer": .emptyMap]
        mirrorAddress(&object, old: .null)
    }

    package func prepareUpdate(_ object: inout Node, old: Node, subresource: String) {
        guard subresource.isEmpty else { return }
        object["status"] = old["status"]
        mirrorAddress(&object, old: old)
        dropForeignFields(&object, old: old)
        // A client that knows nothing of what was allocated must not take it away.
        guard object["spec"]["type"].string != "ExternalName" else { return }
        for field in ["clusterIP", "clusterIPs"] where object["spec"][field].isEmpty && old["spec"]["type"].string != "ExternalName" {
            object["spec"][field] = old["spec"][field]
        }
        for field in ["ipFamilyPolicy", "ipFamilies"] where object["spec"][field].isEmpty { object["spec"][field] = old["spec"][field] }
        keepNodePorts(&object, old: old)
    }

    package func warnings(_ object: Node, old: Node?) -> [String] {
        let spec = object["spec"]
        var out: [String] = []
        if ServiceStrategy.isHeadless(spec) {
            if !spec["loadBalancerIP"].isEmpty { out.append("spec.loadBalancerIP is ignored for headless services") }
            if !spec["externalIPs"].isEmpty { out.append("spec.externalIPs is ignored for headless services") }
            if spec["sessionAffinity"].string != "None" { out.append("spec.SessionAffinity is ignored for headless services") }
        } else if !spec["externalIPs"].isEmpty {
            out.append("spec.externalIPs is deprecated and may no longer be implemented in some clusters")
        }
        if spec["trafficDistribution"].string == "PreferClose" {
            out.append("spec.trafficDistribution: \"PreferClose\" is deprecated; use \"PreferSameZone\"")
        }
        return out
    }

    /// `clusterIP` is the first of `clusterIPs`; a client may know only one of them.
    private func mirrorAddress(_ object: inout Node, old: Node) {
        let (one, all) = (object["spec"]["clusterIP"], object["spec"]["clusterIPs"])
        if old.isNull {
            if !one.isEmpty, all.isEmpty { object["spec"]["clusterIPs"] = [one] }
            return
        }
        let (oldOne, oldAll) = (old["spec"]["clusterIP"], old["spec"]["clusterIPs"])
        let changedOne = (one.string ?? "") != (oldOne.string ?? "")
        if changedOne, Findings.same(all, oldAll) {
            object["spec"]["clusterIPs"] = one.isEmpty ? .null : [one]
        } else if !changedOne, all.isEmpty, !oldAll.isEmpty, !one.isEmpty {
            object["spec"]["clusterIPs"] = oldAll
        }
    }

    /// Fields that only the old type had go with it, where the client left them as they were.
    private func dropForeignFields(_ object: inout Node, old: Node) {
        let (spec, before) = (object["spec"], old["spec"])
        func drop(_ field: String, if condition: Bool) {
            if condition, Findings.same(spec[field], before[field]) { object["spec"].remove(field) }
        }
        let (type, oldType) = (spec["type"].string ?? "", before["type"].string ?? "")
        if type == "ExternalName", oldType != "ExternalName" {
            for field in ["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy", "internalTrafficPolicy"] { drop(field, if: true) }
        }
        drop("allocateLoadBalancerNodePorts", if: oldType == "LoadBalancer" && type != "LoadBalancer")
        drop("loadBalancerClass", if: oldType == "LoadBalancer" && type != "LoadBalancer")
        drop("externalTrafficPolicy", if: ServiceStrategy.isExternal(before) && !ServiceStrategy.isExternal(spec))
        drop("healthCheckNodePort", if: ServiceStrategy.needsHealthCheck(before) && !ServiceStrategy.needsHealthCheck(spec))
        guard ["NodePort", "LoadBalancer"].contains(oldType), !["NodePort", "LoadBalancer"].contains(type), case .list(var ports) = spec["ports"] else { return }
        let oldPorts = before["ports"].list.map { $0["nodePort"] }
        for index in ports.indices where oldPorts.contains(ports[index]["nodePort"]) { ports[index].remove("nodePort") }
        object["spec"]["ports"] = .list(ports)
    }

    private func keepNodePorts(_ object: inout Node, old: Node) {
        guard ["NodePort", "LoadBalancer"].contains(object["spec"]["type"].string ?? ""), ["NodePort", "LoadBalancer"].contains(old["spec"]["type"].string ?? "")
        else { return }
        if ServiceStrategy.needsHealthCheck(object["spec"]), object["spec"]["healthCheckNodePort"].isEmpty {
            object["spec"]["healthCheckNodePort"] = old["spec"]["healthCheckNodePort"]
        }
        guard case .list(var ports) = object["spec"]["ports"] else { return }
        var used = Set(ports.compactMap { $0["nodePort"].int }.filter { $0 != 0 })
        for index in ports.indices where ports[index]["nodePort"].isEmpty {
            let same = old["spec"]["ports"].list.first { $0["port"] == ports[index]["port"] && $0["protocol"] == ports[index]["protocol"] }
            guard let number = same?["nodePort"].int, number != 0, used.insert(number).inserted else { continue }
            ports[index]["nodePort"] = .int(number)
        }
        object["spec"]["ports"] = .list(ports)
    }

    // MARK: - Validation

    package func validate(_ object: Node) -> [FieldError] {
        let (spec, path) = (object["spec"], PodStrategy.specPath)
        var findings = Findings()
        let isHeadless = ServiceStrategy.isHeadless(spec)
        let type = spec["type"].string ?? ""
        if spec["ports"].isEmpty, !isHeadless, type != "ExternalName" { findings.required(path.child("ports")) }
        if isHeadless, type == "LoadBalancer" || type == "NodePort" {
            findings.invalid(path.child("clusterIPs").element(0), spec["clusterIPs"][0], "may not be set to 'None' for \(type) services")
        }
        if type == "ExternalName" { externalName(spec, path, &findings) }
        ports(spec, path.child("ports"), &findings)
        findings.add(ObjectMeta.labelErrors(spec["selector"], at: path.child("selector")))
        affinity(spec, path.child("sessionAffinityConfig"), &findings)
        if type != "ExternalName" { findings.add(ServiceStrategy.addressErrors(spec)) }
        for (index, address) in spec["externalIPs"].stringList.enumerated() {
            let at = path.child("externalIPs").element(index)
            let problems = AddressFormat.address(address)
            for problem in problems { findings.invalid(at, .string(address), problem) }
            if problems.isEmpty { for problem in EndpointAddress.errors(address) { findings.invalid(at, .string(address), problem) } }
        }
        balancer(spec, path, &findings)
        traffic(spec, path, &findings)
        return findings.errors
    }

    private func externalName(_ spec: Node, _ path: NodePath, _ findings: inout Findings) {
        for field in ["clusterIPs", "ipFamilies", "ipFamilyPolicy"] where !spec[field].isEmpty {
            findings.forbidden(path.child(field), "may not be set for ExternalName services")
        }
        let name = spec["externalName"].string ?? ""
        let plain = name.hasSuffix(".") ? String(name.dropLast()) : name
        if plain.isEmpty { findings.required(path.child("externalName")) } else { findings.format(path.child("externalName"), plain, NameFormat.dnsSubdomain) }
    }

    private func ports(_ spec: Node, _ path: NodePath, _ findings: inout Findings) {
        let ports = spec["ports"].list
        var (names, nodePorts, numbers): (Set<String>, Set<String>, Set<String>) = ([], [], [])
        for (index, port) in ports.enumerated() {
            let at = path.element(index)
            let name = port["name"].string ?? ""
            if name.isEmpty {
                if ports.count > 1 { findings.required(at.child("name")) }
            } else {
                findings.format(at.child("name"), name, NameFormat.dnsLabel)
                if !names.insert(name).inserted { findings.duplicate(at.child("name"), name) }
            }
            for problem in NameFormat.portNumber(port["port"].int ?? 0) { findings.invalid(at.child("port"), .int(port["port"].int ?? 0), problem) }
            findings.port(at.child("targetPort"), port["targetPort"])
            if let appProtocol = port["appProtocol"].string { findings.format(at.child("appProtocol"), appProtocol, NameFormat.qualifiedName) }
        }
        for (index, port) in ports.enumerated() {
            let at = path.element(index)
            let (node, transport) = (port["nodePort"].int ?? 0, port["protocol"].string ?? "")
            if node != 0, spec["type"].string == "ClusterIP" { findings.forbidden(at.child("nodePort"), "may not be used when `type` is 'ClusterIP'") }
            if node != 0, !nodePorts.insert("\(transport)/\(node)").inserted { findings.add(.duplicate("\(at.child("nodePort"))", "\(node)")) }
            let number = port["port"].int ?? 0
            if !numbers.insert("\(transport)/\(number)").inserted {
                findings.add(.duplicate("\(at)", #"{"Name":"","Protocol":"\#(transport)","AppProtocol":null,"Port":\#(number),"TargetPort":0,"NodePort":0}"#))
            }
        }
    }

    private func affinity(_ spec: Node, _ path: NodePath, _ findings: inout Findings) {
        switch spec["sessionAffinity"].string {
        case "ClientIP":
            let at = path.child("clientIP").child("timeoutSeconds")
            guard let seconds = spec["sessionAffinityConfig"]["clientIP"]["timeoutSeconds"].int else {
                return findings.required(path, "when session affinity type is ClientIP")
            }
            if !(1...86400).contains(seconds) { findings.invalid(at, .int(seconds), "must be greater than 0 and less than 86400") }
        case "None":
            if !spec["sessionAffinityConfig"].isNull { findings.forbidden(path, "must not be set when session affinity is None") }
        default: break
        }
    }

    /// What is wrong with addresses and families by themselves: found before any is allocated, and then nothing else is told.
    package static func addressErrors(_ spec: Node) -> [FieldError] {
        var findings = Findings()
        addresses(spec, PodStrategy.specPath, &findings)
        return findings.errors
    }

    private static func addresses(_ spec: Node, _ path: NodePath, _ findings: inout Findings) {
        let (one, all) = (spec["clusterIP"].string ?? "", spec["clusterIPs"].stringList)
        let at = path.child("clusterIPs")
        if !one.isEmpty {
            if all.isEmpty { findings.required(at) } else if all[0] != one { findings.invalid(at, Node(all), "first value must match `clusterIP`") }
        } else if !all.isEmpty {
            findings.invalid(at, Node(all), "must be empty when `clusterIP` is not specified")
        }
        let families = spec["ipFamilies"].stringList
        for (index, family) in families.enumerated() {
            if family != "IPv4", family != "IPv6" { findings.notSupported(path.child("ipFamilies").element(index), family, ["IPv4", "IPv6"]) }
            if families[..<index].contains(family) { findings.duplicate(path.child("ipFamilies").element(index), family) }
        }
        if let policy = spec["ipFamilyPolicy"].string {
            findings.oneOf(path.child("ipFamilyPolicy"), .string(policy), ["PreferDualStack", "RequireDualStack", "SingleStack"])
        }
        var isBroken = false
        for (index, address) in all.enumerated() {
            if index == 0, address == "None" {
                if all.count > 1 { findings.invalid(at, Node(all), "'None' must be the first and only value") }
                isBroken = isBroken || all.count > 1
                continue
            }
            let problems = AddressFormat.address(address)
            for problem in problems { findings.invalid(at.element(index), .string(address), problem) }
            isBroken = isBroken || !problems.isEmpty
        }
        if all.count > 2 { findings.invalid(at, Node(all), "may only hold up to 2 values") }
        if isBroken { return }
        if all.count == 2, all[0].contains(":") == all[1].contains(":") {
            findings.invalid(at, Node(all), "may specify no more than one IP for each IP family")
        }
        guard !ServiceStrategy.isHeadless(spec) else { return }
        for (index, (address, family)) in zip(all, families).enumerated() where (family == "IPv6") != address.contains(":") {
            findings.invalid(at.element(index), .string(address), "expected an \(family) value as indicated by `ipFamilies[\(index)]`")
        }
    }

    private func balancer(_ spec: Node, _ path: NodePath, _ findings: inout Findings) {
        let isBalancer = spec["type"].string == "LoadBalancer"
        let words = "may only be used when `type` is 'LoadBalancer'"
        let ranges = spec["loadBalancerSourceRanges"].stringList
        let at = path.child("LoadBalancerSourceRanges")
        if !ranges.isEmpty, !isBalancer { findings.forbidden(at, words) }
        for (index, range) in ranges.enumerated() {
            findings.format(at.element(index), String(range.drop(while: \.isWhitespace).prefix { !$0.isWhitespace }), AddressFormat.network)
        }
        if !spec["allocateLoadBalancerNodePorts"].isNull, !isBalancer { findings.forbidden(path.child("allocateLoadBalancerNodePorts"), words) }
        guard let name = spec["loadBalancerClass"].string else { return }
        if isBalancer { findings.format(path.child("loadBalancerClass"), name, NameFormat.qualifiedName) } else { findings.forbidden(path.child("loadBalancerClass"), words) }
    }

    private func traffic(_ spec: Node, _ path: NodePath, _ findings: inout Findings) {
        if !ServiceStrategy.isExternal(spec), let policy = spec["externalTrafficPolicy"].string, !policy.isEmpty {
            findings.invalid(path.child("externalTrafficPolicy"), .string(policy), "may only be set for externally-accessible services")
        }
        if !ServiceStrategy.needsHealthCheck(spec), let port = spec["healthCheckNodePort"].int, port != 0 {
            findings.invalid(
                path.child("healthCheckNodePort"), .int(port), "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'")
        }
        if let distribution = spec["trafficDistribution"].string {
            findings.oneOf(path.child("trafficDistribution"), .string(distribution), ["PreferClose", "PreferSameZone", "PreferSameNode"])
        }
    }

    package func validateUpdate(_ object: Node, old: Node, subresource: String) -> [FieldError] {
        guard subresource.isEmpty else { return [] }
        let (spec, before, path) = (object["spec"], old["spec"], PodStrategy.specPath)
        var findings = Findings()
        if spec["type"].string == "LoadBalancer", before["type"].string == "LoadBalancer", spec["loadBalancerClass"] != before["loadBalancerClass"] {
            findings.invalid(path.child("loadBalancerClass"), spec["loadBalancerClass"], "may not change once set")
        }
        guard spec["type"].string != "ExternalName", before["type"].string != "ExternalName" else { return findings.errors }
        let (isHeadless, wasHeadless) = (ServiceStrategy.isHeadless(spec), ServiceStrategy.isHeadless(before))
        if !(isHeadless && wasHeadless) { stay("clusterIPs", "clusterIP", spec, before, path, &findings) }
        if !isHeadless, !wasHeadless { stay("ipFamilies", "ipFamily", spec, before, path, &findings) }
        return findings.errors
    }

    /// The first of a list is for good; a second may come, and go with the policy that asks for one.
    private func stay(_ field: String, _ one: String, _ spec: Node, _ old: Node, _ path: NodePath, _ findings: inout Findings) {
        let (new, before) = (spec[field].stringList, old[field].stringList)
        if new.count == before.count {
            for (index, (a, b)) in zip(new, before).enumerated() where a != b {
                findings.invalid(path.child(field).element(index), Node(new), "may not change once set")
            }
            return
        }
        if let first = before.first {
            if new.isEmpty {
                findings.invalid(path.child(field).element(0), Node(new), "primary \(one) can not be unset")
            } else if new[0] != first {
                findings.invalid(path.child(field).element(0), Node(new), "may not change once set")
            }
        }
        if before.count > new.count, new.count == 1, spec["ipFamilyPolicy"].string != "SingleStack" {
            findings.invalid(path.child("ipFamilyPolicy"), spec["ipFamilyPolicy"], "must be set to 'SingleStack' when releasing the secondary \(one)")
        }
    }
}

/// Addresses that traffic can be sent to.
enum EndpointAddress {
    static func errors(_ address: String) -> [String] {
        var out: [String] = []
        if address == "0.0.0.0" || address == "::" { out.append("may not be unspecified (\(address))") }
        if address.hasPrefix("127.") || address == "::1" { out.append("may not be in the loopback range (127.0.0.0/8, ::1/128)") }
        let lower = address.lowercased()
        if address.hasPrefix("169.254.") || ["fe8", "fe9", "fea", "feb"].contains(where: lower.hasPrefix) {
            out.append("may not be in the link-local range (169.254.0.0/16, fe80::/10)")
        }
        if address.hasPrefix("224.0.0.") || lower.hasPrefix("ff02:") { out.append("may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)") }
        return out
    }
}
