package import Tree

/// Validation of the metadata that all objects share, in upstream's words.
package enum ObjectMeta {
    private static let annotationsMax = 256 * 1024
    package static let immutableMessage = "field is immutable"

    /// What is wrong with the metadata of an object that is about to be created; its name is already generated.
    package static func errors(_ meta: Node, isNamespaced: Bool, name rule: NameRule, at path: NodePath = NodePath([.key("metadata")])) -> [FieldError] {
        var errors: [FieldError] = []
        if let base = meta["generateName"].string, !base.isEmpty {
            errors += rule.errors(base, prefix: true).map { .invalid("\(path.child("generateName"))", quoted: base, $0) }
        }
        let name = meta["name"].string ?? ""
        if name.isEmpty {
            errors.append(.required("\(path.child("name"))", "name or generateName is required"))
        } else {
            errors += rule.errors(name).map { .invalid("\(path.child("name"))", quoted: name, $0) }
        }
        let namespace = meta["namespace"].string ?? ""
        if isNamespaced {
            if namespace.isEmpty {
                errors.append(.required("\(path.child("namespace"))"))
            } else {
                errors += NameFormat.dnsLabel(namespace).map { .invalid("\(path.child("namespace"))", quoted: namespace, $0) }
            }
        } else if !namespace.isEmpty {
            errors.append(.forbidden("\(path.child("namespace"))", "not allowed on this type"))
        }
        if let generation = meta["generation"].int, generation < 0 {
            errors.append(.invalid("\(path.child("generation"))", "\(generation)", "must be greater than or equal to 0"))
        }
        errors += sharedErrors(meta, at: path)
        errors += finalizerErrors(meta["finalizers"].stringList, at: path.child("finalizers"))
        return errors
    }

    /// What is wrong with replacing `old` by `new`.
    package static func updateErrors(_ new: Node, old: Node, at path: NodePath = NodePath([.key("metadata")])) -> [FieldError] {
        changeErrors(new, old: old, at: path) + sharedErrors(new, at: path)
    }

    /// Of what is wrong with replacing `old` by `new`, what does not follow from `new` alone. Upstream tells it twice.
    package static func changeErrors(_ new: Node, old: Node, at path: NodePath = NodePath([.key("metadata")])) -> [FieldError] {
        var errors: [FieldError] = []
        if old.has("deletionTimestamp") {
            let before = Set(old["finalizers"].stringList)
            let added = Set(new["finalizers"].stringList).subtracting(before).sorted()
            if !added.isEmpty {
                let list = added.map(FieldError.quoted).joined(separator: ", ")
                errors.append(
                    .forbidden(
                        "\(path.child("finalizers"))",
                        "no new finalizers can be added if the object is being deleted, found new finalizers []string{\(list)}"))
            }
        }
        if (new["resourceVersion"].string ?? "").isEmpty {
            errors.append(.invalid("\(path.child("resourceVersion"))", quoted: "", "must be specified for an update"))
        }
        if (new["generation"].int ?? 0) < (old["generation"].int ?? 0) {
            errors.append(.invalid("\(path.child("generation"))", "\(new["generation"].int ?? 0)", "must not be decremented"))
        }
        for key in ["name", "namespace", "uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds"] where new[key] != old[key] {
            errors.append(.invalid("\(path.child(key))", shown(new[key]), immutableMessage))
        }
        return errors
    }

    private static func sharedErrors(_ meta: Node, at path: NodePath) -> [FieldError] {
        labelErrors(meta["labels"], at: path.child("labels")) + annotationErrors(meta["annotations"], at: path.child("annotations"))
            + ownerErrors(meta["ownerReferences"].list, at: path.child("ownerReferences"))
            + managedFieldsErrors(meta["managedFields"].list, at: path.child("managedFields"))
    }

    package static func labelErrors(_ labels: Node, at path: NodePath) -> [FieldError] {
        var errors: [FieldError] = []
        for (key, value) in labels.fields {
            errors += NameFormat.qualifiedName(key).map { .invalid("\(path)", quoted: key, $0) }
            let text = value.string ?? ""
            errors += NameFormat.labelValue(text).map { .invalid("\(path)", quoted: text, $0) }
        }
        return errors
    }

    /// Names without a domain are the system's own.
    package static func finalizerErrors(_ meta: Node) -> [FieldError] {
        let own = ["kubernetes", "orphan", "foregroundDeletion"]
        return meta["finalizers"].stringList.enumerated().compactMap { index, name in
            if name.isEmpty || name.contains("/") || own.contains(name) { return nil }
            return .invalid("metadata.finalizers[\(index)]", quoted: name, "name is neither a standard finalizer name nor is it fully qualified")
        }
    }

    package static func annotationErrors(_ annotations: Node, at path: NodePath) -> [FieldError] {
        var errors: [FieldError] = []
        var size = 0
        for (key, value) in annotations.fields {
            errors += NameFormat.qualifiedName(key.lowercased()).map { .invalid("\(path)", quoted: key, $0) }
            size += key.utf8.count + (value.string?.utf8.count ?? 0)
        }
        if size > annotationsMax { errors.append(.tooLong("\(path)", limit: annotationsMax)) }
        return errors
    }

    private static func ownerErrors(_ owners: [Node], at path: NodePath) -> [FieldError] {
        var errors: [FieldError] = []
        var controller: String?
        for owner in owners {
            let apiVersion = owner["apiVersion"].string ?? ""
            if apiVersion.isEmpty || apiVersion.hasSuffix("/") {
                errors.append(.invalid("\(path.child("apiVersion"))", quoted: apiVersion, "version must not be empty"))
            }
            for key in ["kind", "name", "uid"] where (owner[key].string ?? "").isEmpty {
                errors.append(.invalid("\(path.child(key))", quoted: "", "must not be empty"))
            }
            if apiVersion == "v1", owner["kind"].string == "Event" {
                errors.append(.invalid("\(path)", owner.jsonText, "/v1, Kind=Event is disallowed from being an owner"))
            }
            guard owner["controller"].bool == true else { continue }
            let name = "\(owner["kind"].string ?? "")/\(owner["name"].string ?? "")"
            if let controller {
                errors.append(
                    .invalid(
                        "\(path)", Node.list(owners).jsonText,
                        "Only one reference can have Controller set to true. Found \"true\" in references for \(controller) and \(name)"))
            } else {
                controller = name
            }
        }
        return errors
    }

    private static func finalizerErrors(_ finalizers: [String], at path: NodePath) -> [FieldError] {
        var errors = finalizers.flatMap { name in NameFormat.qualifiedName(name).map { FieldError.invalid("\(path)", quoted: name, $0) } }
        if finalizers.contains("orphan"), finalizers.contains("foregroundDeletion") {
            errors.append(.invalid("\(path)", Node(finalizers).jsonText, "finalizer orphan and foregroundDeletion cannot be both set"))
        }
        return errors
    }

    private static func managedFieldsErrors(_ entries: [Node], at path: NodePath) -> [FieldError] {
        var errors: [FieldError] = []
        for (index, entry) in entries.enumerated() {
            let path = path.element(index)
            let operation = entry["operation"].string ?? ""
            if operation != "Apply", operation != "Update" {
                errors.append(.invalid("\(path.child("operation"))", quoted: operation, "must be `Apply` or `Update`"))
            }
            if let type = entry["fieldsType"].string, !type.isEmpty, type != "FieldsV1" {
                errors.append(.invalid("\(path.child("fieldsType"))", quoted: type, "must be `FieldsV1`"))
            }
            errors += fieldManagerErrors(entry["manager"].string ?? "", at: path.child("manager"))
            if (entry["subresource"].string ?? "").utf8.count > 256 { errors.append(.tooLong("\(path.child("subresource"))", limit: 256)) }
        }
        return errors
    }

    package static func fieldManagerErrors(_ manager: String, at path: NodePath) -> [FieldError] {
        var errors: [FieldError] = []
        if manager.utf8.count > 128 { errors.append(.tooLong("\(path)", limit: 128)) }
        var at = 0
        for scalar in manager.unicodeScalars {
            if !scalar.isASCII || scalar.value < 0x20, NodePath.quoted(String(scalar)).utf8.count > 4, scalar != "\"", scalar != "\\", !scalar.properties.isAlphabetic {
                let hex = String(scalar.value, radix: 16, uppercase: true)
                errors.append(
                    .invalid("\(path)", quoted: manager, "invalid character U+\(String(repeating: "0", count: max(0, 4 - hex.count)))\(hex) (at position \(at))"))
            }
            at += UTF8.width(scalar)
        }
        return errors
    }

    /// A value as Go's error lists show it.
    package static func shown(_ value: Node) -> String {
        switch value {
        case .string(let text): FieldError.quoted(text)
        case .null: "null"
        default: value.jsonText
        }
    }
}
