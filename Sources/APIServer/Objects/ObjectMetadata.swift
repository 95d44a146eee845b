import Core
import Kinds
import Machinery
import Schema
import Tree

/// What every write does to `metadata`, whatever the kind: upstream's rest.BeforeCreate, BeforeUpdate and BeforeDelete.
enum ObjectMetadata {
    // MARK: - Create

    /// Fills the namespace in; refuses another one.
    static func checkCreate(_ object: inout Node, _ resource: ServedResource, namespace: String) throws(APIError) {
        for field in ["uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "selfLink"] { object["metadata"].remove(field) }
        try checkNamespace(&object, resource.isNamespaced ? namespace : "")
        if object.namespace.isEmpty { object["metadata"]["namespace"] = .null }
    }

    /// An object that names no namespace is in the request's; what a cluster has once is in none, whatever it says.
    static func checkNamespace(_ object: inout Node, _ namespace: String) throws(APIError) {
        if object.namespace == namespace { return }
        if namespace.isEmpty {
            object["metadata"].remove("namespace")
        } else if object.namespace.isEmpty {
            object["metadata"]["namespace"] = .string(namespace)
        } else {
            throw APIError.badRequest("the namespace of the provided object does not match the namespace sent on the request")
        }
    }

    /// The last check of a creation: a refusal by a policy comes first.
    static func checkUnversioned(_ object: inout Node) throws(APIError) {
        if object["metadata"]["resourceVersion"].string.map({ !$0.isEmpty && $0 != "0" }) ?? false {
            throw APIError(code: 500, reason: "", message: "resourceVersion should not be set on objects to be created")
        }
        object["metadata"].remove("resourceVersion")
    }

    static func prepareCreate(_ object: inout Node, _ resource: ServedResource, namespace: String, now: Timestamp, traits: KindTraits) throws(APIError) {
        try checkCreate(&object, resource, namespace: namespace)
        let prefix = object["metadata"]["generateName"].string ?? ""
        if object.name.isEmpty, !prefix.isEmpty {
            // Upstream keeps generated names at 63 characters.
            object["metadata"]["name"] = .string(String(prefix.prefix(58)) + Identifier.suffix())
        }
        object["metadata"]["uid"] = .string(Identifier.uuid())
        object["metadata"]["creationTimestamp"] = .string(now.rfc3339)
        if traits.hasGeneration { object["metadata"]["generation"] = 1 }
    }

    // MARK: - Update

    /// Whether the object that the client sent is still about the one stored.
    static func checkPreconditions(_ object: Node, old: Node, _ resource: ServedResource, _ traits: KindTraits, checksUID: Bool) throws(APIError) {
        func conflict(_ why: String) -> APIError { .conflict(resource.plural, group: resource.group, name: old.name, why: why) }
        let uid = object.uid
        if checksUID, !uid.isEmpty, uid != old.uid {
            let place = (old.namespace.isEmpty ? [] : [old.namespace]) + [old.name]
            let root = ObjectMetadata.folder(of: resource)
            throw conflict(
                "StorageError: invalid object, Code: 4, Key: /registry/\(root)/\(place.joined(separator: "/")), ResourceVersion: 0, AdditionalErrorMsg: Precondition failed: UID in precondition: \(uid), UID in object meta: \(old.uid)")
        }
        let version = object["metadata"]["resourceVersion"].string ?? ""
        if version.isEmpty || version == "0" {
            guard traits.allowsUnconditionalUpdate else {
                // Upstream names the resource here, not the kind.
                throw APIError.invalid(
                    kind: resource.plural, group: resource.group, name: old.name,
                    errors: [.invalid("metadata.resourceVersion", "0", "must be specified for an update")])
            }
        } else if version != old["metadata"]["resourceVersion"].string {
            guard UInt64(version) != nil else {
                throw APIError(code: 500, reason: "", message: "strconv.ParseUint: parsing \(FieldError.quoted(version)): invalid syntax")
            }
            throw conflict(ObjectMetadata.modified)
        }
    }

    /// Where upstream's store keeps the objects of a resource.
    private static func folder(of resource: ServedResource) -> String {
        let isApart = resource.isCustom || resource.group == "apiextensions.k8s.io" || resource.group == "apiregistration.k8s.io"
        if isApart { return "\(resource.group)/\(resource.plural)" }
        return unusualFolders["\(resource.group)/\(resource.plural)"] ?? resource.plural
    }

    private static let unusualFolders = [
        "/nodes": "minions", "/services": "services/specs", "/endpoints": "services/endpoints", "/replicationcontrollers": "controllers",
        "networking.k8s.io/ingresses": "ingress",
    ]

    static let modified = "the object has been modified; please apply your changes to the latest version and try again"

    /// What no update may change is what it was; deletion marks stay.
    static func prepareUpdate(_ object: inout Node, old: Node) { keep(&object["metadata"], old["metadata"]) }

    private static func keep(_ metadata: inout Node, _ old: Node) {
        func isMissing(_ field: String) -> Bool { (metadata[field].string ?? "").isEmpty }
        // Another uid is left for validation to refuse.
        if isMissing("uid") { metadata["uid"] = old["uid"] }
        for field in ["creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "generation", "selfLink", "resourceVersion"] {
            metadata[field] = old[field]
        }
        for field in ["name", "namespace"] where isMissing(field) { metadata[field] = old[field] }
        if metadata["generateName"].isNull { metadata["generateName"] = old["generateName"] }
    }

    /// `status` is written through its subresource and through nothing else; a subresource writes its part alone.
    static func separate(_ object: inout Node, old: Node, _ resource: ServedResource, _ traits: KindTraits, subresource: String) {
        guard resource.resource.subresource("status") != nil else { return }
        if subresource == "status" {
            let status = object["status"]
            let metadata = object["metadata"]
            object = old
            object["status"] = status
            object["metadata"]["managedFields"] = metadata["managedFields"]
            // Labels and annotations may be written with the status; who owns or finalizes may not (custom resources: nothing may).
            if !resource.isCustom {
                for field in ["labels", "annotations", "finalizers", "ownerReferences"] where !traits.statusKeeps.contains(field) {
                    object["metadata"][field] = metadata[field]
                }
            }
        } else if subresource.isEmpty {
            object["status"] = old["status"]
        }
    }

    static func countGeneration(_ object: inout Node, old: Node, _ traits: KindTraits) {
        guard traits.hasGeneration, !traits.isGenerationFixed else { return }
        var changed = traits.generationCounts.contains { object["metadata"][$0] != old["metadata"][$0] }
        for key in Set(Array(object.fields.keys) + Array(old.fields.keys))
        where !changed && key != "metadata" && key != "status" && key != "kind" && key != "apiVersion" {
            if object[key] != old[key] {
                changed = true
                break
            }
        }
        object["metadata"]["generation"] = .int(max(1, old.generation) + (changed ? 1 : 0))
    }

    /// Whether writing would change nothing. Times of managed fields do not count.
    static func isSame(_ a: Node, _ b: Node) -> Bool {
        guard a["metadata"].fields.count == b["metadata"].fields.count || a.has("metadata") else { return false }
        return a == b
    }

    // MARK: - Deletion

    /// Whether nothing holds a deleted object any more.
    static func isFinished(_ object: Node, _ traits: KindTraits) -> Bool {
        object.isBeingDeleted && object.finalizers.isEmpty && (object["metadata"]["deletionGracePeriodSeconds"].int ?? 0) == 0
            && !(traits.hasSpecFinalizers && !object["spec"]["finalizers"].list.isEmpty)
    }
}
