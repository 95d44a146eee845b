import Client
import Core
import Machinery
import Schema
import Synchronization
import Tree

extension GarbageCollector {
    static let orphan = "orphan"
    static let foreground = "foregroundDeletion"

    /// Not all tables are listed yet.
    struct NotYet: Error {}

    func process(_ item: Item) async throws {
        guard let object = view.get(item.resource, item.key) else { return }
        if object.isBeingDeleted {
            if object.finalizers.contains(GarbageCollector.orphan) {
                try await orphanDependents(item, object)
            } else if object.finalizers.contains(GarbageCollector.foreground) {
                try await finishForeground(item, object)
            }
            return
        }
        if !object["metadata"]["ownerReferences"].list.isEmpty { try await judge(item, object) }
    }

    // MARK: - Owners

    private struct Owners {
        var solid: [OwnerReference] = []
        var dangling: [OwnerReference] = []
        /// Being deleted in the foreground.
        var waiting: [OwnerReference] = []
    }

    private func judge(_ item: Item, _ object: Node) async throws {
        var owners = Owners()
        for reference in object.owners {
            switch try await find(reference, of: object) {
            case .some(let owner) where owner.isBeingDeleted && owner.finalizers.contains(GarbageCollector.foreground): owners.waiting.append(reference)
            case .some: owners.solid.append(reference)
            case nil: owners.dangling.append(reference)
            }
        }
        if !owners.solid.isEmpty {
            if owners.dangling.isEmpty, owners.waiting.isEmpty { return }
            let lost = Set((owners.dangling + owners.waiting).map(\.uid))
            try await setReferences(item, object, object.owners.filter { !lost.contains($0.uid) })
            return
        }
        let dependents = dependents(of: object.uid)
        if !owners.waiting.isEmpty, !dependents.isEmpty {
            // A cycle of foreground deletions would wait for itself: unblock the owners first.
            let isCycle = dependents.contains { dependent in
                view.get(dependent.resource, dependent.key).map { $0.isBeingDeleted && $0.finalizers.contains(GarbageCollector.foreground) } ?? false
            }
            var object = object
            if isCycle {
                var references = object.owners
                for index in references.indices { references[index].blocksOwnerDeletion = false }
                object = try await setReferences(item, object, references)
            }
            try await delete(item, object, .foreground)
            return
        }
        let policy: DeleteOptions.Propagation =
            object.finalizers.contains(GarbageCollector.orphan) ? .orphan : object.finalizers.contains(GarbageCollector.foreground) ? .foreground : .background
        try await delete(item, object, policy)
    }

    /// The owner as it is, an empty map where it exists for all that can be said, nil where it is gone.
    private func find(_ reference: OwnerReference, of object: Node) async throws -> Node? {
        let (known, isGone) = state.withLock { ($0.items[reference.uid], $0.gone.contains(reference.uid)) }
        let gvk = GroupVersionKind(apiVersion: reference.apiVersion, kind: reference.kind)
        let served = gvk.flatMap { self.served($0) }
        if let known, let owner = view.get(known.resource, known.key), owner.uid == reference.uid {
            // Owners are of the same namespace or of none.
            if known.key.namespace.isEmpty || known.key.namespace == object.namespace { return owner }
            warn(object, reference)
            return object.namespace.isEmpty ? .emptyMap : nil
        }
        if isGone { return nil }
        // A kind that is not served cannot be judged: the object stays.
        guard let served else { return .emptyMap }
        if served.isNamespaced, object.namespace.isEmpty {
            warn(object, reference)
            return .emptyMap
        }
        do {
            let owner = try await view.client.get(served.resource, ObjectKey(served.isNamespaced ? object.namespace : "", reference.name))
            if owner.uid == reference.uid { return owner }
        } catch let error as APIError where error.code == 404 {}
        state.withLock { _ = $0.gone.insert(reference.uid) }
        return nil
    }

    private func warn(_ object: Node, _ reference: OwnerReference) {
        let what = "ownerRef [\(reference.apiVersion)/\(reference.kind), namespace: \(object.namespace), name: \(reference.name), uid: \(reference.uid)]"
        recorder.record(
            Event(object, .warning, reason: "OwnerRefInvalidNamespace", message: "\(what) does not exist in namespace \"\(object.namespace)\""))
    }

    // MARK: - Ways to end

    private func orphanDependents(_ item: Item, _ object: Node) async throws {
        guard isComplete else { throw NotYet() }
        for dependent in dependents(of: object.uid) {
            guard let node = view.get(dependent.resource, dependent.key) else { continue }
            do { try await setReferences(dependent, node, node.owners.filter { $0.uid != object.uid }) } catch let error as APIError where error.code == 404 {}
        }
        try await removeFinalizer(GarbageCollector.orphan, item, object)
    }

    /// The last of the dependents that block it lets the owner go.
    private func finishForeground(_ item: Item, _ object: Node) async throws {
        guard isComplete else { throw NotYet() }
        let blocking = dependents(of: object.uid).filter { dependent in
            view.get(dependent.resource, dependent.key)?.owners.contains { $0.uid == object.uid && $0.blocksOwnerDeletion } ?? false
        }
        if blocking.isEmpty { try await removeFinalizer(GarbageCollector.foreground, item, object) }
    }

    private func delete(_ item: Item, _ object: Node, _ policy: DeleteOptions.Propagation) async throws {
        do {
            let options = DeleteOptions(propagation: policy, uid: object.uid, resourceVersion: object["metadata"]["resourceVersion"].string)
            let gone = try await view.client.delete(item.resource, item.key, options)
            await view.reached(gone.revision, item.resource)
        } catch let error as APIError where error.code == 404 {}
    }

    @discardableResult
    private func setReferences(_ item: Item, _ object: Node, _ references: [OwnerReference]) async throws -> Node {
        var metadata: Node = ["uid": .string(object.uid), "resourceVersion": object["metadata"]["resourceVersion"]]
        if references.isEmpty { metadata.setNull("ownerReferences") } else { metadata["ownerReferences"] = .list(references.map(\.node)) }
        return try await patch(item, ["metadata": metadata])
    }

    private func removeFinalizer(_ finalizer: String, _ item: Item, _ object: Node) async throws {
        let rest = object.finalizers.filter { $0 != finalizer }
        var metadata: Node = ["uid": .string(object.uid), "resourceVersion": object["metadata"]["resourceVersion"]]
        if rest.isEmpty { metadata.setNull("finalizers") } else { metadata["finalizers"] = Node(rest) }
        do { try await patch(item, ["metadata": metadata]) } catch let error as APIError where error.code == 404 {}
    }

    @discardableResult
    private func patch(_ item: Item, _ patch: Node) async throws -> Node {
        let written = try await view.client.patch(item.resource, item.key, .merge, patch, subresource: nil)
        await view.reached(written.revision, item.resource)
        return written
    }
}
