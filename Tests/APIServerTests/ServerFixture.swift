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
    let client = HTTPClient()
    let inside: InProcessClient

    private struct Everybody: Authenticator {
        func authenticate(_ request: HTTPRequest) throws(APIError) -> UserInfo? { ServerFixture.admin }
    }

    static let admin = UserInfo(name: "admin", groups: ["system:masters", "system:authenticated"])

    init() async throws {
        store = try Store(.memory)
        let catalog = ResourceCatalog(graph: Graph.builtIn)
        let conversion = BuiltInConversion()
        let authorizer = RBACAuthorizer(store: store)
        let services = ServiceAllocation(cidr: "10.96.0.0/24", store: store)
        let writer = ObjectWriter(
            store: store, admission: .standard(store, authorizer, catalog: catalog, conversion: conversion, webhooks: WebhookClient(ServiceResolver(store))), stages: services.map { ["services": $0] } ?? [:],
            charge: ResourceQuotaAdmission(store, catalog: catalog), conversion: conversion, checks: ObjectChecks())
        let api = APIServer(
            .init(
                store: store, catalog: catalog, writer: writer, authenticators: AuthenticatorChain([Everybody()]), authorizer: authorizer,
                conversion: conversion, subresources: [:],
                virtuals: ["authorization.k8s.io/selfsubjectaccessreviews": AccessReviews(authorizer, .own)], health: HealthChecks(serviceAccountKey: nil)))
        server = HTTPServer(listeners: [.tcp(host: "127.0.0.1", port: 0)], handler: api)
        _ = try await server.start()
        inside = InProcessClient(store: store, catalog: catalog, writer: writer, posts: [:], user: ServerFixture.admin)
        for name in ["default", "kube-system"] {
            _ = try await inside.create(
                .init(group: "", version: "v1", resource: "namespaces"), namespace: "", ["kind": "Namespace", "apiVersion": "v1", "metadata": ["name": .string(name)]])
        }
    }

    func send(_ method: String, _ path: String, _ body: String? = nil, type: String = "application/json", accept: String? = nil) async throws -> (Int, Node) {
        var headers = HTTPHeaders()
        headers.append("content-type", type)
        if let accept { headers.append("accept", accept) }
        let request = HTTPClientRequest(
            method, HTTPEndpoint(isTLS: false, host: "127.0.0.1", port: server.port ?? 0), path, headers: headers,
            body: body.map { .bytes(Array($0.utf8)) } ?? .none)
        let answer = try await client.send(request)
        let bytes = try await answer.body()
        return (answer.status, (try? JSONReader.read(bytes)) ?? .string(String(decoding: bytes, as: UTF8.self)))
    }

    func stop() async {
        client.close()
        await server.shutdown(grace: .zero)
        store.close()
    }
}
