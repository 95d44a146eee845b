package import Machinery
package import Tree

/// Definitions name themselves after what they define, and have exactly one version that is stored.
package struct CustomResourceDefinitionStrategy: KindStrategy {
    package var traits: KindTraits {
        var traits = KindTraits()
        traits.hasGeneration = true
        return traits
    }

    package func setDefaults(_ object: inout Node) {
        guard let kind = object["spec"]["names"]["kind"].string, !kind.isEmpty else { return }
        if (object["spec"]["names"]["singular"].string ?? "").isEmpty { object["spec"]["names"]["singular"] = .string(kind.lowercased()) }
        if (object["spec"]["names"]["listKind"].string ?? "").isEmpty { object["spec"]["names"]["listKind"] = .string("\(kind)List") }
        if object["spec"]["conversion"].isNull { object["spec"]["conversion"] = ["strategy": "None"] }
    }

    package func prepareCreate(_ object: inout Node) {
        let storage = object["spec"]["versions"].list.first { $0["storage"].bool == true }?["name"].string
        object["status"] = ["storedVersions": storage.map { [.string($0)] } ?? []]
    }

    package func validate(_ object: Node) -> [FieldError] {
        var errors: [FieldError] = []
        let spec = object["spec"]
        let wanted = "\(spec["names"]["plural"].string ?? "").\(spec["group"].string ?? "")"
        if object.name != wanted { errors.append(.invalid("metadata.name", quoted: object.name, "must be spec.names.plural+\".\"+spec.group")) }
        if spec["scope"].string == nil || spec["scope"].string == "" { errors.append(.required("spec.scope")) }
        let stored = spec["versions"].list.filter { $0["storage"].bool == true }.count
        if stored != 1 {
            errors.append(.invalid("spec.versions", spec["versions"].jsonText, "must have exactly one version marked as storage version"))
        }
        for (index, version) in spec["versions"].list.enumerated() where version["schema"]["openAPIV3Schema"].isNull {
            errors.append(.required("spec.versions[\(index)].schema.openAPIV3Schema", "schemas are required"))
        }
        for (index, version) in spec["versions"].list.enumerated() {
            let schema = version["schema"]["openAPIV3Schema"]
            let path = "spec.versions[\(index)].schema.openAPIV3Schema"
            errors += DefinitionRules.patternErrors(schema, path: path)
            errors += DefinitionRules.errors(schema, path: path)
        }
        return errors
    }

    package func validateUpdate(_ object: Node, old: Node, subresource: String) -> [FieldError] {
        guard subresource.isEmpty else { return [] }
        var errors: [FieldError] = []
        func immutable(_ path: String, _ new: Node, _ before: Node) {
            if new != before { errors.append(.invalid(path, new.jsonText, "field is immutable")) }
        }
        immutable("spec.group", object["spec"]["group"], old["spec"]["group"])
        immutable("spec.names.plural", object["spec"]["names"]["plural"], old["spec"]["names"]["plural"])
        let isEstablished = old["status"]["conditions"].list.contains { $0["type"].string == "Established" && $0["status"].string == "True" }
        if isEstablished {
            immutable("spec.scope", object["spec"]["scope"], old["spec"]["scope"])
            immutable("spec.names.kind", object["spec"]["names"]["kind"], old["spec"]["names"]["kind"])
        }
        return errors
    }
}
