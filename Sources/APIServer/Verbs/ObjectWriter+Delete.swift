import Core
import Kinds
package import Machinery
package import Store
package import Tree

/// The options of a deletion, from its query and body.
package struct DeletionOptions: Sendable {
    package enum Propagation: String, Sendable { case orphan = "Orphan", background = "Background", foreground = "Foreground" }

    package var gracePeriodSeconds: Int64?
    package var propagation: Propagation?
    package var uid: String?
    package var resourceVersion: String?
    package init() {}

    /// The options as the object that they are.
    func node(isDryRun: Bool) -> Node {
        var out: Node = ["kind": "DeleteOptions", "apiVersion": "meta.k8s.io/v1"]
        if let gracePeriodSeconds { out["gracePeriodSeconds"] = .int(gracePeriodSeconds) }
        if let uid { out["preconditions"]["uid"] = .string(uid) }
        if let resourceVersion { out["preconditions"]["resourceVersion"] = .string(resourceVersion) }
        if let propagation { out["propagationPolicy"] = .string(propagation.rawValue) }
        if isDryRun { out["dryRun"] = ["All"] }
        return out
    }

    /// `body` is a decoded `DeleteOptions`; only where there is none the query counts.
    init(_ body: Node, query: (String) -> String?) throws(APIError) {
        let hasBody = !body.isNull
        func asked(_ name: String) -> String? { hasBody ? nil : query(name) }
        gracePeriodSeconds = body["gracePeriodSeconds"].int
        if let text = asked("gracePeriodSeconds") { gracePeriodSeconds = Int64(try ListQuery.number(text)) }
        uid = body["preconditions"]["uid"].string ?? asked("uid")
        resourceVersion = body["preconditions"]["resourceVersion"].string ?? asked("resourceVersion")
        let policy = body["propagationPolicy"].string ?? asked("propagationPolicy")
        let orphan = body["orphanDependents"].bool ?? asked("orphanDependents").map { $0.lowercased() != "false" && $0 != "0" }
        var errors: [FieldError] = []
        if let policy, orphan != nil {
            errors.append(.invalid("propagationPolicy", quoted: policy, "orphanDependents and deletionPropagation cannot be both set"))
        }
        if let policy {
            propagation = Propagation(rawValue: policy)
            if propagation == nil { errors.append(.notSupported("propagationPolicy", quoted: policy, supported: ["Foreground", "Background", "Orphan", "nil"])) }
        } else if let orphan {
            propagation = orphan ? .orphan : .background
        }
        if hasBody { errors += WriteOptions.dryRunErrors(body["dryRun"].stringList) }
        if let seconds = gracePeriodSeconds, seconds < 0 { gracePeriodSeconds = 1 }
        if !errors.isEmpty { throw APIError.invalid(kind: "DeleteOptions", group: "meta.k8s.io", name: "", errors: errors) }
    }
}

extension ObjectWriter {
    /// How a deletion ended.
    package enum Deleted: Sendable {
        /// Gone; the record is its last state.
        case gone(Record)
        /// Marked: grace, finalizers or dependents hold it.
        case marked(Record)
        case unsaved(Node, isGone: Bool)
    }

    package func delete(
        _ resource: ServedResource, namespace: String, name: String, _ options: DeletionOptions, _ context: WriteContext
    ) async throws(APIError) -> Deleted {
        let key = Key(resource.collection, namespace: namespace, name: name)
        for _ in 0..<64 {
            guard let record = store.get(key) else { throw APIError.notFound(resource.plural, group: resource.group, name: name) }
            if let deleted = try await deleteOnce(resource, record, options, context) { return deleted }
        }
        throw APIError.conflict(resource.plural, group: resource.group, name: name, why: ObjectMetadata.modified)
    }

