import APIServer
import Core
import Machinery
import Schema
import Store
import Transport
import Tree

/// An API server on a free port of loopback with a store in memory, where everybody is an administrator.
struct ServerFixture {
    let store: Store
    let server: HTTPServer
    let catalog: ResourceCatalog
    let client = HTTPClient()
    let inside: InProcessClient
    /// Vouches for the certificate that the server shows to those it aggregates.
    let frontAuthority: CertificateAuthority
    let aggregated: AggregatedAPIs
    private let background: [Task<Void, Never>]

    private struct Everybody: Authenticator {
        func authenticate(_ request: HTTPRequest) throws(APIError) -> UserInfo? { ServerFixture.admin }
    }

    static let admin = UserInfo(name: "admin", groups: ["system:masters", "system:authenticated"])

    init(audit: AuditLog? = nil, authenticators: AuthenticatorChain? = nil, selection: AdmissionSelection = AdmissionSelection(), customMetrics: Bool = false) async throws {
        store = try Store(.memory)
        let catalog = ResourceCatalog(graph: Graph.builtIn)
        self.catalog = catalog
        let conversion = BuiltInConversion()
        let authorizer = RBACAuthorizer(store: store)
        let services = ServiceAllocation(cidr: "10.96.0.0/24", store: store)
        let webhooks = WebhookClient(ServiceResolver(store))
        let writer = ObjectWriter(
            store: store, admission: .standard(store, authorizer, catalog: catalog, conversion: conversion, webhooks: webhooks, selection: selection), stages: services.map { ["services": $0] } ?? [:],
            charge: ResourceQuotaAdmission(store, catalog: catalog), conversion: conversion, checks: ObjectChecks())
        frontAuthority = try CertificateAuthority.create(commonName: "front")
        let front = FrontProxy(identity: try frontAuthority.issueClient(commonName: FrontProxy.commonName), authority: frontAuthority.identity.certificatePEM)
        let apis = try AggregatedAPIs(store, frontProxy: front)
        aggregated = apis
        let api = APIServer(
            .init(
                store: store, catalog: catalog, writer: writer, authenticators: authenticators ?? AuthenticatorChain([Everybody()]), authorizer: authorizer,
                conversion: conversion, subresources: [:],
                virtuals: ["authorization.k8s.io/selfsubjectaccessreviews": AccessReviews(authorizer, .own)], health: HealthChecks(serviceAccountKey: nil), aggregation: apis, metrics: RequestMetrics(store), audit: audit,
                embedded: customMetrics ? [CustomMetrics(store, catalog)] : []))
        server = HTTPServer(listeners: [.tcp(host: "127.0.0.1", port: 0)], handler: api)
        _ = try await server.start()
        inside = InProcessClient(store: store, catalog: catalog, writer: writer, posts: [:], user: ServerFixture.admin)
        let custom = CustomResources(store: store, catalog: catalog, client: inside, webhooks: webhooks)
        let registration = APIServiceController(store: store, catalog: catalog, client: inside, apis: apis)
        background = [Task { await custom.run() }, Task { await registration.run() }]
        for name in ["default", "kube-system"] {
            _ = try await inside.create(
                .init(group: "", version: "v1", resource: "namespaces"), namespace: "", ["kind": "Namespace", "apiVersion": "v1", "metadata": ["name": .string(name)]])
        }
    }

    func send(_ method: String, _ path: String, _ body: String? = nil, type: String = "application/json", accept: String? = nil, audit: String? = nil, headers more: [(String, String)] = []) async throws -> (Int, Node) {
        var headers = HTTPHeaders()
        headers.append("content-type", type)
        if let audit { headers.append("audit-id", audit) }
        for (name, value) in more { headers.append(name, value) }
        if let accept { headers.append("accept", accept) }
        let request = HTTPClientRequest(
            method, HTTPEndpoint(isTLS: false, host: "127.0.0.1", port: server.port ?? 0), path, headers: headers,
            body: body.map { .bytes(Array($0.utf8)) } ?? .none)
        let answer = try await client.send(request)
        let bytes = try await answer.body()
        return (answer.status, (try? JSONReader.read(bytes)) ?? .string(String(decoding: bytes, as: UTF8.self)))
    }

    /// The answer with its headers.
    func raw(_ method: String, _ path: String, _ body: String? = nil) async throws -> HTTPClientResponse {
        let endpoint = HTTPEndpoint(isTLS: false, host: "127.0.0.1", port: server.port ?? 0)
        return try await client.send(
            HTTPClientRequest(method, endpoint, path, headers: ["content-type": "application/json"], body: body.map { .bytes(Array($0.utf8)) } ?? .none))
    }

    /// Waits for the store to say that something changed, until an answer is what it should be.
    func answer(_ path: String, until isGood: (Int, Node) -> Bool) async throws -> Node {
        for _ in 0..<400 {
            let (code, answer) = try await send("GET", path)
            if isGood(code, answer) { return answer }
            try await Task.sleep(for: .milliseconds(25))
        }
        return try await send("GET", path).1
    }

    func stop() async {
        for task in background { task.cancel() }
        for task in background { await task.value }
        client.close()
        await server.shutdown(grace: .zero)
        store.close()
    }
}
