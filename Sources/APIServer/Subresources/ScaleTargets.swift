package import Client
import Machinery
import Schema
package import Tree

/// The scales of whatever has one, built in or custom, by the kind that a reference names.
package struct ScaleTargets: Sendable {
    private let catalog: ResourceCatalog
    private let client: any ClusterClient

    package init(catalog: ResourceCatalog, client: any ClusterClient) {
        self.catalog = catalog
        self.client = client
    }

    private func target(_ apiVersion: String, _ kind: String) throws(APIError) -> ServedResource {
        guard let resource = catalog.resource(of: GroupVersionKind(apiVersion: apiVersion, kind: kind) ?? GroupVersionKind(group: "", version: "v1", kind: kind)),
            resource.resource.subresource("scale") != nil
        else {
            throw APIError.badRequest("no matches for kind \"\(kind)\" in group \"\(apiVersion.split(separator: "/").dropLast().joined())\"")
        }
        return resource
    }

    package func scale(apiVersion: String, kind: String, namespace: String, name: String) async throws -> Node {
        let resource = try target(apiVersion, kind)
        return ScaleSubresource.scale(of: try await client.get(resource.gvr, ObjectKey(namespace, name)), resource)
    }

    package func setReplicas(_ replicas: Int64, apiVersion: String, kind: String, namespace: String, name: String) async throws {
        let resource = try target(apiVersion, kind)
        _ = try await client.patch(resource.gvr, ObjectKey(namespace, name), .merge, ScaleSubresource.patch(replicas, resource), subresource: nil)
    }
}
