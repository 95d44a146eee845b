package import Core
import Kinds
package import Machinery
import Schema
package import Store
package import Tree

/// How a write ended.
package enum Written: Sendable {
    case stored(Record, created: Bool)
    /// A dry run's outcome, or an object that had nothing to change.
    case unsaved(Node, created: Bool)
}

/// Who writes, and how.
package struct WriteContext: Sendable {
    package var user: UserInfo
    package var options: WriteOptions
    package var warn: @Sendable (String) -> Void
    /// The configuration of server-side apply brings its managed fields along.
    var isApply = false
    /// The whole object comes from the client, with the uid that it expects. In a patch another uid is a change that is refused.
    var isReplacement = false
    /// Admission has seen what is written, as another object: a Scale, a Binding.
    var isAdmitted = false
    /// Empty lists and maps that the client's object has.
    var empties: [EmptyCollection] = []
    /// The object came without labels.
    var isUnlabelled = false
    /// The options object of the request, for webhooks.
    var optionsObject = Node.null
    /// Takes what is to be told in the audit log.
    package var annotate: @Sendable (String, String) -> Void = { _, _ in }
    /// The subresource that the fields are written through, where it is not the one that the object is written through.
    var fieldsThrough: String?

    /// Whether the labels of a new object are its template's, which may have none.
    fileprivate func tookLabels(_ object: Node) -> Bool {
        let labels = object["spec"]["template"]["metadata"]["labels"]
        guard isUnlabelled, object["metadata"]["labels"] == labels else { return false }
        return !labels.isEmpty || empties.contains { $0.place.description == "spec.template.metadata.labels" }
    }

    package init(user: UserInfo, options: WriteOptions = WriteOptions(), warn: @escaping @Sendable (String) -> Void = { _ in }) {
        self.user = user
        self.options = options
        self.warn = warn
    }
}

