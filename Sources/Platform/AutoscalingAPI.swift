import APIServer
import Client
import Controllers
import Core
import Machinery
import Schema
import Store
import Transport
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

    // MARK: - Metrics that pods tell

    /// Asks the pods themselves: those that `prometheus.io/scrape` says may be asked.
    func podsMetric(_ name: String, namespace: String, pods: LabelSelector, metric: Node) async throws -> [String: Int64] {
        let selector = metric["selector"].isNull ? LabelSelector.everything : LabelSelector(object: metric["selector"])
        let asked = try await client.list(.pods, ListOptions(namespace: namespace)).items.filter {
            pods.matches($0["metadata"]["labels"]) && !$0.isBeingDeleted && $0.annotations["prometheus.io/scrape"] == "true"
        }
        let values = await withTaskGroup(of: (String, Int64?).self, returning: [String: Int64].self) { group in
            for pod in asked { group.addTask { (pod.name, await scrape(pod).flatMap { PrometheusText.milliValue(of: name, matching: selector, in: $0) }) } }
            var out: [String: Int64] = [:]
            for await (pod, value) in group { if let value { out[pod] = value } }
            return out
        }
        if values.isEmpty { throw AutoscalingAPI.noCustomMetrics }
        return values
    }

    private func scrape(_ pod: Node) async -> String? {
        guard let address = pod["status"]["podIP"].string, !address.isEmpty else { return nil }
        let annotations = pod.annotations
        let first = pod["spec"]["containers"].list.flatMap { $0["ports"].list }.compactMap { $0["containerPort"].int }.first
        guard let port = annotations["prometheus.io/port"].flatMap({ Int($0) }) ?? first.map({ Int($0) }) else { return nil }
        let endpoint = HTTPEndpoint(isTLS: annotations["prometheus.io/scheme"] == "https", host: address, port: port)
        let request = HTTPClientRequest("GET", endpoint, annotations["prometheus.io/path"] ?? "/metrics", timeout: .seconds(5))
        guard let answer = try? await AutoscalingAPI.http.send(request), answer.isSuccess, let body = try? await answer.body(limit: 8 << 20) else { return nil }
        return String(decoding: body, as: UTF8.self)
    }

    private static let http = HTTPClient(tls: ClientTLS(insecure: true), http2: false, connectTimeout: .seconds(2), idleTimeout: .seconds(20))

    func objectMetric(_ name: String, namespace: String, object: Node, metric: Node) async throws -> Int64 { throw AutoscalingAPI.noCustomMetrics }

    func externalMetric(_ name: String, namespace: String, metric: Node) async throws -> [Int64] {
        throw APIError.badRequest("unable to fetch metrics from external metrics API: the server could not find the requested resource")
    }

    private static let noCustomMetrics = APIError.badRequest("unable to fetch metrics from custom metrics API: no pod that `prometheus.io/scrape` opens tells the metric")
}
