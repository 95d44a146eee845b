import Machinery
import Tree

/// The rules of a pod's specification, alone or in a template, that go beyond single fields.
struct PodSpecValidation {
    var findings = Findings()
    let spec: Node
    let path: NodePath
    /// A pod is checked more strictly than a template of one.
    let isPod: Bool
    /// Empty for templates and generated names.
    let podName: String
    /// The volumes that are fine, by name: mounts are checked against them.
    var volumes: Set<String> = []
    /// The volume being looked at.
    var volumeIndex = 0

    static func errors(_ spec: Node, at path: NodePath, isPod: Bool, podName: String = "") -> [FieldError] {
        var check = PodSpecValidation(spec: spec, path: path, isPod: isPod, podName: podName)
        check.run()
        return check.findings.errors
    }

    var gracePeriod: Int64? { spec["terminationGracePeriodSeconds"].int }
    var usesHostUsers: Bool { spec["hostUsers"].bool ?? true }

    private mutating func run() {
        checkVolumes()
        checkResourceClaims()
        checkContainers()
        checkInitContainers()
        checkEphemeralContainers()
        if !spec["resources"].isNull, spec["os"]["name"].string == "windows" {
            findings.forbidden(path.child("resources"), "may not be set for a windows pod")
        } else if !spec["resources"].isNull {
            findings.resources(path.child("resources"), spec["resources"], claims: claimNames)
        }
        checkHostNetworkPorts()
        findings.add(ObjectMeta.labelErrors(spec["nodeSelector"], at: path.child("nodeSelector")))
        checkSecurityContext()
        checkAffinity()
        checkDNS()
        for (index, gate) in spec["readinessGates"].list.enumerated() {
            findings.format(path.child("readinessGates").element(index).child("conditionType"), gate["conditionType"].string ?? "", NameFormat.qualifiedName)
        }
        checkSchedulingGates()
        checkTopologySpread()
        checkNames()
        if let value = spec["activeDeadlineSeconds"].int, !(1...Int64(Int32.max)).contains(value) {
            findings.range(path.child("activeDeadlineSeconds"), .int(value), 1...Int64(Int32.max))
        }
        checkTolerations()
        checkHostAliases()
        for (name, value) in spec["overhead"].fields {
            findings.format(path.child("overhead").entry(name), name, ResourceNames.containerErrors)
            findings.quantity(path.child("overhead").entry(name), value, of: name)
        }
        if !spec["os"].isNull, let name = spec["os"]["name"].string, !name.isEmpty {
            findings.oneOf(path.child("os").child("name"), .string(name), ["linux", "windows"])
            if name == "windows" { checkWindows() }
            if name == "linux" { checkLinux() }
        }
    }

    var claimNames: Set<String> { Set(spec["resourceClaims"].list.compactMap { $0["name"].string }) }

    private mutating func checkResourceClaims() {
        var seen: Set<String> = []
        for (index, claim) in spec["resourceClaims"].list.enumerated() {
            let at = path.child("resourceClaims").element(index)
            let name = claim["name"].string ?? ""
            findings.named(at.child("name"), claim["name"], NameFormat.dnsLabel)
            if !seen.insert(name).inserted { findings.duplicate(at.child("name"), name) }
            let (direct, template) = (claim["resourceClaimName"], claim["resourceClaimTemplateName"])
            if direct.isNull == template.isNull {
                let detail = direct.isNull
                    ? "must specify one of: `resourceClaimName`, `resourceClaimTemplateName`" : "at most one of `resourceClaimName` or `resourceClaimTemplateName` may be specified"
                findings.invalid(at, claim, detail)
            }
            if let name = direct.string { findings.format(at.child("resourceClaimName"), name, NameFormat.dnsSubdomain) }
            if let name = template.string { findings.format(at.child("resourceClaimTemplateName"), name, NameFormat.dnsSubdomain) }
        }
    }

    private mutating func checkHostNetworkPorts() {
        guard spec["hostNetwork"].bool == true else { return }
        for (index, container) in spec["containers"].list.enumerated() {
            for (at, port) in container["ports"].list.enumerated() {
                let (host, own) = (port["hostPort"].int ?? 0, port["containerPort"].int ?? 0)
                if isPod || host != 0, host != own {
                    let path = path.child("containers").element(index).child("ports").element(at).child("hostPort")
                    findings.invalid(path, .int(host), "must match `containerPort` when `hostNetwork` is true")
                }
            }
        }
    }

    private mutating func checkDNS() {
        let config = spec["dnsConfig"]
        let path = path.child("dnsConfig")
        if spec["dnsPolicy"].string == "None" {
            if config.isNull { return findings.required(path, "must provide `dnsConfig` when `dnsPolicy` is None") }
            if config["nameservers"].list.isEmpty {
                return findings.required(path.child("nameservers"), "must provide at least one DNS nameserver when `dnsPolicy` is None")
            }
        }
        guard !config.isNull else { return }
        let (servers, searches) = (config["nameservers"].stringList, config["searches"].stringList)
        if servers.count > 3 { findings.invalid(path.child("nameservers"), Node(servers), "must not have more than 3 nameservers") }
        for (index, server) in servers.enumerated() { findings.format(path.child("nameservers").element(index), server, AddressFormat.address) }
        if searches.count > 32 { findings.invalid(path.child("searches"), Node(searches), "must not have more than 32 search paths") }
        if searches.joined(separator: " ").utf8.count > 2048 {
            findings.invalid(path.child("searches"), Node(searches), "must not have more than 2048 characters (including spaces) in the search list")
        }
        for (index, search) in searches.enumerated() where search != "." {
            let name = search.hasSuffix(".") ? String(search.dropLast()) : search
            for problem in NameFormat.searchPath(name) { findings.invalid(path.child("searches").element(index), .string(search), problem) }
        }
        for (index, option) in config["options"].list.enumerated() where option["name"].isEmpty {
            findings.required(path.child("options").element(index), "must not be empty")
        }
    }

    private mutating func checkNames() {
        func given(_ field: String) -> String? { spec[field].string.flatMap { $0.isEmpty ? nil : $0 } }
        let labels: [(String, (String) -> [String])] = [
            ("serviceAccountName", NameFormat.dnsSubdomain), ("nodeName", NameFormat.dnsSubdomain), ("hostname", NameFormat.dnsLabel),
            ("subdomain", NameFormat.dnsLabel), ("priorityClassName", NameFormat.dnsSubdomain), ("runtimeClassName", NameFormat.dnsSubdomain),
        ]
        for (field, rule) in labels { if let name = given(field) { findings.format(path.child(field), name, rule) } }
        guard let name = spec["hostnameOverride"].string else { return }
        let path = path.child("hostnameOverride")
        if spec["setHostnameAsFQDN"].bool == true { findings.forbidden(path, "may not be specified when setHostnameAsFQDN is true") }
        if spec["hostNetwork"].bool == true { findings.forbidden(path, "may not be specified when hostNetwork is true") }
        if name.utf8.count > 64 { findings.add(.tooLong("\(path)", limit: 64)) }
        findings.format(path, name, NameFormat.dnsSubdomain)
    }

    private mutating func checkHostAliases() {
        for (index, alias) in spec["hostAliases"].list.enumerated() {
            let path = path.child("hostAliases").element(index)
            findings.format(path.child("ip"), alias["ip"].string ?? "", AddressFormat.address)
            for (at, name) in alias["hostnames"].stringList.enumerated() {
                findings.format(path.child("hostnames").element(at), name, NameFormat.dnsSubdomain)
            }
        }
    }
}