/// Writes objects of every kind, each the same way: default → prepare → admit → validate → commit. What kinds do
/// differently is in their `KindStrategy`; what resources do beside the object (addresses, ports) in a `CommitStage`.
package final class ObjectWriter: Sendable {
    let store: Store
    let admission: AdmissionChain
    let stages: [String: any CommitStage]
    let charge: (any CommitCharge)?
    let conversion: any VersionConversion
    let time: any TimeSource
    let checks: ObjectChecks

    package init(
        store: Store, admission: AdmissionChain, stages: [String: any CommitStage] = [:], charge: (any CommitCharge)? = nil,
        conversion: any VersionConversion, checks: ObjectChecks, time: any TimeSource = SystemTime()
    ) {
        self.store = store
        self.admission = admission
        self.stages = stages
        self.charge = charge
        self.conversion = conversion
        self.checks = checks
        self.time = time
    }

    func strategy(_ resource: ServedResource) -> any KindStrategy {
        resource.isCustom ? KindStrategies.custom : KindStrategies.of(group: resource.group, kind: resource.kind)
    }

    // MARK: - Create

    /// `object` is decoded, pruned and defaulted, in the served version.
    package func create(_ resource: ServedResource, namespace: String, _ object: Node, _ context: WriteContext) async throws(APIError) -> Written {
        var attempt = 0
        while true {
            do { return try await createOnce(resource, namespace: namespace, object, context) } catch {
                attempt += 1
                // A generated name that is taken is the server's bad luck, not the client's mistake.
                let isGenerated = object.name.isEmpty && !(object["metadata"]["generateName"].string ?? "").isEmpty
                guard error.reason == "AlreadyExists", isGenerated, attempt < 8 else { throw error }
            }
        }
    }

    private func createOnce(_ resource: ServedResource, namespace: String, _ object: Node, _ context: WriteContext) async throws(APIError) -> Written {
        let strategy = strategy(resource)
        var object = object
        try ObjectMetadata.checkCreate(&object, resource, namespace: namespace)
        checks.complete(&object, resource, context.empties)
        if !context.isApply { FieldOwnership(resource, subresource: "", now: time.now()).record(&object, old: .null, by: context.options.fieldManager) }
        var request = AdmissionRequest(
            operation: .create, resource: resource, subresource: "", namespace: namespace, name: object.name, object: object, old: .null, user: context.user,
            isDryRun: context.options.isDryRun, warn: context.warn, options: context.optionsObject, annotate: context.annotate)
        if !context.isAdmitted { try await admission.admit(&request) }
        object = request.object
        // Only now: who is asked to admit sees neither a generated name nor a uid.
        try ObjectMetadata.prepareCreate(&object, resource, namespace: namespace, now: time.now(), traits: strategy.traits)
        if resource.resource.subresource("status") != nil, strategy.traits.dropsStatusOnCreate { object.remove("status") }
        let sharesLabels = strategy.traits.sharesTemplateLabels && context.tookLabels(object)
        strategy.prepareCreate(&object)
        if sharesLabels { object["metadata"]["labels"] = object["spec"]["template"]["metadata"]["labels"] }
        strategy.setRequester(&object, context.user.node)
        checks.complete(&object, resource, context.empties)
        request.name = object.name
        let stage = stages[resource.collection]
        let reservation = try stage?.reserve(&object, old: nil, dryRun: context.options.isDryRun)
        do throws(APIError) {
            try checks.validate(object, resource, strategy, empties: context.empties, warn: context.warn)
            for warning in strategy.warnings(object, old: nil) { context.warn(warning) }
            request.object = object
            if !context.isAdmitted { try await admission.validate(request) }
            try ObjectMetadata.checkUnversioned(&object)
            if context.options.isDryRun {
                _ = try charge?.commands(for: request)
                reservation?.cancel()
                return .unsaved(object, created: true)
            }
            let key = Key(resource.collection, namespace: namespace, name: object.name)
            let record: Record
            do { record = try await commit(.create(key, try await draft(object, resource)), charging: request) } catch let error as StoreError {
                throw error.apiError(resource, name: object.name)
            } catch {
                throw error as? APIError ?? .internalError("\(error)")
            }
            reservation?.keep()
            return .stored(record, created: true)
        } catch {
            reservation?.cancel()
            throw error
        }
    }

    // MARK: - Update

    /// What makes the new object of the current one (served version). Called again when another write came between.
    package typealias Change = @Sendable (_ current: Node) async throws(APIError) -> Node

    /// `createIfAbsent` makes an object where there is none, for kinds that allow it and for apply.
    package func update(
        _ resource: ServedResource, namespace: String, name: String, subresource: String = "", _ context: WriteContext,
        createIfAbsent: Change? = nil, _ change: Change
    ) async throws(APIError) -> Written {
        let key = Key(resource.collection, namespace: namespace, name: name)
        var conflicts = 0
        while true {
            guard let record = store.get(key) else {
                guard let createIfAbsent, subresource.isEmpty else { throw APIError.notFound(resource.plural, group: resource.group, name: name) }
                return try await create(resource, namespace: namespace, try await createIfAbsent(.null), context)
            }
            // Another write came between: look again. A client that named a revision then hears of the conflict.
            if let written = try await updateOnce(resource, record, subresource: subresource, context, change) { return written }
            conflicts += 1
            if conflicts == 64 { throw APIError.conflict(resource.plural, group: resource.group, name: name, why: ObjectMetadata.modified) }
        }
    }

    /// Nil when the record was no longer the current one at the commit.
    private func updateOnce(
        _ resource: ServedResource, _ record: Record, subresource: String, _ context: WriteContext, _ change: Change
    ) async throws(APIError) -> Written? {
        let strategy = strategy(resource)
        let old = try await served(record, resource)
        var object = try await change(old)
        try ObjectMetadata.checkPreconditions(object, old: old, resource, strategy.traits, checksUID: context.isReplacement)
        // Before the strategy: what it carries over is nobody's.
        let through = context.fieldsThrough ?? subresource
        if !context.isApply, FieldOwnership.tracks(through) {
            try await FieldOwnership(resource, subresource: through, now: time.now()).recordAcross(&object, old: old, by: context.options.fieldManager)
        }
        prepareUpdate(&object, old: old, resource, strategy, subresource, context.empties)
        var request = AdmissionRequest(
            operation: .update, resource: resource, subresource: subresource, namespace: record.key.namespace, name: record.key.name, object: object, old: old,
            user: context.user, isDryRun: context.options.isDryRun, warn: context.warn, options: context.optionsObject, annotate: context.annotate)
        if !context.isAdmitted { try await admission.admit(&request) }
        if request.object != object {
            object = request.object
            // What admission may not change either.
            prepareUpdate(&object, old: old, resource, strategy, subresource, context.empties)
        }
        // A node is where a pod runs, not what was wished for: upstream writes it past the strategy that counts.
        if !["binding", "status"].contains(subresource) { ObjectMetadata.countGeneration(&object, old: old, strategy.traits) }
        let stage = subresource.isEmpty ? stages[resource.collection] : nil
        let reservation = try stage?.reserve(&object, old: old, dryRun: context.options.isDryRun)
        do throws(APIError) {
            try checks.validateUpdate(object, old: old, resource, strategy, subresource: subresource, empties: context.empties, warn: context.warn)
            if subresource.isEmpty { for warning in strategy.warnings(object, old: old) { context.warn(warning) } }
            request.object = object
            if !context.isAdmitted { try await admission.validate(request) }
            if context.options.isDryRun || ObjectMetadata.isSame(object, old) {
                if context.options.isDryRun { _ = try charge?.commands(for: request) }
                reservation?.cancel()
                return .unsaved(context.options.isDryRun ? object : old, created: false)
            }
            guard let written = try await commitUpdate(object, record, resource, request) else {
                reservation?.cancel()
                return nil
            }
            reservation?.keep()
            return written
        } catch {
            reservation?.cancel()
            throw error
        }
    }

    private func prepareUpdate(
        _ object: inout Node, old: Node, _ resource: ServedResource, _ strategy: any KindStrategy, _ subresource: String, _ empties: [EmptyCollection]
    ) {
        ObjectMetadata.prepareUpdate(&object, old: old)
        ObjectMetadata.separate(&object, old: old, resource, strategy.traits, subresource: subresource)
        strategy.prepareUpdate(&object, old: old, subresource: subresource)
        checks.complete(&object, resource, empties)
    }

    /// An object under deletion whose last finalizer went, and whose grace is over, goes with this write.
    private func commitUpdate(
        _ object: Node, _ record: Record, _ resource: ServedResource, _ request: AdmissionRequest
    ) async throws(APIError) -> Written? {
        let draft = try await draft(object, resource)
        let isFinished = ObjectMetadata.isFinished(object, strategy(resource).traits)
        let command: Command =
            isFinished ? .delete(record.key, draft, expected: record.revision) : .update(record.key, draft, expected: record.revision)
        do {
            let written = try await commit(command, charging: isFinished ? nil : request)
            if isFinished { stages[resource.collection]?.released(object) }
            return .stored(written, created: false)
        } catch let error as StoreError {
            if case .conflict = error { return nil }
            throw error.apiError(resource, name: record.key.name)
        } catch {
            throw error as? APIError ?? .internalError("\(error)")
        }
    }

    /// Commits a write together with what is charged for it; a charge that lost a race is made again. Throws `StoreError` and `APIError`.
    private func commit(_ command: Command, charging request: AdmissionRequest?) async throws -> Record {
        // Who was told that it took too long is not told later that it was done.
        try RequestDeadlines.check()
        guard let charge, let request else { return try await store.commit(command) }
        while true {
            let extra = try charge.commands(for: request)
            guard !extra.isEmpty else { return try await store.commit(command) }
            do {
                guard let record = try await store.commit([command] + extra).first else { throw APIError.internalError("a write without a record") }
                return record
            } catch StoreError.conflict(let record) where record.key.resource == "resourcequotas" && request.resource.collection != "resourcequotas" {
                continue
            } catch StoreError.notFound(let key) where key.resource == "resourcequotas" && request.resource.collection != "resourcequotas" {
                continue
            }
        }
    }

    // MARK: - Shared

    func served(_ record: Record, _ resource: ServedResource) async throws(APIError) -> Node {
        resource.withDefaults(try await conversion.served(try record.node(), as: resource))
    }

    func draft(_ object: Node, _ resource: ServedResource) async throws(APIError) -> Draft {
        var stored = try await conversion.stored(object, from: resource)
        if let schema = resource.storageSchema {
            _ = Pruning.prune(&stored, as: schema.message, in: schema.canonical.graph)
            Defaulting(schema.canonical.graph).apply(to: &stored, as: schema.message)
        }
        return ObjectDraft.make(stored, resource)
    }
}

/// What a resource holds beside its objects (cluster addresses, node ports): taken before the commit, given back when it fails.
package protocol CommitStage: Sendable {
    /// May fill fields of the object in. `old` is nil for a creation.
    func reserve(_ object: inout Node, old: Node?, dryRun: Bool) throws(APIError) -> any CommitReservation
    /// The object is gone.
    func released(_ object: Node)
}

package protocol CommitReservation: Sendable {
    func keep()
    func cancel()
}
