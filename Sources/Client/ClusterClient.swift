package import Schema
package import Tree

/// Names one object of a resource; `namespace` is empty for cluster-scoped ones.
package struct ObjectKey: Hashable, Sendable, CustomStringConvertible {
    package let namespace: String
    package let name: String

    package init(_ namespace: String, _ name: String) {
        self.namespace = namespace
        self.name = name
    }

    package var description: String { namespace.isEmpty ? name : "\(namespace)/\(name)" }
}

package struct ListOptions: Sendable {
    /// Nil lists all namespaces.
    package var namespace: String?
    package var labelSelector: String?
    package var fieldSelector: String?
    package init(namespace: String? = nil, labelSelector: String? = nil, fieldSelector: String? = nil) {
        self.namespace = namespace
        self.labelSelector = labelSelector
        self.fieldSelector = fieldSelector
    }
}

package struct ObjectList: Sendable {
    package let items: [Node]
    /// The revision at which the list is true: where a watch goes on from.
    package let resourceVersion: Int64
    package init(items: [Node], resourceVersion: Int64) {
        self.items = items
        self.resourceVersion = resourceVersion
    }
}

package enum ObjectEvent: Sendable {
    case added(Node)
    case modified(Node)
    /// Carries the last state, with the revision of its deletion.
    case deleted(Node)
    /// Nothing up to this revision is missing from what came before.
    case bookmark(Int64)
}

package enum PatchType: String, Sendable {
    case json = "application/json-patch+json"
    case merge = "application/merge-patch+json"
    case strategic = "application/strategic-merge-patch+json"
    case apply = "application/apply-patch+yaml"
}

package struct DeleteOptions: Sendable, Equatable {
    package enum Propagation: String, Sendable, Equatable { case background = "Background", foreground = "Foreground", orphan = "Orphan" }
    package var gracePeriodSeconds: Int?
    package var propagation: Propagation?
    package var uid: String?
    package var resourceVersion: String?
    package init(gracePeriodSeconds: Int? = nil, propagation: Propagation? = nil, uid: String? = nil, resourceVersion: String? = nil) {
        self.gracePeriodSeconds = gracePeriodSeconds
        self.propagation = propagation
        self.uid = uid
        self.resourceVersion = resourceVersion
    }
}

/// The API as controllers, the scheduler and node agents see it: in this process, or HTTPS to some server.
///
/// Objects are `Node`s in the version of the `GroupVersionResource` asked for. Every call throws `APIError` for an answer that is a `Status`.
package protocol ClusterClient: Sendable {
    func get(_ resource: GroupVersionResource, _ key: ObjectKey) async throws -> Node
    func list(_ resource: GroupVersionResource, _ options: ListOptions) async throws -> ObjectList
    /// Events after `resourceVersion`; ends by throwing (410 `Expired` when the revision is no longer kept) or when the
    /// server closes it. Cancelling the consuming task closes the watch.
    func watch(_ resource: GroupVersionResource, _ options: ListOptions, from resourceVersion: Int64) -> AsyncThrowingStream<ObjectEvent, any Error>
    func create(_ resource: GroupVersionResource, namespace: String, _ object: Node) async throws -> Node
    /// Replaces; a `metadata.resourceVersion` in the object makes it conditional (409 `Conflict`).
    func update(_ resource: GroupVersionResource, _ object: Node, subresource: String?) async throws -> Node
    func patch(_ resource: GroupVersionResource, _ key: ObjectKey, _ type: PatchType, _ patch: Node, subresource: String?) async throws -> Node
    /// Returns the object as it now is (graceful deletion, finalizers), or the `Status` of its end.
    @discardableResult
    func delete(_ resource: GroupVersionResource, _ key: ObjectKey, _ options: DeleteOptions) async throws -> Node
    /// POST to a subresource, such as `pods/binding`, `pods/eviction`, `serviceaccounts/token`.
    func post(_ resource: GroupVersionResource, _ key: ObjectKey, subresource: String, _ object: Node) async throws -> Node
}
