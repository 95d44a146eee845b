package import Machinery
package import Tree

/// Definitions name themselves after what they define, and have exactly one version that is stored.
package struct CustomResourceDefinitionStrategy: KindStrategy {
    /// Holds a deleted definition until its objects are gone.
    package static let finalizer = "customresourcecleanup.apiextensions.k8s.io"

    package var traits: KindTraits {
        var traits = KindTraits()
        traits.hasGeneration = true
        traits.allowsUnconditionalUpdate = false
        traits.terminate = { definition in
            let finalizer = CustomResourceDefinitionStrategy.finalizer
            if !definition.finalizers.contains(finalizer) { definition["metadata"]["finalizers"] = Node(definition.finalizers + [finalizer]) }
            let conditions = definition["status"]["conditions"].list.filter { $0["type"].string != "Terminating" }
            let begun: Node = [
                "type": "Terminating", "status": "True", "lastTransitionTime": definition["metadata"]["deletionTimestamp"], "reason": "InstanceDeletionPending",
                "message": "CustomResourceDefinition marked for deletion; CustomResource deletion will begin soon",
            ]
            definition["status"]["conditions"] = .list(conditions + [begun])
        }
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
        let (spec, path) = (object["spec"], PodStrategy.specPath)
        var findings = Findings()
        let wanted = "\(spec["names"]["plural"].string ?? "").\(spec["group"].string ?? "")"
        if !object.name.isEmpty, object.name != wanted {
            findings.add(.invalid("metadata.name", quoted: object.name, "must be spec.names.plural+\".\"+spec.group"))
        }
        let versions = spec["versions"].list
        for (index, version) in versions.enumerated() where version["schema"]["openAPIV3Schema"].isNull {
            findings.required(path.child("versions").element(index).child("schema").child("openAPIV3Schema"))
        }
        group(spec["group"].string ?? "", path.child("group"), &findings)
        let scope = spec["scope"].string ?? ""
        if scope.isEmpty {
            findings.required(path.child("scope"))
        } else if !["Cluster", "Namespaced"].contains(scope) {
            findings.notSupported(path.child("scope"), scope, ["Cluster", "Namespaced"])
        }
        self.versions(versions, path, &findings)
        names(spec["names"], path.child("names"), &findings)
        let strategy = spec["conversion"]["strategy"].string ?? ""
        if !strategy.isEmpty, strategy != "None", strategy != "Webhook" {
            findings.notSupported(path.child("conversion").child("strategy"), strategy, ["None", "Webhook"])
        }
        if spec["preserveUnknownFields"].bool == true {
            findings.invalid(path.child("preserveUnknownFields"), true, "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead")
        }
        return findings.errors
    }

    private func group(_ group: String, _ path: NodePath, _ findings: inout Findings) {
        if group.isEmpty { return findings.required(path) }
        let problems = NameFormat.dnsSubdomain(group)
        if !problems.isEmpty {
            findings.invalid(path, .string(group), problems.joined(separator: ","))
        } else if !group.contains(".") {
            findings.invalid(path, .string(group), "should be a domain with at least one dot")
        }
    }

    // MARK: - Versions

    private func versions(_ versions: [Node], _ path: NodePath, _ findings: inout Findings) {
        for (index, version) in versions.enumerated() {
            let at = path.child("versions").element(index).child("name")
            let problems = NameFormat.dns1035Label(version["name"].string ?? "")
            if !problems.isEmpty { findings.invalid(at, .string(version["name"].string ?? ""), problems.joined(separator: ",")) }
        }
        let names = versions.map { $0["name"].string ?? "" }
        if Set(names).count < names.count { findings.invalid(path.child("versions"), .list(versions), "must contain unique version names") }
        if versions.count(where: { $0["storage"].bool == true }) != 1 {
            findings.invalid(path.child("versions"), versions.isEmpty ? .null : .list(versions), "must have exactly one version marked as storage version")
        }
        // What all versions have alike stands above them, and so do its paths.
        func place(_ field: String, _ shared: String, _ index: Int) -> NodePath? {
            if versions.allSatisfy({ $0[field] == versions[0][field] }) { return index == 0 ? path.child(shared) : nil }
            return path.child("versions").element(index).child(field)
        }
        for (index, version) in versions.enumerated() {
            if let at = place("schema", "validation", index), !version["schema"]["openAPIV3Schema"].isNull {
                let (schema, path) = (version["schema"]["openAPIV3Schema"], at.child("openAPIV3Schema"))
                StructuralRules.check(schema, path, &findings)
                for error in DefinitionRules.patternErrors(schema, path: "\(path)") + DefinitionRules.errors(schema, path: "\(path)") { findings.add(error) }
            }
            if let at = place("subresources", "subresources", index) { subresources(version["subresources"], at, &findings) }
            if let at = place("additionalPrinterColumns", "additionalPrinterColumns", index) {
                for (number, column) in version["additionalPrinterColumns"].list.enumerated() { self.column(column, at.element(number), &findings) }
            }
            if let at = place("selectableFields", "selectableFields", index) {
                for (number, field) in version["selectableFields"].list.enumerated() where field["jsonPath"].isEmpty {
                    findings.required(at.element(number).child("jsonPath"))
                }
            }
        }
    }

    private func subresources(_ subresources: Node, _ path: NodePath, _ findings: inout Findings) {
        let scale = subresources["scale"]
        guard !scale.isNull else { return }
        for (field, root) in [("specReplicasPath", "spec"), ("statusReplicasPath", "status")] {
            let (text, at) = (scale[field].string ?? "", path.child("scale.\(field)"))
            if text.isEmpty {
                findings.required(at)
            } else if !simplePath(text, at, &findings), !text.hasPrefix(".\(root).") {
                findings.invalid(at, .string(text), "should be a json path under .\(root)")
            }
        }
        if let text = scale["labelSelectorPath"].string, !text.isEmpty {
            let at = path.child("scale.labelSelectorPath")
            if !simplePath(text, at, &findings), !text.hasPrefix(".spec."), !text.hasPrefix(".status.") {
                findings.invalid(at, .string(text), "should be a json path under either .spec or .status")
            }
        }
    }

    /// Whether something is wrong with a path.
    private func simplePath(_ text: String, _ path: NodePath, _ findings: inout Findings) -> Bool {
        guard !text.hasPrefix(".") else { return false }
        findings.invalid(path, .string(text), "must be a simple json path starting with .")
        return true
    }

    private static let columnTypes = ["boolean", "date", "integer", "number", "string"]
    private static let columnFormats = ["byte", "date", "date-time", "double", "float", "int32", "int64", "password"]

    private func column(_ column: Node, _ path: NodePath, _ findings: inout Findings) {
        findings.present(path.child("name"), column["name"])
        let type = column["type"].string ?? ""
        let words = "must be one of \(CustomResourceDefinitionStrategy.columnTypes.joined(separator: ","))"
        if type.isEmpty {
            findings.required(path.child("type"), words)
        } else if !CustomResourceDefinitionStrategy.columnTypes.contains(type) {
            findings.invalid(path.child("type"), .string(type), words)
        }
        if let format = column["format"].string, !format.isEmpty, !CustomResourceDefinitionStrategy.columnFormats.contains(format) {
            findings.invalid(
                path.child("format"), .string(format), "must be one of \(CustomResourceDefinitionStrategy.columnFormats.joined(separator: ","))")
        }
        findings.present(path.child("JSONPath"), column["jsonPath"])
    }

    // MARK: - Names

    private func names(_ names: Node, _ path: NodePath, _ findings: inout Findings) {
        for field in ["plural", "singular", "kind", "listKind"] { findings.present(path.child(field), names[field]) }
        for field in ["plural", "singular"] { label(names[field], path.child(field), &findings) }
        for field in ["kind", "listKind"] {
            guard let text = names[field].string, !text.isEmpty else { continue }
            let problems = NameFormat.dns1035Label(text.lowercased())
            if !problems.isEmpty {
                findings.invalid(path.child(field), .string(text), "may have mixed case, but should otherwise match: \(problems.joined(separator: ","))")
            }
        }
        for (index, name) in names["shortNames"].list.enumerated() { label(name, path.child("shortNames").element(index), always: true, &findings) }
        if let kind = names["kind"].string, !kind.isEmpty, names["listKind"].string == kind {
            findings.invalid(path.child("listKind"), .string(kind), "kind and listKind may not be the same")
        }
        for (index, name) in names["categories"].list.enumerated() { label(name, path.child("categories").element(index), always: true, &findings) }
    }

    private func label(_ name: Node, _ path: NodePath, always: Bool = false, _ findings: inout Findings) {
        let text = name.string ?? ""
        let problems = text.isEmpty && !always ? [] : NameFormat.dns1035Label(text)
        if !problems.isEmpty { findings.invalid(path, .string(text), problems.joined(separator: ",")) }
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
