import Client
import Core
import Machinery
import Schema
import Tree

/// Who manages what: adopts the orphans that a selector matches, lets go what it matches no more.
struct ControllerRefs {
    let owner: Node
    let apiVersion: String
    let kind: String
    let selector: LabelSelector
    /// Comes with the adoption and goes with the release.
    let finalizer: String?

    init(_ owner: Node, apiVersion: String, kind: String, selector: LabelSelector, finalizer: String? = nil) {
        self.finalizer = finalizer
        self.owner = owner
        self.apiVersion = apiVersion
        self.kind = kind
        self.selector = selector
    }

    struct Claimed {
        var objects: [Node] = []
        var actions: [Action] = []
    }

    /// An index of the objects without a controller, by namespace.
    static let orphans = ObjectTable.Index("orphans") { $0.controllerOwner == nil ? [$0.namespace] : [] }

    /// Those of an owner, and those of nobody in its namespace.
    static func candidates(_ resource: GroupVersionResource, for owner: Node, _ state: borrowing ClusterState) -> [Node] {
        let table = state[resource]
        let owned = table.objects("owner", owner.uid).filter { $0.controllerOwner?.uid == owner.uid }
        return (owned + table.objects("orphans", owner.namespace)).sorted(by: ClusterState.olderFirst)
    }

    /// Upstream's `BaseControllerRefManager.ClaimObject` over all candidates.
    func claim(_ candidates: [Node], _ resource: GroupVersionResource) -> Claimed {
        var out = Claimed()
        for object in candidates {
            let key = ObjectKey(object.namespace, object.name)
            if let controller = object.controllerOwner {
                guard controller.uid == owner.uid else { continue }
                if selector.matches(object["metadata"]["labels"]) {
                    out.objects.append(object)
                } else if !owner.isBeingDeleted {
                    out.actions.append(.patch(resource, key, .merge, release(object)))
                }
            } else if !owner.isBeingDeleted, !object.isBeingDeleted, selector.matches(object["metadata"]["labels"]) {
                out.actions.append(.patch(resource, key, .merge, adopt(object)))
                out.objects.append(object)
            }
        }
        return out
    }

    /// What of the owner's it claims without writing anything.
    func claimed(_ candidates: [Node]) -> [Node] {
        candidates.filter { $0.controllerOwner?.uid == owner.uid && selector.matches($0["metadata"]["labels"]) }
    }

    var reference: OwnerReference { OwnerReference(controller: owner, apiVersion: apiVersion, kind: kind) }

    private func adopt(_ object: Node) -> Node {
        patch(object, object["metadata"]["ownerReferences"].list.filter { $0["uid"].string != owner.uid } + [reference.node]) { finalizer in
            object.finalizers.contains(finalizer) ? object.finalizers : object.finalizers + [finalizer]
        }
    }

    private func release(_ object: Node) -> Node {
        patch(object, object["metadata"]["ownerReferences"].list.filter { $0["uid"].string != owner.uid }) { finalizer in
            object.finalizers.filter { $0 != finalizer }
        }
    }

    /// Whole lists, so conditional on the revision that they were read at.
    private func patch(_ object: Node, _ references: [Node], _ finalizers: (String) -> [String]) -> Node {
        var metadata: Node = ["uid": .string(object.uid), "resourceVersion": object["metadata"]["resourceVersion"]]
        if references.isEmpty { metadata.setNull("ownerReferences") } else { metadata["ownerReferences"] = .list(references) }
        if let all = finalizer.map(finalizers), all != object.finalizers {
            if all.isEmpty { metadata.setNull("finalizers") } else { metadata["finalizers"] = Node(all) }
        }
        return ["metadata": metadata]
    }
}

extension Trigger {
    /// Changes of what a kind of owner manages: its controller before and after, and for orphans all owners in the namespace
    /// whose selector matches.
    static func managed(
        _ resource: GroupVersionResource, by owners: GroupVersionResource, kind: String, indexes: [ObjectTable.Index] = [],
        selector: @escaping @Sendable (Node) -> LabelSelector
    ) -> Trigger {
        Trigger(resource, indexes: [.owner, ControllerRefs.orphans] + indexes) { change, view in
            var keys: [ObjectKey] = []
            func add(_ key: ObjectKey) { if !keys.contains(key) { keys.append(key) } }
            for object in [change.old, change.new] {
                guard let object, let owner = object.controllerOwner, owner.kind == kind else { continue }
                add(ObjectKey(object.namespace, owner.name))
            }
            guard let new = change.new, new.controllerOwner == nil, !new.isBeingDeleted else { return keys }
            if let old = change.old, old.controllerOwner == nil, old["metadata"]["labels"] == new["metadata"]["labels"] { return keys }
            let matching = view.read { state in
                state[owners].objects("namespace", new.namespace).filter { selector($0).matches(new["metadata"]["labels"]) }
                    .map { ObjectKey($0.namespace, $0.name) }
            }
            matching.forEach(add)
            return keys
        }
    }
}
