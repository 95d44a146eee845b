import APIServer
import Core
import Differential
import Machinery
import Schema
import Store
import Transport
import Tree

extension Target {
    private static let types = ["application/json", "application/yaml", "application/vnd.kubernetes.protobuf", "application/json-patch+json", "application/merge-patch+json", "application/strategic-merge-patch+json", "application/apply-patch+yaml", "text/plain", ""]
    private static let accepts = ["application/json", "application/yaml", "application/vnd.kubernetes.protobuf", "application/json;as=Table;v=v1;g=meta.k8s.io,application/json", "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io", "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io", "*/*;q=0.5,,;;"]
    private static let methods = ["GET", "POST", "PUT", "PATCH", "DELETE", "GET", "PUT", "PATCH", "HEAD", "OPTIONS"]
    private static let queries = [
        "", "labelSelector=a%3Db,c+in+(d)", "fieldSelector=metadata.name%3Da", "limit=5&continue=abc", "resourceVersion=0&resourceVersionMatch=NotOlderThan", "dryRun=All", "fieldValidation=Strict&fieldManager=x", "force=true", "propagationPolicy=Foreground&gracePeriodSeconds=0",
        "watch=1&timeoutSeconds=0", "pretty=true", "orphanDependents=true", "sendInitialEvents=true", "timeout=1ms", "allowWatchBookmarks=1",
    ]
    private static let paths = [
        "/", "/api", "/apis", "/apis/apps/v1", "/openapi/v2", "/openapi/v3/api/v1", "/version", "/healthz/ping", "/metrics", "/api/v1/namespaces/default", "/api/v1/namespaces/default/finalize", "/api/v1/namespaces/default/pods/a/log", "/api/v1/namespaces/default/pods/a/exec",
        "/api/v1/namespaces/default/services/a:80/proxy/x", "/apis/apps/v1/namespaces/default/deployments/a/scale", "/api/v1/namespaces/default/pods/a/eviction", "/api/v1/namespaces/default/pods/a/binding", "/api/v1/namespaces/default/serviceaccounts/default/token",
        "/api/v1/namespaces/default/pods/a/status", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/a.b/status", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", "/apis/example.com/v1/namespaces/default/things", "/api/v1/nodes/a/proxy/", "/apis/apps/v1/namespaces/%2e%2e/x",
    ]

    /// Whole requests to a whole API server: paths, queries, and objects that are nearly right. An input is method, target, both types and a
    /// body, parted by line feeds.
    static func requests(_ corpus: Corpus) throws -> Target {
        let trees = TreeMutator(corpus: corpus.objects)
        let targets = corpus.requests.map { $0.path.split(separator: "?").first.map(String.init) ?? "/" } + paths
        let lines = ByteMutator(corpus: targets.map { Array($0.utf8) }, words: ["/", "//", "%00", "%2F", "..", "?", "&", "=", "%", "*", "é", "status", "namespaces", "watch/", ":"].map { Array($0.utf8) }, largest: 4000)
        let transcode = Transcode(Canonical(Graph.builtIn))
        let make: @Sendable (inout Random) -> [UInt8] = { random in
            let from = random.pick(corpus.requests, or: corpus.requests[0])
            var method = from.method
            var target = from.path.split(separator: "?").first.map(String.init) ?? "/"
            if random.chance(1, of: 3) { method = random.pick(methods, or: "GET") }
            if random.chance(1, of: 3) { target = random.pick(targets, or: "/") }
            if ["PUT", "PATCH", "DELETE", "GET"].contains(method), random.chance(2, of: 3) { target += "/" + (from.body["metadata"]["name"].string ?? "a") }
            if random.chance(1, of: 4) { target = String(decoding: lines.make(&random), as: UTF8.self) }
            if random.chance(1, of: 2) { target += "?" + random.pick(queries, or: "") + "&" + random.pick(queries, or: "") }
            target = target.utf8.reduce(into: "") { $0 += $1 > 0x20 && $1 < 0x7F ? String(UnicodeScalar($1)) : "%" + String($1 >> 4, radix: 16) + String($1 & 15, radix: 16) }
            let object = random.chance(1, of: 2) ? trees.changed(from.body, &random, depth: 0) : trees.make(&random)
            let type = method == "PATCH" ? types[3 + random.below(4)] : random.chance(3, of: 4) ? types[random.below(3)] : random.pick(types, or: "")
            var body = JSONWriter.write(object)
            if type == types[1] { body = YAMLWriter.write(object) }
            if type == types[2], let id = id(of: object) { body = transcode.encode(object, as: id) }
            if random.chance(1, of: 6) { ByteMutator(corpus: corpus.json, words: []).change(&body, &random) }
            return Array("\(method)\n\(target)\n\(type)\n\(random.pick(accepts, or: ""))\n".utf8) + body
        }
        let fixture = try APIFixture()
        return Target(name: "requests", share: 12, make: make) { fixture.give($0) }
    }