    private func deleteOnce(
        _ resource: ServedResource, _ record: Record, _ options: DeletionOptions, _ context: WriteContext
    ) async throws(APIError) -> Deleted? {
        let old = try await served(record, resource)
        if let uid = options.uid, uid != old.uid {
            throw APIError.conflict(
                resource.kind, group: resource.group, name: old.name,
                why: "the UID in the precondition (\(uid)) does not match the UID in record (\(old.uid)). The object might have been deleted and then recreated")
        }
        let current = old["metadata"]["resourceVersion"].string ?? ""
        if let version = options.resourceVersion, version != current {
            throw APIError.conflict(
                resource.kind, group: resource.group, name: old.name,
                why: "the ResourceVersion in the precondition (\(version)) does not match the ResourceVersion in record (\(current)). The object might have been modified")
        }
        if !context.isAdmitted {
            var request = AdmissionRequest(
                operation: .delete, resource: resource, subresource: "", namespace: record.key.namespace, name: record.key.name, object: .null, old: old,
                user: context.user, isDryRun: context.options.isDryRun, warn: context.warn, options: options.node(isDryRun: context.options.isDryRun),
                annotate: context.annotate)
            try await admission.admit(&request)
            try await admission.validate(request)
        }
        let strategy = strategy(resource)
        var object = old
        let changed = mark(&object, old: old, options, strategy.traits)
        let finished = ObjectMetadata.isFinished(object, strategy.traits)
        if context.options.isDryRun { return .unsaved(finished ? old : object, isGone: finished) }
        if !finished, !changed { return .marked(record) }
        do {
            if finished {
                // The last state is what stood there: a deletion at once leaves no marks in its event.
                let final = old.isBeingDeleted ? object : old
                let gone = try await store.commit(.delete(record.key, try await draft(final, resource), expected: record.revision))
                stages[resource.collection]?.released(old)
                return .gone(gone)
            }
            return .marked(try await store.commit(.update(record.key, try await draft(object, resource), expected: record.revision)))
        } catch let error as StoreError {
            if case .conflict = error { return nil }
            throw error.apiError(resource, name: old.name)
        } catch {
            throw error as? APIError ?? .internalError("\(error)")
        }
    }

    /// Sets the deletion's marks; false when it is marked so already.
    private func mark(_ object: inout Node, old: Node, _ options: DeletionOptions, _ traits: KindTraits) -> Bool {
        updateFinalizers(&object, options, traits)
        let grace = max(0, traits.gracePeriod?(old, options.gracePeriodSeconds) ?? 0)
        if old.isBeingDeleted {
            // A second deletion may shorten the grace, never lengthen it.
            let left = old["metadata"]["deletionGracePeriodSeconds"].int ?? 0
            guard traits.gracePeriod != nil, options.gracePeriodSeconds != nil, grace < left, let deadline = old.deletion else { return object != old }
            object["metadata"]["deletionGracePeriodSeconds"] = .int(grace)
            object["metadata"]["deletionTimestamp"] = .string((deadline + .seconds(grace - left)).rfc3339)
            return true
        }
        object["metadata"]["deletionTimestamp"] = .string((time.now() + .seconds(grace)).rfc3339)
        object["metadata"]["deletionGracePeriodSeconds"] = .int(grace)
        if traits.hasGeneration, object.generation > 0 { object["metadata"]["generation"] = .int(object.generation + 1) }
        if traits.hasSpecFinalizers { object["status"]["phase"] = "Terminating" }
        return true
    }

    /// The garbage collector's two finalizers say what is to happen to dependents before the object may go.
    private func updateFinalizers(_ object: inout Node, _ options: DeletionOptions, _ traits: KindTraits) {
        var finalizers = object.finalizers
        let policy: DeletionOptions.Propagation
        if let asked = options.propagation {
            policy = asked
        } else if finalizers.contains("orphan") {
            policy = .orphan
        } else if finalizers.contains("foregroundDeletion") {
            policy = .foreground
        } else {
            policy = traits.orphansByDefault ? .orphan : .background
        }
        finalizers.removeAll { $0 == "orphan" || $0 == "foregroundDeletion" }
        if policy == .orphan { finalizers.append("orphan") }
        if policy == .foreground { finalizers.append("foregroundDeletion") }
        guard finalizers != object.finalizers else { return }
        object["metadata"]["finalizers"] = finalizers.isEmpty ? .null : Node(finalizers)
    }
}
