package import Machinery
package import Tree

/// Ingress classes: a controller by domain and path, parameters in one scope.
package struct IngressClassStrategy: KindStrategy {
    package init() {}
    package var traits: KindTraits {
        var traits = KindTraits()
        traits.hasGeneration = true
        traits.updateChecks = .changesFirst
        return traits
    }

    package func setDefaults(_ object: inout Node) {
        guard !object["spec"]["parameters"].isNull, object["spec"]["parameters"]["scope"].isNull else { return }
        object["spec"]["parameters"]["scope"] = "Cluster"
    }

    package func validate(_ object: Node) -> [FieldError] {
        let (spec, path) = (object["spec"], PodStrategy.specPath)
        var findings = Findings()
        let controller = spec["controller"].string ?? ""
        if controller.utf8.count > 250 { findings.add(.tooLong("\(path.child("controller"))", limit: 250)) }
        findings.add(FieldError.domainPrefixedPath(controller, at: "\(path.child("controller"))"))
        let (parameters, at) = (spec["parameters"], path.child("parameters"))
        guard !parameters.isNull else { return findings.errors }
        findings.add(ClassFormat.reference(parameters, at: at))
        let scope = parameters["scope"].string
        if scope == nil { findings.required(at.child("scope")) }
        if let scope, !["Cluster", "Namespace"].contains(scope) { findings.notSupported(at.child("scope"), scope, ["Cluster", "Namespace"]) }
        if scope == "Namespace" {
            if let namespace = parameters["namespace"].string {
                findings.format(at.child("namespace"), namespace, NameFormat.dnsLabel)
            } else {
                findings.required(at.child("namespace"), "`parameters.scope` is set to 'Namespace'")
            }
        } else if scope == "Cluster", !parameters["namespace"].isNull {
            findings.forbidden(at.child("namespace"), "`parameters.scope` is set to 'Cluster'")
        }
        return findings.errors
    }

    package func validateUpdate(_ object: Node, old: Node, subresource: String) -> [FieldError] {
        var findings = Findings()
        findings.immutable(PodStrategy.specPath.child("controller"), .string(object["spec"]["controller"].string ?? ""), old["spec"]["controller"])
        return findings.errors
    }
}

/// What classes share.
enum ClassFormat {
    /// A `TypedLocalObjectReference`.
    static func reference(_ reference: Node, at path: NodePath) -> [FieldError] {
        var findings = Findings()
        if let group = reference["apiGroup"].string { findings.format(path.child("apiGroup"), group, NameFormat.dnsSubdomain) }
        for field in ["kind", "name"] {
            let text = reference[field].string ?? ""
            if text.isEmpty { findings.required(path.child(field)) } else { findings.format(path.child(field), text) { NameFormat.pathSegment($0) } }
        }
        return findings.errors
    }
}

/// Addresses in use: named after the address, with one holder that stays.
package struct IPAddressStrategy: KindStrategy {
    package init() {}
    package var traits: KindTraits {
        var traits = KindTraits()
        traits.nameRule = .ipAddress
        return traits
    }

    package func validate(_ object: Node) -> [FieldError] {
        let (parent, path) = (object["spec"]["parentRef"], PodStrategy.specPath.child("parentRef"))
        var findings = Findings()
        if parent.isNull { return [.required("\(path)")] }
        if let group = parent["group"].string, !group.isEmpty { findings.format(path.child("group"), group, NameFormat.dnsSubdomain) }
        for field in ["resource", "name"] { findings.named(path.child(field), parent[field]) { NameFormat.pathSegment($0) } }
        if let namespace = parent["namespace"].string, !namespace.isEmpty { findings.format(path.child("namespace"), namespace) { NameFormat.pathSegment($0) } }
        return findings.errors
    }

    package func validateUpdate(_ object: Node, old: Node, subresource: String) -> [FieldError] {
        var findings = Findings()
        findings.immutable(PodStrategy.specPath.child("parentRef"), object["spec"]["parentRef"], old["spec"]["parentRef"])
        return findings.errors
    }
}

/// Ranges for services: one network of each family at most, which stay.
package struct ServiceCIDRStrategy: KindStrategy {
    package init() {}
    package var traits: KindTraits {
        var traits = KindTraits()
        traits.guardMetadata()
        traits.updateChecks = .changesOnly
        return traits
    }

    package func validate(_ object: Node) -> [FieldError] {
        let (networks, path) = (object["spec"]["cidrs"].stringList, PodStrategy.specPath.child("cidrs"))
        if networks.isEmpty { return [.required("\(path)", "at least one CIDR required")] }
        var findings = Findings()
        if networks.count > 2 {
            findings.invalid(PodStrategy.specPath, object["spec"], "may only hold up to 2 values")
            return findings.errors
        }
        for (index, network) in networks.enumerated() { findings.format(path.element(index), network, AddressFormat.network) }
        if networks.count == 2, networks[0].contains(":") == networks[1].contains(":") {
            findings.invalid(path, Node(networks), "may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64")
        }
        return findings.errors
    }

    /// A range of the other family may be added, and that is all.
    package func validateUpdate(_ object: Node, old: Node, subresource: String) -> [FieldError] {
        guard subresource.isEmpty else { return [] }
        let (new, before, path) = (object["spec"]["cidrs"].list, old["spec"]["cidrs"].list, PodStrategy.specPath.child("cidrs"))
        var findings = Findings()
        guard new.count == before.count || before.count == 1 && new.count == 2 else {
            findings.invalid(path, object["spec"]["cidrs"], ObjectMeta.immutableMessage)
            return findings.errors
        }
        for index in before.indices { findings.immutable(path.element(index), new[index], before[index]) }
        if new.count > before.count { findings.add(validate(object)) }
        return findings.errors
    }
}

/// Runtime classes: a handler by name, and what its pods cost and where they may go.
package struct RuntimeClassStrategy: KindStrategy {
    package init() {}
    package var traits: KindTraits {
        var traits = KindTraits()
        traits.allowsCreateOnUpdate = true
        traits.allowsUnconditionalUpdate = false
        return traits
    }

    package func validate(_ object: Node) -> [FieldError] {
        var findings = Findings()
        findings.named(NodePath([.key("handler")]), object["handler"], NameFormat.dnsLabel)
        let overhead = NodePath([.key("overhead"), .key("podFixed")])
        for (name, value) in object["overhead"]["podFixed"].fields {
            // Upstream checks it as the limits of a container.
            findings.format(NodePath([.key("overhead"), .key("limits"), .entry(name)]), name, ResourceNames.containerErrors)
            findings.quantity(overhead.entry(name), value, of: name)
        }
        let (scheduling, path) = (object["scheduling"], NodePath([.key("scheduling")]))
        findings.add(ObjectMeta.labelErrors(scheduling["nodeSelector"], at: path.child("nodeSelector")))
        findings.tolerations(scheduling["tolerations"].list, path.child("tolerations"))
        return findings.errors
    }

    package func validateUpdate(_ object: Node, old: Node, subresource: String) -> [FieldError] {
        var findings = Findings()
        findings.immutable(NodePath([.key("handler")]), object["handler"], old["handler"])
        return findings.errors
    }
}
