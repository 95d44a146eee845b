package import Machinery
package import Tree

/// Pod templates as objects of their own.
package struct PodTemplateStrategy: KindStrategy {
    package init() {}
    package var traits: KindTraits {
        var traits = KindTraits()
        traits.hasGeneration = true
        traits.returnsDeletedObject = true
        return traits
    }

    package func setDefaults(_ object: inout Node) { PodDefaults.applyToSpec(&object["template"]["spec"]) }
    package func validate(_ object: Node) -> [FieldError] { PodTemplateRules.errors(object["template"], at: NodePath([.key("template")])) }
}

/// States of sets: some data, which stays.
package struct ControllerRevisionStrategy: KindStrategy {
    package init() {}

    package func validate(_ object: Node) -> [FieldError] {
        let path = NodePath([.key("data")])
        var findings = Findings()
        switch object["data"] {
        case _ where object.revision > 0: break
        case .null: findings.required(path, "data is mandatory")
        case .map: break
        default: findings.required(path, "data must be a valid JSON object")
        }
        let revision = object["revision"].int ?? 0
        if revision < 0 { findings.invalid(NodePath([.key("revision")]), .int(revision), Findings.negative) }
        return findings.errors
    }

    package func validateUpdate(_ object: Node, old: Node, subresource: String) -> [FieldError] {
        var findings = Findings()
        findings.immutable(NodePath([.key("data")]), object["data"], old["data"])
        return findings.errors
    }
}

/// Leases: durations that can run out.
package struct LeaseStrategy: KindStrategy {
    package init() {}
    package var traits: KindTraits {
        var traits = KindTraits()
        traits.allowsCreateOnUpdate = true
        traits.allowsUnconditionalUpdate = false
        return traits
    }

    package func validate(_ object: Node) -> [FieldError] {
        let (spec, path) = (object["spec"], PodStrategy.specPath)
        var findings = Findings()
        if let seconds = spec["leaseDurationSeconds"].int, seconds <= 0 {
            findings.invalid(path.child("leaseDurationSeconds"), .int(seconds), "must be greater than 0")
        }
        findings.nonNegative(path, fields: ["leaseTransitions"], of: spec)
        if !spec["preferredHolder"].isEmpty, spec["strategy"].isEmpty {
            findings.forbidden(path.child("preferredHolder"), "may only be specified if `strategy` is defined")
        }
        return findings.errors
    }
}

