package import Machinery
package import Tree

/// What volume drivers say of themselves: drivers, nodes, capacities, attachments, classes of attributes.
package struct CSIDriverStrategy: KindStrategy {
    package init() {}
    package var traits: KindTraits {
        var traits = KindTraits()
        traits.returnsDeletedObject = true
        traits.allowsUnconditionalUpdate = false
        traits.uncheckedFields = ["spec.tokenRequests.audience"]
        return traits
    }

    package func prepareUpdate(_ object: inout Node, old: Node, subresource: String) {
        // Only two of its fields count as new generations.
        let same = object["spec"]["tokenRequests"] == old["spec"]["tokenRequests"] && object["spec"]["requiresRepublish"] == old["spec"]["requiresRepublish"]
        let generation = old["metadata"]["generation"].int ?? 0
        if !same { object["metadata"]["generation"] = .int(generation + 1) } else { object["metadata"]["generation"] = old["metadata"]["generation"] }
    }

    package func warnings(_ object: Node, old: Node?) -> [String] {
        guard !object["spec"]["tokenRequests"].isEmpty, object["spec"]["serviceAccountTokenInSecrets"].isNull else { return [] }
        if let old, old["spec"]["tokenRequests"] == object["spec"]["tokenRequests"] { return [] }
        return [
            "spec.serviceAccountTokenInSecrets is unset; if supported by this CSI driver, set to true to prevent possible logging of tokens in volume attributes"
        ]
    }

    package func validate(_ object: Node) -> [FieldError] {
        let (spec, path) = (object["spec"], PodStrategy.specPath)
        var findings = Findings()
        let name = object.name
        if name.utf8.count > 63, NameFormat.dnsSubdomain(name).isEmpty { findings.add(.tooLong("metadata.name", limit: 63)) }
        for field in ["attachRequired", "podInfoOnMount", "storageCapacity"] where spec[field].isNull { findings.required(path.child(field)) }
        findings.oneOf(path.child("fsGroupPolicy"), spec["fsGroupPolicy"], ["File", "None", "ReadWriteOnceWithFSType"])
        var audiences: Set<String> = []
        for (index, request) in spec["tokenRequests"].list.enumerated() {
            let at = path.child("tokenRequests").element(index)
            let audience = request["audience"].string ?? ""
            if !audiences.insert(audience).inserted { findings.duplicate(at.child("audience"), audience) }
            guard let seconds = request["expirationSeconds"].int else { continue }
            if seconds < 600 { findings.invalid(at.child("expirationSeconds"), .int(seconds), "may not specify a duration less than 10 minutes") }
            if seconds > 1 << 32 { findings.invalid(at.child("expirationSeconds"), .int(seconds), "may not specify a duration larger than 2^32 seconds") }
        }
        for mode in spec["volumeLifecycleModes"].stringList where mode != "Persistent" && mode != "Ephemeral" {
            findings.notSupported(path.child("volumeLifecycleModes"), mode, ["Persistent", "Ephemeral"])
        }
        return findings.errors
    }

    package func validateUpdate(_ object: Node, old: Node, subresource: String) -> [FieldError] {
        var findings = Findings()
        for field in ["attachRequired", "volumeLifecycleModes"] {
            findings.immutable(PodStrategy.specPath.child(field), object["spec"][field], old["spec"][field])
        }
        return findings.errors
    }
}

/// The drivers of a node, each named once.
package struct CSINodeStrategy: KindStrategy {
    package init() {}
    package var traits: KindTraits {
        var traits = KindTraits()
        traits.returnsDeletedObject = true
        traits.allowsUnconditionalUpdate = false
        return traits
    }

    package func validate(_ object: Node) -> [FieldError] {
        var findings = Findings()
        var names: Set<String> = []
        for (index, driver) in object["spec"]["drivers"].list.enumerated() {
            let at = PodStrategy.specPath.child("drivers").element(index)
            findings.driver(at.child("name"), driver["name"])
            if driver["nodeID"].isEmpty { findings.required(at.child("nodeID")) }
            if let id = driver["nodeID"].string, id.utf8.count > 256 { findings.invalid(at.child("nodeID"), .string(id), "must be 256 characters or less") }
            findings.nonNegative(at.child("allocatable").child("count"), driver["allocatable"]["count"])
            for key in driver["topologyKeys"].stringList {
                if key.isEmpty { findings.required(at) }
                findings.format(at, key, NameFormat.qualifiedName)
            }
            let name = driver["name"].string ?? ""
            if !names.insert(name).inserted { findings.duplicate(at.child("name"), name) }
        }
        return findings.errors
    }
}

