import APIServer
import Client
import Controllers
import Core
import Machinery
import Schema
import Store
import Tree

/// What autoscalers ask, answered by this process's API server.
struct AutoscalingAPI: ScalingSource {
    private let store: Store
    private let catalog: ResourceCatalog
    private let client: any ClusterClient
    private let metrics: @Sendable (String) async throws -> [Node]

    init(_ store: Store, _ catalog: ResourceCatalog, client: any ClusterClient, metrics: @escaping @Sendable (String) async throws -> [Node]) {
        self.store = store
        self.catalog = catalog
        self.client = client
        self.metrics = metrics
    }

    private func target(_ apiVersion: String, _ kind: String) throws(APIError) -> ServedResource {
        guard let resource = catalog.resource(of: GroupVersionKind(apiVersion: apiVersion, kind: kind) ?? GroupVersionKind(group: "", version: "v1", kind: kind)),
            resource.resource.subresource("scale") != nil
        else {
            throw APIError.badRequest("no matches for kind \"\(kind)\" in group \"\(apiVersion.split(separator: "/").dropLast().joined())\"")
        }
        return resource
    }

    func scale(apiVersion: String, kind: String, namespace: String, name: String) async throws -> Node {
        let resource = try target(apiVersion, kind)
        return ScaleSubresource.scale(of: try await client.get(resource.gvr, ObjectKey(namespace, name)), resource)
    }

    func setReplicas(_ replicas: Int64, apiVersion: String, kind: String, namespace: String, name: String) async throws {
        let resource = try target(apiVersion, kind)
        _ = try await client.patch(resource.gvr, ObjectKey(namespace, name), .merge, ScaleSubresource.patch(replicas, resource), subresource: nil)
    }

    func podMetrics(namespace: String) async throws -> [Node] { try await metrics(namespace) }

    func podsMetric(_ name: String, namespace: String, pods: LabelSelector, metric: Node) async throws -> [String: Int64] { throw AutoscalingAPI.noCustomMetrics }

    func objectMetric(_ name: String, namespace: String, object: Node, metric: Node) async throws -> Int64 { throw AutoscalingAPI.noCustomMetrics }

    func externalMetric(_ name: String, namespace: String, metric: Node) async throws -> [Int64] {
        throw APIError.badRequest("unable to fetch metrics from external metrics API: the server could not find the requested resource")
    }

    private static let noCustomMetrics = APIError.badRequest("unable to fetch metrics from custom metrics API: no custom metrics API registered")
}
