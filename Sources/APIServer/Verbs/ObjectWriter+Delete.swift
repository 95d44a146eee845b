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
        let strategy = strategy(resource)
        try checkPreconditions(options, old, resource, strategy.traits)
        if !context.isAdmitted {
            var request = AdmissionRequest(
                operation: .delete, resource: resource, subresource: "", namespace: record.key.namespace, name: record.key.name, object: .null, old: old,
                user: context.user, isDryRun: context.options.isDryRun, warn: context.warn, options: options.node(isDryRun: context.options.isDryRun),
                annotate: context.annotate)
            try await admission.admit(&request)
            try await admission.validate(request)
        }
        var object = old
        let changed = mark(&object, old: old, options, strategy.traits)
        let finished = ObjectMetadata.isFinished(object, strategy.traits)
        if context.options.isDryRun { return .unsaved(finished && strategy.traits.gracePeriod == nil ? old : object, isGone: finished) }
        if !finished, !changed { return .marked(record) }
        do {
            if finished {
                // The last state is what stood there: a deletion at once leaves no marks in its event, but for kinds that might have had grace.
                let final = old.isBeingDeleted || strategy.traits.gracePeriod != nil ? object : old
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

    private func checkPreconditions(_ options: DeletionOptions, _ old: Node, _ resource: ServedResource, _ traits: KindTraits) throws(APIError) {
        let current = old["metadata"]["resourceVersion"].string ?? ""
        let other = options.uid.map { $0 != old.uid } ?? false
        guard other || options.resourceVersion.map({ $0 != current }) ?? false else { return }
        let (field, asked, found) = other ? ("UID", options.uid ?? "", old.uid) : ("ResourceVersion", options.resourceVersion ?? "", current)
        if traits.terminate != nil {
            throw APIError.conflict(
                resource.plural, group: resource.group, name: old.name,
                why: "Precondition failed: \(field) in precondition: \(asked), \(field) in object meta: \(found)")
        }
        throw APIError.conflict(
            resource.kind, group: traits.isRefusedWithoutGroup ? "" : resource.group, name: old.name,
            why: "the \(field) in the precondition (\(asked)) does not match the \(field) in record (\(found)). The object might have been "
                + (other ? "deleted and then recreated" : "modified"))
    }

    /// Sets the deletion's marks; false when it is marked so already.
    private func mark(_ object: inout Node, old: Node, _ options: DeletionOptions, _ traits: KindTraits) -> Bool {
        if let terminate = traits.terminate {
            // A second deletion finds what the first began.
            guard !old.isBeingDeleted else {
                if traits.hasSpecFinalizers, !old["spec"]["finalizers"].list.isEmpty { return false }
                updateFinalizers(&object, options, traits)
                return object != old
            }
            object["metadata"]["deletionTimestamp"] = .string(time.now().rfc3339)
            if traits.hasSpecFinalizers { updateFinalizers(&object, options, traits) }
            terminate(&object)
            return true
        }
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
        return true
    }

    /// The garbage collector's two finalizers say what is to happen to dependents before the object may go.
    private func updateFinalizers(_ object: inout Node, _ options: DeletionOptions, _ traits: KindTraits) {
        guard !traits.hasNoDependents else { return }
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