/// How much room a class has where.
package struct CSIStorageCapacityStrategy: KindStrategy {
    package init() {}
    package var traits: KindTraits {
        var traits = KindTraits()
        traits.allowsUnconditionalUpdate = false
        return traits
    }

    package func validate(_ object: Node) -> [FieldError] {
        var findings = Findings()
        findings.add(LabelSelector.errors(object["nodeTopology"], at: NodePath([.key("nodeTopology")])))
        findings.format(NodePath([.key("storageClassName")]), object["storageClassName"].string ?? "", NameFormat.dnsSubdomain)
        for field in ["capacity", "maximumVolumeSize"] {
            if let amount = PodRequests.quantity(object[field]), amount.sign < 0 {
                findings.invalid(NodePath([.key(field)]), .string(amount.description), Findings.negative)
            }
        }
        return findings.errors
    }

    package func validateUpdate(_ object: Node, old: Node, subresource: String) -> [FieldError] {
        var findings = Findings()
        for field in ["nodeTopology", "storageClassName"] { findings.immutable(NodePath([.key(field)]), object[field], old[field]) }
        return findings.errors
    }
}

/// An intent to attach one volume to one node.
package struct VolumeAttachmentStrategy: KindStrategy {
    package init() {}
    package var traits: KindTraits {
        var traits = KindTraits()
        traits.returnsDeletedObject = true
        traits.guardMetadata()
        traits.allowsUnconditionalUpdate = false
        return traits
    }

    package func validate(_ object: Node) -> [FieldError] {
        let (spec, path) = (object["spec"], PodStrategy.specPath)
        var findings = Findings()
        findings.driver(path.child("attacher"), spec["attacher"])
        let (name, inline) = (spec["source"]["persistentVolumeName"], spec["source"]["inlineVolumeSpec"])
        let source = path.child("source")
        if name.isNull, inline.isNull {
            findings.required(source, "must specify exactly one of inlineVolumeSpec and persistentVolumeName")
        } else if !name.isNull, !inline.isNull {
            findings.forbidden(source, "must specify exactly one of inlineVolumeSpec and persistentVolumeName")
        } else if let text = name.string {
            let at = source.child("persistentVolumeName")
            if text.isEmpty { findings.required(at, "must specify non empty persistentVolumeName") }
            findings.format(at, text, NameFormat.dnsSubdomain)
        }
        findings.format(path.child("nodeName"), spec["nodeName"].string ?? "", NameFormat.dnsSubdomain)
        return findings.errors
    }

    package func validateUpdate(_ object: Node, old: Node, subresource: String) -> [FieldError] {
        guard subresource.isEmpty else { return [] }
        let (spec, source) = (object["spec"], object["spec"]["source"])
        guard spec != old["spec"] else { return [] }
        guard source["inlineVolumeSpec"].isNull else { return Findings.immutableSpec(object, old) }
        // Shown as Go has it.
        let shown: Node = [
            "Attacher": .string(spec["attacher"].string ?? ""),
            "Source": ["PersistentVolumeName": source["persistentVolumeName"], "InlineVolumeSpec": .null], "NodeName": .string(spec["nodeName"].string ?? ""),
        ]
        return [.invalid("spec", shown.jsonText, ObjectMeta.immutableMessage)]
    }
}

/// Attributes that volumes can be changed to.
package struct VolumeAttributesClassStrategy: KindStrategy {
    package init() {}
    package var traits: KindTraits {
        var traits = KindTraits()
        traits.returnsDeletedObject = true
        traits.updateChecks = .changesFirst
        return traits
    }

    package func validate(_ object: Node) -> [FieldError] {
        var findings = Findings()
        findings.named(NodePath([.key("driverName")]), object["driverName"].string.map { .string($0.lowercased()) } ?? .null, NameFormat.qualifiedName)
        let parameters = object["parameters"].fields
        if parameters.isEmpty {
            findings.required(NodePath([.key("parameters")]), "must contain at least one key/value pair")
        } else if parameters.contains(where: { $0.key.isEmpty }) {
            findings.invalid(NodePath([.key("parameters")]), "", "field can not be empty.")
        }
        return findings.errors
    }

    package func validateUpdate(_ object: Node, old: Node, subresource: String) -> [FieldError] {
        var findings = Findings()
        for field in ["driverName", "parameters"] where !Findings.same(object[field], old[field]) {
            findings.forbidden(NodePath([.key(field)]), "updates to \(field) are forbidden.")
        }
        return findings.errors
    }
}
