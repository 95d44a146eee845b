import CAssets
package import Client
import Core
import Machinery
import Schema
import Tree

/// The objects that every cluster starts with. Each start makes what is missing and restores what the cluster needs of the rest.
package struct BootstrapObjects: Sendable {
    private let client: any ClusterClient
    private let catalog: ResourceCatalog

    package init(client: any ClusterClient, catalog: ResourceCatalog) {
        self.client = client
        self.catalog = catalog
    }

    /// Namespaces and priority classes first: other writes depend on them.
    package func ensureAll() async throws {
        for object in try BootstrapObjects.documents(jangada_bootstrap_objects()) { try await ensure(object) }
        try await withThrowingTaskGroup(of: Void.self) { group in
            for object in try BootstrapObjects.documents(jangada_bootstrap_rbac()) { group.addTask { try await ensure(object) } }
            try await group.waitForAll()
        }
    }

    private static func documents(_ asset: jangada_asset) throws -> [Node] {
        try YAMLReader.readAll(Array(UnsafeBufferPointer(start: asset.bytes, count: asset.length)))
    }

    private func ensure(_ object: Node) async throws {
        guard let gvk = GroupVersionKind(apiVersion: object.apiVersion, kind: object.kind), let served = catalog.resource(of: gvk) else {
            throw APIError.internalError("no resource for \(object.kind) \(object.apiVersion)")
        }
        do {
            _ = try await client.create(served.gvr, namespace: object.namespace, object)
        } catch let error as APIError where error.reason == "AlreadyExists" {
            try await reconcile(object, served)
        }
    }

    /// Roles and bindings that still carry the auto-update annotation get back what they have lost; additions stay.
    private func reconcile(_ object: Node, _ served: ServedResource) async throws {
        guard object.annotations["rbac.authorization.kubernetes.io/autoupdate"] == "true" else { return }
        var current = try await client.get(served.gvr, ObjectKey(object.namespace, object.name))
        guard current.annotations["rbac.authorization.kubernetes.io/autoupdate"] == "true" else { return }
        var isChanged = false
        for field in ["rules", "subjects"] where object["aggregationRule"].isNull {
            let missing = object[field].list.filter { wanted in !current[field].list.contains { BootstrapObjects.covers($0, wanted) } }
            guard !missing.isEmpty else { continue }
            current[field] = .list(current[field].list + missing)
            isChanged = true
        }
        if isChanged { _ = try await client.update(served.gvr, current, subresource: nil) }
    }

    /// The stored form has empty lists and defaults that the text leaves out.
    private static func covers(_ stored: Node, _ wanted: Node) -> Bool {
        wanted.fields.allSatisfy { key, value in stored[key] == value || (value.isEmpty && stored[key].isEmpty) }
    }
}