/// Nodes: taints that differ, pod networks that stay.
package struct NodeStrategy: KindStrategy {
    package init() {}

    package func setDefaults(_ object: inout Node) {
        // `podCIDR` is the first of `podCIDRs`, and wins where they differ.
        let (one, all) = (object["spec"]["podCIDR"], object["spec"]["podCIDRs"])
        if !one.isEmpty, all[0] != one { object["spec"]["podCIDRs"] = [one] }
        if one.isEmpty, !all.isEmpty { object["spec"]["podCIDR"] = all[0] }
        if object["status"]["allocatable"].isNull, !object["status"]["capacity"].isEmpty { object["status"]["allocatable"] = object["status"]["capacity"] }
    }

    package var traits: KindTraits {
        var traits = KindTraits()
        // Kubelets register with their status in one write.
        traits.dropsStatusOnCreate = false
        traits.uncheckedFields = ["spec.taints.key", "spec.taints.effect"]
        return traits
    }

    package func validate(_ object: Node) -> [FieldError] {
        var findings = Findings()
        let (spec, path) = (object["spec"], PodStrategy.specPath)
        taints(spec["taints"].list, &findings)
        for field in ["capacity", "allocatable"] {
            for (name, value) in object["status"][field].fields {
                findings.quantity(NodePath([.key("status"), .key(field), .key(name)]), value, of: name)
            }
        }
        let networks = spec["podCIDRs"].stringList
        for (index, network) in networks.enumerated() { findings.format(path.child("podCIDRs").element(index), network, AddressFormat.network) }
        let families = Set(networks.map { $0.contains(":") })
        if networks.count > 2 || networks.count > families.count {
            findings.invalid(path.child("podCIDRs"), Node(networks), "may specify no more than one CIDR for each IP family")
        }
        return findings.errors
    }

    private func taints(_ list: [Node], _ findings: inout Findings) {
        var seen: Set<String> = []
        for (index, taint) in list.enumerated() {
            // Upstream looks for taints in the metadata.
            let at = NodePath([.key("metadata"), .key("taints")]).element(index)
            let (key, value, effect) = (taint["key"].string ?? "", taint["value"].string ?? "", taint["effect"].string ?? "")
            findings.format(at.child("key"), key, NameFormat.qualifiedName)
            let problems = NameFormat.labelValue(value)
            if !problems.isEmpty { findings.invalid(at.child("value"), .string(value), problems.joined(separator: ";")) }
            if effect.isEmpty { findings.required(at.child("effect")) } else if !Findings.effects.contains(effect) { findings.notSupported(at.child("effect"), effect, Findings.effects) }
            if !seen.insert("\(effect)/\(key)").inserted {
                let shown: Node = ["Key": .string(key), "Value": .string(value), "Effect": .string(effect), "TimeAdded": taint["timeAdded"]]
                findings.add(.duplicate("\(at)", "\(shown.jsonText): taints must be unique by key and effect pair"))
            }
        }
    }

    package func validateUpdate(_ object: Node, old: Node, subresource: String) -> [FieldError] {
        guard subresource.isEmpty else { return [] }
        var findings = Findings()
        let (new, before, path) = (object["spec"], old["spec"], PodStrategy.specPath)
        if !before["podCIDRs"].isEmpty, new["podCIDRs"] != before["podCIDRs"] {
            findings.forbidden(path.child("podCIDRs"), "node updates may not change podCIDR except from \"\" to valid")
        }
        if !before["providerID"].isEmpty, new["providerID"] != before["providerID"] {
            findings.forbidden(path.child("providerID"), "node updates may not change providerID except from \"\" to valid")
        }
        // Upstream looks at them once more.
        taints(new["taints"].list, &findings)
        return findings.errors
    }
}

/// Endpoints of the older kind.
package struct EndpointsStrategy: KindStrategy {
    package init() {}
    package var traits: KindTraits {
        var traits = KindTraits()
        traits.allowsCreateOnUpdate = true
        return traits
    }

    package func setDefaults(_ object: inout Node) {
        guard case .list(var subsets) = object["subsets"] else { return }
        for index in subsets.indices {
            guard case .list(var ports) = subsets[index]["ports"] else { continue }
            for at in ports.indices where ports[at]["protocol"].isEmpty { ports[at]["protocol"] = "TCP" }
            subsets[index]["ports"] = .list(ports)
        }
        object["subsets"] = .list(subsets)
    }

    package func validate(_ object: Node) -> [FieldError] {
        var findings = Findings()
        for (index, subset) in object["subsets"].list.enumerated() {
            let path = NodePath([.key("subsets"), .index(index)])
            if subset["addresses"].isEmpty, subset["notReadyAddresses"].isEmpty {
                findings.required(path, "must specify `addresses` or `notReadyAddresses`")
            }
            for field in ["addresses", "notReadyAddresses"] {
                for (step, address) in subset[field].list.enumerated() {
                    let at = path.child(field).element(step)
                    let text = address["ip"].string ?? ""
                    let problems = AddressFormat.address(text)
                    for problem in problems {
                        findings.invalid(at.child("ip"), .string(text), problem)
                        findings.invalid(at.child("ip"), .string(text), "must be a valid IP address")
                    }
                    if problems.isEmpty { findings.format(at.child("ip"), text, EndpointAddress.errors) }
                    if let name = address["hostname"].string, !name.isEmpty { findings.format(at.child("hostname"), name, NameFormat.dnsLabel) }
                    if let name = address["nodeName"].string { findings.format(at.child("nodeName"), name, NameFormat.dnsSubdomain) }
                }
            }
            let ports = subset["ports"].list
            for (step, port) in ports.enumerated() {
                let at = path.child("ports").element(step)
                let name = port["name"].string ?? ""
                if name.isEmpty { if ports.count > 1 { findings.required(at.child("name")) } } else { findings.format(at.child("name"), name, NameFormat.dnsLabel) }
                for problem in NameFormat.portNumber(port["port"].int ?? 0) { findings.invalid(at.child("port"), .int(port["port"].int ?? 0), problem) }
                if let spoken = port["appProtocol"].string { findings.format(at.child("appProtocol"), spoken, NameFormat.qualifiedName) }
            }
        }
        return findings.errors
    }
}

