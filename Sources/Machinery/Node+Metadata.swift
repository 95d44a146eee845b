package import Core
package import Tree

/// What every object carries, read from its tree.
extension Node {
    package var kind: String { self["kind"].string ?? "" }
    package var apiVersion: String { self["apiVersion"].string ?? "" }
    package var name: String { self["metadata"]["name"].string ?? "" }
    package var namespace: String { self["metadata"]["namespace"].string ?? "" }
    package var uid: String { self["metadata"]["uid"].string ?? "" }
    package var labels: [String: String] { self["metadata"]["labels"].stringMap }
    package var annotations: [String: String] { self["metadata"]["annotations"].stringMap }
    package var finalizers: [String] { self["metadata"]["finalizers"].stringList }
    package var generation: Int64 { self["metadata"]["generation"].int ?? 0 }
    /// 0 for an object that was never stored.
    package var revision: Int64 { self["metadata"]["resourceVersion"].string.flatMap { Int64($0) } ?? 0 }
    package var creation: Timestamp? { self["metadata"]["creationTimestamp"].string.flatMap { Timestamp(rfc3339: $0) } }
    package var deletion: Timestamp? { self["metadata"]["deletionTimestamp"].string.flatMap { Timestamp(rfc3339: $0) } }
    package var isBeingDeleted: Bool { !self["metadata"]["deletionTimestamp"].isNull }
    package var owners: [OwnerReference] { self["metadata"]["ownerReferences"].list.map(OwnerReference.init) }
    /// The one owner that manages this object, if any.
    package var controllerOwner: OwnerReference? {
        for reference in self["metadata"]["ownerReferences"].list where reference["controller"].bool == true { return OwnerReference(reference) }
        return nil
    }
}

/// An entry of `metadata.ownerReferences`.
package struct OwnerReference: Sendable, Hashable {
    package var apiVersion: String
    package var kind: String
    package var name: String
    package var uid: String
    package var isController: Bool
    package var blocksOwnerDeletion: Bool

    package init(_ node: Node) {
        apiVersion = node["apiVersion"].string ?? ""
        kind = node["kind"].string ?? ""
        name = node["name"].string ?? ""
        uid = node["uid"].string ?? ""
        isController = node["controller"].bool ?? false
        blocksOwnerDeletion = node["blockOwnerDeletion"].bool ?? false
    }

    /// The reference that a controller writes into what it creates.
    package init(controller owner: Node, apiVersion: String, kind: String) {
        self.apiVersion = apiVersion
        self.kind = kind
        name = owner.name
        uid = owner.uid
        isController = true
        blocksOwnerDeletion = true
    }

    package var node: Node {
        var out: Node = ["apiVersion": .string(apiVersion), "kind": .string(kind), "name": .string(name), "uid": .string(uid)]
        if isController { out["controller"] = true }
        if blocksOwnerDeletion { out["blockOwnerDeletion"] = true }
        return out
    }
}
