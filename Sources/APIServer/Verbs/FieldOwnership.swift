import Core
import Machinery
import Schema
import Tree

/// Who owns which fields, kept with every write: the bridge between the verbs and `ServerSideApply`.
struct FieldOwnership {
    private let resource: ServedResource
    private let subresource: String
    private let engine: ServerSideApply

    /// Subresources that write fields in somebody's name. Others (binding a pod) are the server's own doing.
    private static let tracked: Set<String> = ["", "status", "scale", "ephemeralcontainers", "resize", "finalize", "approval"]

    static func tracks(_ subresource: String) -> Bool { tracked.contains(subresource) }

    init(_ resource: ServedResource, subresource: String, now: Timestamp) {
        self.resource = resource
        self.subresource = subresource
        engine = ServerSideApply(
            resource.canonical, as: resource.resource.message, ignoring: FieldOwnership.ignored(resource, subresource), now: now)
    }

    /// Top-level fields that an endpoint resets.
    private static func ignored(_ resource: ServedResource, _ subresource: String) -> [String] {
        switch subresource {
        case "status":
            return resource.graph.fields(of: resource.resource.message).map(\.name).filter { !["kind", "apiVersion", "metadata", "status"].contains($0) }
        default: return resource.resource.subresource("status") == nil ? [] : ["status"]
        }
    }

    private func manager(_ name: String, _ operation: String) -> ManagedFields.Manager {
        ManagedFields.Manager(name: name, operation: operation, subresource: subresource, apiVersion: resource.resource.gvk.apiVersion)
    }

    /// Writes the managed fields of a create, update or patch into the new object. Both are canonical; `old` is null at creation.
    func record(_ object: inout Node, old: Node, by name: String) {
        if !old.isNull, object == old { return }
        let managed = engine.update(live: old, new: object, by: manager(name, "Update"))
        object["metadata"]["managedFields"] = managed
    }

    /// The current object (null when there is none) with a configuration applied.
    func apply(_ configuration: Node, to current: Node, by name: String, force: Bool) throws(APIError) -> Node {
        try engine.apply(configuration, to: current, by: manager(name, "Apply"), force: force)
    }
}
