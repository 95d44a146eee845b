import Client
import Machinery
import Schema
import Tree

/// Objects as the view has them, and from the API where the view has not heard of them yet.
struct ObjectSource: Sendable {
    let view: ClusterView
    let client: any ClusterClient

    /// Nil where there is none.
    func find(_ resource: GroupVersionResource, _ namespace: String, _ name: String) async throws -> Node? {
        let key = ObjectKey(namespace, name)
        if let known = view.get(resource, key) { return known }
        do { return try await client.get(resource, key) } catch let error as APIError where error.code == 404 { return nil }
    }

    func services(_ namespace: String) -> [Node] {
        view.read { state in
            state.tables[.services]?.objects.values.filter { $0.namespace == namespace || $0.namespace == "default" && $0.name == "kubernetes" } ?? []
        }
    }
}
