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
        // Asked for where the internal type has them.
        traits.uncheckedFields = [
            "spec.versions.schema.*", "spec.versions.additionalPrinterColumns.*", "spec.versions.selectableFields.*", "spec.versions.subresources.*",
            "spec.conversion.webhook.*",
        ]
        return traits
    }

    package func setDefaults(_ object: inout Node) {
        guard let kind = object["spec"]["names"]["kind"].string, !kind.isEmpty else { return }
        if (object["spec"]["names"]["singular"].string ?? "").isEmpty { object["spec"]["names"]["singular"] = .string(kind.lowercased()) }
        if (object["spec"]["names"]["listKind"].string ?? "").isEmpty { object["spec"]["names"]["listKind"] = .string("\(kind)List") }
        if object["spec"]["conversion"].isNull { object["spec"]["conversion"] = ["strategy": "None"] }
    }

    package func prepareCreate(_ object: inout Node) {
        let storage = Self.storage(object)
        object["status"] = ["storedVersions": storage.map { [.string($0)] } ?? []]
    }

    package func prepareUpdate(_ object: inout Node, old: Node, subresource: String) {
        guard subresource.isEmpty, let storage = Self.storage(object) else { return }
        let stored = object["status"]["storedVersions"].stringList
        if !stored.contains(storage) { object["status"]["storedVersions"] = Node(stored + [storage]) }
    }

    package func warnings(_ object: Node, old: Node?) -> [String] {
        var found: [String] = []
        let known = old.map { Set(DefinitionView($0["spec"]).schemas.flatMap { UnknownFormats.of($0) }) } ?? []
        for schema in DefinitionView(object["spec"]).schemas {
            for format in UnknownFormats.of(schema) where !known.contains(format) && !found.contains(format) { found.append(format) }
        }
        return found.map { "unrecognized format \(FieldError.quoted($0))" }
    }

    private static func storage(_ object: Node) -> String? {
        object["spec"]["versions"].list.first { $0["storage"].bool == true }?["name"].string
    }

    // MARK: - Validation

    package func validate(_ object: Node) -> [FieldError] {
        let (spec, path) = (object["spec"], PodStrategy.specPath)
        var findings = Findings()
        let wanted = "\(spec["names"]["plural"].string ?? "").\(spec["group"].string ?? "")"
        let isNew = object.revision == 0
        if isNew, !object.name.isEmpty, object.name != wanted {
            findings.add(.invalid("metadata.name", quoted: object.name, "must be spec.names.plural+\".\"+spec.group"))
        }
        let view = DefinitionView(spec)
        group(spec["group"].string ?? "", path.child("group"), &findings)
        choice(spec["scope"], ["Cluster", "Namespaced"], path.child("scope"), &findings)
        let versions = path.child("versions")
        if view.schema["openAPIV3Schema"].isNull {
            for (index, version) in view.versions.enumerated() where version["schema"]["openAPIV3Schema"].isNull {
                findings.required(versions.element(index).child("schema").child("openAPIV3Schema"))
            }
        }
        let keepsUnknown = spec["preserveUnknownFields"].bool == true
        if keepsUnknown, view.schemas.contains(where: { Self.hasDefault($0) }) {
            findings.invalid(path.child("preserveUnknownFields"), true, "must be false in order to use defaults in the schema")
        }
        for (index, version) in view.versions.enumerated() {
            let name = version["name"].string ?? ""
            let problems = NameFormat.dns1035Label(name)
            if !problems.isEmpty { findings.invalid(versions.element(index).child("name"), .string(name), problems.joined(separator: ",")) }
            VersionRules.check(version, view, versions.element(index), &findings)
        }
        let names = view.versions.map { $0["name"].string ?? "" }
        if Set(names).count < names.count { findings.invalid(versions, view.shownVersions, "must contain unique version names") }
        if view.versions.count(where: { $0["storage"].bool == true }) != 1 {
            findings.invalid(versions, view.shownVersions, "must have exactly one version marked as storage version")
        }
        // Upstream's internal type has the first version's name beside them.
        if let first = names.first, !first.isEmpty {
            let problems = NameFormat.dns1035Label(first)
            if !problems.isEmpty { findings.invalid(path.child("version"), .string(first), problems.joined(separator: ",")) }
        }
        for field in ["plural", "singular", "kind", "listKind"] { findings.present(path.child("names").child(field), spec["names"][field]) }
        self.names(spec["names"], path.child("names"), &findings)
        VersionRules.checkShared(view, path, &findings)
        if keepsUnknown, let strategy = spec["conversion"]["strategy"].string, strategy != "None" {
            findings.invalid(path.child("conversion").child("strategy"), .string(strategy), "must be None if spec.preserveUnknownFields is true")
        }
        conversion(spec["conversion"], path.child("conversion"), &findings)
        if isNew { outside(object, &findings) }
        return findings.errors
    }

    /// What is not of the specification alone.
    private func outside(_ object: Node, _ findings: inout Findings) {
        names(object["status"]["acceptedNames"], NodePath([.key("status"), .key("acceptedNames")]), &findings)
        stored(object["status"]["storedVersions"], DefinitionView(object["spec"]).versions, &findings)
        if object.revision == 0 { approval(object, &findings) }
        if object["spec"]["preserveUnknownFields"].bool == true {
            findings.invalid(
                PodStrategy.specPath.child("preserveUnknownFields"), true,
                "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead")
        }
    }

    private static func hasDefault(_ schema: Node, _ depth: Int = 0) -> Bool {
        guard case .map = schema, depth < 100 else { return false }
        if !schema["default"].isNull { return true }
        let inner = [schema["items"], schema["additionalProperties"], schema["not"]] + ["allOf", "anyOf", "oneOf"].flatMap { schema[$0].list }
        return (inner + schema["properties"].fields.map(\.value)).contains { hasDefault($0, depth + 1) }
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

    private func choice(_ value: Node, _ allowed: [String], _ path: NodePath, _ findings: inout Findings) {
        let text = value.string ?? ""
        if text.isEmpty { findings.required(path) } else if !allowed.contains(text) { findings.notSupported(path, text, allowed) }
    }

    private func conversion(_ conversion: Node, _ path: NodePath, _ findings: inout Findings) {
        guard !conversion.isNull else { return }
        choice(conversion["strategy"], ["None", "Webhook"], path.child("strategy"), &findings)
        let (client, versions) = (conversion["webhook"]["clientConfig"], conversion["webhook"]["conversionReviewVersions"])
        let (place, reviews) = (path.child("webhookClientConfig"), path.child("conversionReviewVersions"))
        guard conversion["strategy"].string == "Webhook" else {
            if !client.isNull { findings.forbidden(place, "should not be set when strategy is not set to Webhook") }
            if !versions.list.isEmpty { findings.forbidden(reviews, "should not be set when strategy is not set to Webhook") }
            return
        }
        if client.isNull {
            findings.required(place, "required when strategy is set to Webhook")
        } else {
            WebhookRules.client(&findings, place, client)
        }
        if versions.list.isEmpty { findings.required(reviews) } else { WebhookRules.versions(&findings, reviews, versions.stringList) }
    }

    private func stored(_ stored: Node, _ versions: [Node], _ findings: inout Findings) {
        let path = NodePath([.key("status"), .key("storedVersions")])
        let names = stored.stringList
        guard !names.isEmpty else { return findings.invalid(path, .null, "must have at least one stored version") }
        for version in versions where version["storage"].bool == true {
            let name = version["name"].string ?? ""
            if !names.contains(name) { findings.invalid(path, stored, "must have the storage version \(name)") }
        }
        for (index, name) in names.enumerated() where !versions.contains(where: { $0["name"].string == name }) {
            findings.invalid(
                path.element(index), .string(name),
                "missing from spec.versions; \(name) was previously a storage version, and must remain in spec.versions until a storage migration ensures no data remains persisted in \(name) and removes \(name) from status.storedVersions"
            )
        }
    }

    private static let approvalKey = "api-approved.kubernetes.io"

    /// Kubernetes' own groups are for approved kinds.
    private func approval(_ object: Node, _ findings: inout Findings) {
        let group = object["spec"]["group"].string ?? ""
        guard ["k8s.io", "kubernetes.io"].contains(where: { group == $0 || group.hasSuffix(".\($0)") }) else { return }
        let text = object["metadata"]["annotations"][Self.approvalKey].string ?? ""
        let path = NodePath([.key("metadata"), .key("annotations")]).entry(Self.approvalKey)
        let see = "see https://github.com/kubernetes/enhancements/pull/1111"
        if text.isEmpty { return findings.required(path, "protected groups must have approval annotation \"\(Self.approvalKey)\", \(see)") }
        let parts = text.split(separator: "://", maxSplits: 1)
        if text.hasPrefix("unapproved") || parts.count == 2 && !parts[1].hasPrefix("/") { return }
        findings.invalid(
            path, .string(text), "protected groups must have approval annotation \"\(Self.approvalKey)\" with either a URL or a reason starting with \"unapproved\", \(see)")
    }

    // MARK: - Names

    private func names(_ names: Node, _ path: NodePath, _ findings: inout Findings) {
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
        let isEstablished = old["status"]["conditions"].list.contains { $0["type"].string == "Established" && $0["status"].string == "True" }
        if isEstablished {
            immutable("spec.scope", object["spec"]["scope"], old["spec"]["scope"])
            immutable("spec.names.kind", object["spec"]["names"]["kind"], old["spec"]["names"]["kind"])
        }
        immutable("spec.group", object["spec"]["group"], old["spec"]["group"])
        immutable("spec.names.plural", object["spec"]["names"]["plural"], old["spec"]["names"]["plural"])
        var findings = Findings()
        outside(object, &findings)
        return errors + findings.errors
    }
}
