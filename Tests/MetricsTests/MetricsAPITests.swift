import Client
import Core
import Kinds
import Machinery
import Schema
import Store
import Synchronization
import Testing
import Transport
import Tree

@testable import APIServer

/// `/apis/metrics.k8s.io/v1beta1` over HTTP, on a store in memory and counters that grow as they are told.
@Suite struct MetricsAPITests {
    struct Everybody: Authenticator {
        func authenticate(_ request: HTTPRequest) throws(APIError) -> UserInfo? { .loopback }
    }

    struct Served: Sendable {
        let client: HTTPClient
        let endpoint: HTTPEndpoint

        func get(_ path: String, accept: String = "application/json") async throws -> (status: Int, body: Node) {
            let headers: HTTPHeaders = ["accept": accept]
            let response = try await client.send(HTTPClientRequest("GET", endpoint, path, headers: headers))
            return (response.status, try JSONReader.read(try await response.body()))
        }
    }

    /// Every sample, half a processor more of the node's time and a tenth of each container's.
    final class Counters: Sendable {
        private let samples = Mutex(0)
        private let base = Timestamp.now()
        private let uids: [String: String]

        init(_ uids: [String: String]) { self.uids = uids }

        func sample() -> [NodeStats] {
            let count = samples.withLock { $0 += 1; return $0 }
            let time = base + .seconds(10 * count)
            func usage(_ cpu: UInt64) -> ResourceUsage {
                ResourceUsage(time: time, cpuNanoseconds: cpu * UInt64(count), memoryWorkingSet: 3 << 20)
            }
            func pod(_ namespace: String, _ name: String) -> NodeStats.Pod {
                .init(
                    key: ObjectKey(namespace, name), uid: uids[name] ?? "none", usage: usage(1_000_000_000),
                    containers: [.init(name: "app", startedAt: base, usage: usage(1_000_000_000))])
            }
            return [
                NodeStats(node: "n1", startedAt: base, usage: usage(5_000_000_000), pods: [pod("default", "web"), pod("other", "db"), pod("default", "gone")])
            ]
        }
    }

    private func serve(_ body: (Served) async throws -> Void) async throws {
        let store = try Store(.memory)
        let catalog = ResourceCatalog(graph: Graph.builtIn)
        let writer = ObjectWriter(store: store, admission: AdmissionChain([]), conversion: BuiltInConversion(), checks: ObjectChecks())
        let counters = Counters(try await fill(InProcessClient(store: store, catalog: catalog, writer: writer, posts: [:], user: .loopback)))
        let source = UsageSource(pause: .milliseconds(1)) { counters.sample() }
        let api = APIServer(
            .init(
                store: store, catalog: catalog, writer: writer, authenticators: AuthenticatorChain([Everybody()]), authorizer: RBACAuthorizer(store: store),
                conversion: BuiltInConversion(), subresources: [:],
                virtuals: ["metrics.k8s.io/nodes": MetricsResources(.nodes, source, store), "metrics.k8s.io/pods": MetricsResources(.pods, source, store)],
                health: HealthChecks(serviceAccountKey: nil)))
        let server = HTTPServer(listeners: [.tcp(host: "127.0.0.1", port: 0)], handler: api)
        try await server.start()
        let client = HTTPClient()
        let failure: (any Error)?
        do {
            try await body(Served(client: client, endpoint: HTTPEndpoint(isTLS: false, host: "127.0.0.1", port: server.port)))
            failure = nil
        } catch { failure = error }
        client.close()
        await server.shutdown(grace: .milliseconds(200))
        store.close()
        if let failure { throw failure }
    }

    private func fill(_ client: InProcessClient) async throws -> [String: String] {
        var uids: [String: String] = [:]
        for name in ["default", "other"] {
            _ = try await client.create(.namespaces, namespace: "", ["apiVersion": "v1", "kind": "Namespace", "metadata": ["name": .string(name)]])
        }
        _ = try await client.create(.nodes, namespace: "", ["apiVersion": "v1", "kind": "Node", "metadata": ["name": "n1", "labels": ["zone": "a"]]])
        for (namespace, name) in [("default", "web"), ("other", "db")] {
            let pod: Node = [
                "apiVersion": "v1", "kind": "Pod", "metadata": ["name": .string(name), "labels": ["app": .string(name)]],
                "spec": ["containers": [["name": "app", "image": "i"]]],
            ]
            let made = try await client.create(.pods, namespace: namespace, pod)
            uids[name] = made.uid
        }
        return uids
    }

    @Test func discoveryTellsOfTheGroup() async throws {
        try await serve { api in
            let groups = try await api.get("/apis").body["groups"].list
            #expect(groups.contains { $0["name"].string == "metrics.k8s.io" && $0["preferredVersion"]["version"].string == "v1beta1" })
            let resources = try await api.get("/apis/metrics.k8s.io/v1beta1").body["resources"].list
            #expect(resources.compactMap { $0["name"].string }.sorted() == ["nodes", "pods"])
            #expect(resources.allSatisfy { $0["verbs"].stringList == ["get", "list"] })
        }
    }

    @Test func nodesAndPodsTellWhatTheyUse() async throws {
        try await serve { api in
            let nodes = try await api.get("/apis/metrics.k8s.io/v1beta1/nodes")
            #expect(nodes.status == 200)
            #expect(nodes.body.kind == "NodeMetricsList")
            #expect(nodes.body["items"].list.map(\.name) == ["n1"])
            #expect(nodes.body["items"][0]["usage"] == ["cpu": "500000000n", "memory": "3072Ki"])
            #expect(nodes.body["items"][0]["window"].string == "10s")
            #expect(nodes.body["items"][0].labels == ["zone": "a"])
            let pods = try await api.get("/apis/metrics.k8s.io/v1beta1/pods").body
            #expect(pods["items"].list.map { "\($0.namespace)/\($0.name)" } == ["default/web", "other/db"], "what the API does not have is not told of")
            let web = try await api.get("/apis/metrics.k8s.io/v1beta1/namespaces/default/pods/web").body
            #expect(web["containers"] == [["name": "app", "usage": ["cpu": "100000000n", "memory": "3072Ki"]]])
            #expect(web.kind == "PodMetrics")
        }
    }

    @Test func selectorsAndNamespacesNarrow() async throws {
        try await serve { api in
            let prefix = "/apis/metrics.k8s.io/v1beta1"
            let expected = [
                "namespaces/other/pods": ["db"], "pods?labelSelector=app%3Dweb": ["web"], "pods?fieldSelector=metadata.name%3Ddb": ["db"],
                "nodes?labelSelector=zone%3Db": [],
            ]
            for (path, names) in expected {
                let list = try await api.get("\(prefix)/\(path)").body
                #expect(list["items"].list.map(\.name) == names, "\(path)")
            }
            let absent = try await api.get("\(prefix)/nodes/absent")
            #expect(absent.status == 404)
            let watch = try await api.get("\(prefix)/nodes?watch=true")
            #expect(watch.status == 405)
        }
    }

    @Test func tablesHaveTheMetricsServersColumns() async throws {
        try await serve { api in
            let table = try await api.get("/apis/metrics.k8s.io/v1beta1/pods", accept: "application/json;as=Table;v=v1;g=meta.k8s.io").body
            #expect(table["columnDefinitions"].list.compactMap { $0["name"].string } == ["Name", "cpu", "memory", "Window"])
            #expect(table["rows"][0]["cells"] == ["web", "100000000n", "3072Ki", "10s"] || table["rows"][0]["cells"] == ["web", "100m", "3Mi", "10s"])
        }
    }
}
