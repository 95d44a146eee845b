import Client
import Core
import Kinds
import Machinery
import Schema
import Tree

/// The history of an owner's templates as ControllerRevisions: which one is current, and which may go.
struct Revisions {
    let owner: Node
    let apiVersion = "apps/v1"
    let kind: String
    /// The label that pods of a revision carry its name or hash in.
    let hashLabel = "controller-revision-hash"
    /// Oldest first.
    private(set) var all: [Node]
    private(set) var update: Node
    /// A write that makes the update revision, or moves an old one to the front.
    private(set) var action: Action?

    /// `owned` are the revisions that the owner controls.
    init(_ owner: Node, kind: String, owned: [Node]) {
        self.owner = owner
        self.kind = kind
        all = owned.sorted { a, b in
            let (x, y) = (a["revision"].int ?? 0, b["revision"].int ?? 0)
            return x == y ? ClusterState.olderFirst(a, b) : x < y
        }
        let data = Revisions.data(owner)
        let next = (all.last?["revision"].int ?? 0) + 1
        if let index = all.lastIndex(where: { $0["data"] == data }) {
            update = all[index]
            if index != all.count - 1 {
                update["revision"] = .int(next)
                action = .update(.controllerRevisions, update)
                all.remove(at: index)
                all.append(update)
            }
            return
        }
        let hash = PodTemplates.hash(data, collisions: owner["status"]["collisionCount"].int)
        var labels = owner["spec"]["template"]["metadata"]["labels"].stringMap
        labels["controller-revision-hash"] = kind == "StatefulSet" ? "\(owner.name)-\(hash)" : hash
        update = [
            "apiVersion": "apps/v1", "kind": "ControllerRevision",
            "metadata": [
                "name": .string("\(owner.name)-\(hash)"), "namespace": .string(owner.namespace), "labels": Node(labels),
                "ownerReferences": [OwnerReference(controller: owner, apiVersion: "apps/v1", kind: kind).node],
            ], "data": data, "revision": .int(next),
        ]
        action = .create(.controllerRevisions, update)
        all.append(update)
    }

    /// The owner with one collision more, when the name of its revision turned out to be taken: the next hash differs.
    static func collision(_ refused: Action, _ error: APIError, _ owner: Node?) -> Node? {
        guard case .create(.controllerRevisions, _, _) = refused, error.reason == "AlreadyExists", var owner else { return nil }
        owner["status"]["collisionCount"] = .int((owner["status"]["collisionCount"].int ?? 0) + 1)
        return owner
    }

    /// What a rollback patches back. Keys are in order: clients compare it byte by byte with what they make of the owner.
    static func data(_ owner: Node) -> Node {
        var template = owner["spec"]["template"]
        template["$patch"] = "replace"
        return ["spec": ["template": PodTemplates.ordered(template)]]
    }

    /// What pods of the update carry.
    var hash: String { update.labels["controller-revision-hash"] ?? "" }

    /// Old revisions beyond the limit that no pod is of.
    func excess(keeping limit: Int, live: Set<String>) -> [Action] {
        let old = all.filter { $0.name != update.name && !live.contains($0.name) && !live.contains($0.labels["controller-revision-hash"] ?? "") }
        return old.prefix(max(0, old.count - limit)).map { .delete(.controllerRevisions, ObjectKey($0.namespace, $0.name), DeleteOptions(uid: $0.uid)) }
    }
}