/// Events: in the namespace of what they are about.
package struct EventStrategy: KindStrategy {
    package init() {}
    package var traits: KindTraits {
        var traits = KindTraits()
        traits.isRefusedWithoutGroup = true
        traits.allowsCreateOnUpdate = true
        traits.hasNoDependents = true
        traits.nameRule = .any
        return traits
    }

    package func validate(_ object: Node) -> [FieldError] {
        object.apiVersion == "events.k8s.io/v1" && object.revision == 0 ? newEvent(object) : EventRules.errors(object)
    }

    package func validateUpdate(_ object: Node, old: Node, subresource: String) -> [FieldError] {
        object.apiVersion == "events.k8s.io/v1" ? EventRules.changes(object, old) : []
    }
}

extension EventStrategy {
    /// What the newer group asks of a first write beside.
    private func newEvent(_ object: Node) -> [FieldError] {
        var findings = Findings()
        if !object.name.isEmpty { findings.format(NodePath([.key("metadata"), .key("name")]), object.name, NameFormat.dnsSubdomain) }
        if object["eventTime"].isNull { findings.required(NodePath([.key("eventTime")])) }
        let controller = NodePath([.key("reportingController")])
        if object["reportingController"].isEmpty { findings.required(controller) }
        findings.format(controller, object["reportingController"].string ?? "", NameFormat.qualifiedName)
        for (field, limit) in [("reportingInstance", 128), ("action", 128), ("reason", 128)] {
            let path = NodePath([.key(field)])
            let text = object[field].string ?? ""
            if text.isEmpty { findings.required(path) }
            if text.utf8.count > limit { findings.invalid(path, "", "can have at most \(limit) characters") }
        }
        if let note = object["note"].string, note.utf8.count > 1024 { findings.invalid(NodePath([.key("message")]), "", "can have at most 1024 characters") }
        if !object["series"].isNull, (object["series"]["count"].int ?? 0) < 2 {
            findings.invalid(NodePath([.key("series"), .key("count")]), "", "should be at least 2")
        }
        let type = object["type"].string ?? ""
        if type != "Normal", type != "Warning" { findings.invalid(NodePath([.key("type")]), "", "has invalid value: \(type)") }
        return findings.errors
    }
}

