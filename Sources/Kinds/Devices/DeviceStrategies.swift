import Core
package import Machinery
package import Tree

/// Claims of devices: what is asked for stays, what is given is written through the status.
package struct ResourceClaimStrategy: KindStrategy {
    package init() {}
    package var traits: KindTraits {
        var traits = KindTraits()
        traits.returnsDeletedObject = true
        traits.guardMetadata()
        return traits
    }

    package func setDefaults(_ object: inout Node) { DeviceDefaults.claim(&object["spec"]) }
    package func validate(_ object: Node) -> [FieldError] { DeviceClaimRules.errors(object["spec"], at: PodStrategy.specPath) }

    package func prepareUpdate(_ object: inout Node, old: Node, subresource: String) {
        guard subresource == "status" else { return }
        // What a driver said of a device that is given back is nobody's any more.
        let now = Set(object["status"]["allocation"]["devices"]["results"].list.map(ResourceClaimStatusRules.key))
        let gone = Set(old["status"]["allocation"]["devices"]["results"].list.map(ResourceClaimStatusRules.key)).subtracting(now)
        guard !gone.isEmpty else { return }
        let left = object["status"]["devices"].list.filter { !gone.contains(ResourceClaimStatusRules.key($0)) }
        object["status"]["devices"] = left.isEmpty ? .null : .list(left)
    }

    package func validateUpdate(_ object: Node, old: Node, subresource: String) -> [FieldError] {
        if subresource == "status" { return ResourceClaimStatusRules.errors(object, old: old) }
        return Findings.immutableSpec(object, old)
    }
}

/// Templates of claims: they stay what they are.
package struct ResourceClaimTemplateStrategy: KindStrategy {
    package init() {}
    package var traits: KindTraits {
        var traits = KindTraits()
        traits.returnsDeletedObject = true
        return traits
    }

    package func setDefaults(_ object: inout Node) { DeviceDefaults.claim(&object["spec"]["spec"]) }

    package func validate(_ object: Node) -> [FieldError] {
        let path = PodStrategy.specPath
        let (metadata, at) = (object["spec"]["metadata"], path.child("metadata"))
        return ObjectMeta.labelErrors(metadata["labels"], at: at.child("labels")) + ObjectMeta.annotationErrors(metadata["annotations"], at: at.child("annotations"))
            + DeviceClaimRules.errors(object["spec"]["spec"], at: path.child("spec"))
    }

    package func validateUpdate(_ object: Node, old: Node, subresource: String) -> [FieldError] {
        return Findings.immutableSpec(object, old)
    }
}

/// Classes of devices.
package struct DeviceClassStrategy: KindStrategy {
    package init() {}
    package var traits: KindTraits {
        var traits = KindTraits()
        traits.hasGeneration = true
        traits.returnsDeletedObject = true
        return traits
    }

    package func validate(_ object: Node) -> [FieldError] {
        let (spec, path) = (object["spec"], PodStrategy.specPath)
        var findings = Findings()
        DeviceFormat.selectors(path.child("selectors"), spec["selectors"].list, &findings)
        let configs = spec["config"].list
        if DeviceFormat.fits(path.child("config"), configs, 32, &findings) {
            for (index, config) in configs.enumerated() { DeviceFormat.configuration(path.child("config").element(index), config, &findings) }
        }
        if let name = spec["extendedResourceName"].string, !ResourceNames.isExtended(name) {
            findings.invalid(path.child("extendedResourceName"), .string(name), "must be a valid extended resource name")
        }
        return findings.errors
    }
}

/// Slices of what drivers have.
package struct ResourceSliceStrategy: KindStrategy {
    package init() {}
    package var traits: KindTraits {
        var traits = KindTraits()
        traits.hasGeneration = true
        traits.returnsDeletedObject = true
        return traits
    }

    package func setDefaults(_ object: inout Node) {
        guard object["spec"]["devices"].list.contains(where: { !$0["taints"].isEmpty }) else { return }
        let now = Node.string(Timestamp.now().rfc3339)
        for device in object["spec"]["devices"].list.indices {
            for taint in object["spec"]["devices"][device]["taints"].list.indices where object["spec"]["devices"][device]["taints"][taint]["timeAdded"].isNull {
                object["spec"]["devices"][device]["taints"][taint]["timeAdded"] = now
            }
        }
    }

    package func prepareCreate(_ object: inout Node) { dropDisabled(&object) }
    package func prepareUpdate(_ object: inout Node, old: Node, subresource: String) { dropDisabled(&object) }

    /// Fields of features that are off unless one turns them on.
    private func dropDisabled(_ object: inout Node) {
        for index in object["spec"]["devices"].list.indices {
            object["spec"]["devices"][index].remove("nodeAllocatableResourceMappings")
            for (name, attribute) in object["spec"]["devices"][index]["attributes"].fields {
                for field in ["ints", "bools", "strings", "versions"] where attribute.has(field) {
                    object["spec"]["devices"][index]["attributes"][name].remove(field)
                }
            }
        }
    }

    package func validate(_ object: Node) -> [FieldError] { ResourceSliceRules.errors(object["spec"], old: .null) }

    package func validateUpdate(_ object: Node, old: Node, subresource: String) -> [FieldError] {
        let path = PodStrategy.specPath
        var findings = Findings()
        findings.immutable(path.child("pool").child("name"), object["spec"]["pool"]["name"], old["spec"]["pool"]["name"])
        for field in ["driver", "nodeName"] { findings.immutable(path.child(field), object["spec"][field], old["spec"][field]) }
        return findings.errors
    }

    package func warnings(_ object: Node, old: Node?) -> [String] {
        let driver = object["spec"]["driver"].string ?? ""
        if driver == driver.lowercased() { return [] }
        return ["spec.driver: driver names should be lowercase; \(FieldError.quoted(driver)) contains uppercase characters"]
    }
}

/// Defaults that depend on other fields.
enum DeviceDefaults {
    static func claim(_ spec: inout Node) {
        for index in spec["devices"]["requests"].list.indices {
            if case .map = spec["devices"]["requests"][index]["exactly"] { count(&spec["devices"]["requests"][index]["exactly"]) }
            for choice in spec["devices"]["requests"][index]["firstAvailable"].list.indices {
                count(&spec["devices"]["requests"][index]["firstAvailable"][choice])
            }
        }
    }

    private static func count(_ request: inout Node) {
        if request["allocationMode"].isEmpty { request["allocationMode"] = "ExactCount" }
        if request["allocationMode"].string == "ExactCount", (request["count"].int ?? 0) == 0 { request["count"] = 1 }
    }
}