    private static func id(of object: Node) -> MessageID? {
        let parts = (object["apiVersion"].string ?? "").split(separator: "/", maxSplits: 1).map(String.init)
        return Graph.builtIn.message(of: GroupVersionKind(group: parts.count == 2 ? parts[0] : "", version: parts.last ?? "", kind: object["kind"].string ?? ""))
    }
}

/// An API server with a store in memory, where everybody is an administrator.
private final class APIFixture: Sendable {
    private let server: HTTPServer
    private let client = HTTPClient()
    private let endpoint: HTTPEndpoint
    private let given = Monitor(0)

    private struct Everybody: Authenticator {
        func authenticate(_ request: HTTPRequest) throws(APIError) -> UserInfo? { UserInfo(name: "admin", groups: ["system:masters", "system:authenticated"]) }
    }

    init() throws {
        let store = try Store(.memory)
        let catalog = ResourceCatalog(graph: Graph.builtIn)
        let conversion = BuiltInConversion()
        let authorizer = RBACAuthorizer(store: store)
        let webhooks = WebhookClient(ServiceResolver(store))
        let services = ServiceAllocation(cidr: "10.96.0.0/16", store: store)
        let writer = ObjectWriter(
            store: store, admission: .standard(store, authorizer, catalog: catalog, conversion: conversion, webhooks: webhooks), stages: services.map { ["services": $0] } ?? [:],
            charge: ResourceQuotaAdmission(store, catalog: catalog), conversion: conversion, checks: ObjectChecks())
        let authority = try CertificateAuthority.create(commonName: "front")
        let front = FrontProxy(identity: try authority.issueClient(commonName: FrontProxy.commonName), authority: authority.identity.certificatePEM)
        let apis = try AggregatedAPIs(store, frontProxy: front)
        let api = APIServer(
            .init(
                store: store, catalog: catalog, writer: writer, authenticators: AuthenticatorChain([Everybody()]), authorizer: authorizer, conversion: conversion, subresources: [:],
                virtuals: ["authorization.k8s.io/selfsubjectaccessreviews": AccessReviews(authorizer, .own)], health: HealthChecks(serviceAccountKey: nil), aggregation: apis, metrics: RequestMetrics(store)))
        let server = HTTPServer(listeners: [.tcp(host: "127.0.0.1", port: 0)], handler: api)
        self.server = server
        let inside = InProcessClient(
            store: store, catalog: catalog, writer: writer, posts: [:], user: UserInfo(name: "admin", groups: ["system:masters", "system:authenticated"]))
        let custom = CustomResources(store: store, catalog: catalog, client: inside, webhooks: webhooks)
        let started = Monitor(false)
        Task {
            _ = try? await server.start()
            for name in ["default", "kube-system"] {
                _ = try? await inside.create(.init(group: "", version: "v1", resource: "namespaces"), namespace: "", ["kind": "Namespace", "apiVersion": "v1", "metadata": ["name": .string(name)]])
            }
            started.change { $0 = true }
            await custom.run()
        }
        _ = started.wait { $0 ? true : nil }
        endpoint = HTTPEndpoint(isTLS: false, host: "127.0.0.1", port: server.port ?? 0)
    }

    /// Sends one and waits for its answer. What the server makes is removed now and then, so that it stays as fast as it was.
    func give(_ input: [UInt8]) {
        let parts = input.split(separator: 0x0A, maxSplits: 4, omittingEmptySubsequences: false).map(Array.init)
        guard parts.count == 5 else { return }
        let texts = parts[..<4].map { String(decoding: $0, as: UTF8.self) }
        let headers: HTTPHeaders = ["content-type": texts[2], "accept": texts[3]]
        let bare = ["GET", "HEAD", "OPTIONS"].contains(texts[0])
        send(HTTPClientRequest(texts[0], endpoint, texts[1], headers: headers, body: bare ? .none : .bytes(parts[4]), timeout: .seconds(30)))
        let count = given.change { count in
            count += 1
            return count
        }
        guard count % 2000 == 0 else { return }
        for path in ["/api/v1/namespaces/default/configmaps", "/api/v1/namespaces/default/pods", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", "/api/v1/namespaces/default/services", "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations", "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations"] {
            send(HTTPClientRequest("DELETE", endpoint, path, timeout: .seconds(30)))
        }
    }

    private func send(_ request: HTTPClientRequest) {
        let done = Monitor(false)
        let client = client
        Task {
            do {
                let answer = try await client.send(request)
                // A watch goes on for ever.
                if !request.target.contains("watch") { _ = try await answer.body() }
            } catch TransportError.timedOut {
                preconditionFailure("no answer to \(request.method) \(request.target)")
            } catch {}
            done.change { $0 = true }
        }
        _ = done.wait { $0 ? true : nil }
    }
}