/// Requests for certificates: what is asked for is fixed, and nobody decides twice.
package struct SigningRequestStrategy: KindStrategy {
    package init() {}
    package var traits: KindTraits {
        var traits = KindTraits()
        traits.resetFields = ["": ["spec", "status"], "status": ["spec", "status.conditions"], "approval": ["spec", "status.certificate"]]
        traits.nameRule = .any
        return traits
    }

    /// Whoever approves or signs goes by who asked, so nobody may say so but the server.
    package func setRequester(_ object: inout Node, _ user: Node) {
        for field in ["username", "uid", "groups", "extra"] { object["spec"][field] = user[field] }
    }

    package func prepareUpdate(_ object: inout Node, old: Node, subresource: String) {
        object["spec"] = old["spec"]
        switch subresource {
        case "approval":
            // Only the decision; the certificate is the signer's.
            let conditions = object["status"]["conditions"]
            object["status"] = old["status"]
            object["status"]["conditions"] = conditions
        case "status":
            // Decisions go through their own subresource.
            let decisions = ["Approved", "Denied"]
            var conditions = old["status"]["conditions"].list.filter { decisions.contains($0["type"].string ?? "") }
            conditions += object["status"]["conditions"].list.filter { !decisions.contains($0["type"].string ?? "") }
            if !conditions.isEmpty { object["status"]["conditions"] = .list(conditions) }
        default: object["status"] = old["status"]
        }
    }

    package func validate(_ object: Node) -> [FieldError] {
        let (spec, path) = (object["spec"], PodStrategy.specPath)
        var findings = Findings()
        let request = spec["request"]
        let pem = String(decoding: Base64.decode(request.string ?? "") ?? [], as: UTF8.self)
        if !pem.contains("-----BEGIN CERTIFICATE REQUEST-----") { findings.invalid(path.child("request"), request, "PEM block type must be CERTIFICATE REQUEST") }
        if spec["usages"].isEmpty { findings.required(path.child("usages")) }
        if spec["signerName"].isEmpty {
            findings.required(path.child("signerName"))
        } else if let name = spec["signerName"].string, name.split(separator: "/", omittingEmptySubsequences: false).count != 2 {
            findings.invalid(path.child("signerName"), .string(name), "must be a fully qualified domain and path of the form 'example.com/signer-name'")
        }
        if let seconds = spec["expirationSeconds"].int, seconds < 600 {
            findings.invalid(path.child("expirationSeconds"), .int(seconds), "may not specify a duration less than 600 seconds (10 minutes)")
        }
        return findings.errors
    }

    package func validateUpdate(_ object: Node, old: Node, subresource: String) -> [FieldError] {
        var findings = Findings()
        let path = NodePath([.key("status"), .key("conditions")])
        let types = object["status"]["conditions"].list.compactMap { $0["type"].string }
        if types.contains("Approved"), types.contains("Denied") {
            findings.invalid(path, "Approved,Denied", "Approved and Denied conditions are mutually exclusive")
        }
        for type in ["Approved", "Denied", "Failed"] {
            if old["status"]["conditions"].list.contains(where: { $0["type"].string == type }), !types.contains(type) {
                findings.forbidden(path, "updates may not remove a condition of type \(FieldError.quoted(type))")
            }
        }
        if !subresource.isEmpty {
            for (index, condition) in object["status"]["conditions"].list.enumerated() {
                findings.present(path.element(index).child("type"), condition["type"])
                let isDecided = ["Approved", "Denied", "Failed"].contains(condition["type"].string ?? "")
                let at = path.element(index).child("status")
                if condition["status"].isEmpty { findings.required(at) } else { findings.oneOf(at, condition["status"], isDecided ? ["True"] : ["False", "True", "Unknown"]) }
            }
        }
        let before = old["status"]["certificate"]
        if !before.isEmpty, object["status"]["certificate"] != before {
            findings.forbidden(NodePath([.key("status"), .key("certificate")]), "updates may not set certificate content if already set")
        }
        return findings.errors
    }
}

/// A kind whose fields of a few names never change.
package struct FixedFieldsStrategy: KindStrategy {
    package let traits: KindTraits
    private let paths: [[String]]
    private let words: String

    package init(_ paths: [[String]], words: String = ObjectMeta.immutableMessage, _ edit: (inout KindTraits) -> Void = { _ in }) {
        var traits = KindTraits()
        edit(&traits)
        self.traits = traits
        self.paths = paths
        self.words = words
    }

    package func validateUpdate(_ object: Node, old: Node, subresource: String) -> [FieldError] {
        guard subresource.isEmpty else { return [] }
        var findings = Findings()
        for path in paths {
            let (new, before) = (path.reduce(object) { $0[$1] }, path.reduce(old) { $0[$1] })
            if !Findings.same(new, before) { findings.invalid(NodePath(path.map(NodePath.Step.key)), new, words) }
        }
        return findings.errors
    }
}
