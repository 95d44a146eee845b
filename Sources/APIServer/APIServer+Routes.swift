import Core
import Machinery
import Schema
import Transport
import Tree

extension APIServer {
    /// Sends a request to what answers it.
    func route(_ request: APIRequest) async throws(APIError) {
        let path = request.info.path
        if path.contains("//") {
            guard path.hasPrefix("/api") else { return unknown(request) }
            throw APIError.pathNotFound
        }
        if request.info.isResource { return try await resource(request) }
        let isRead = request.http.method == "GET"
        if path.hasPrefix("/api"), path != "/apis", path != "/apis/", !isRead { throw APIError.methodNotAllowed }
        switch path {
        case "/version", "/version/": respond(request, json: APIServer.version)
        case "/healthz", "/livez", "/readyz", "/healthz/", "/livez/", "/readyz/": health(request)
        case "/api", "/api/": try legacyRoot(request)
        case "/apis", "/apis/": try groupsRoot(request)
        case "/openapi/v2": try respond(request, openAPI.v2(accept: request.http.headers["accept"] ?? ""))
        case "/openapi/v3", "/openapi/v3/": try respond(request, openAPI.v3Index())
        case "/": respond(request, json: ["paths": Node(paths)])
        case "/metrics/slis": respond(request, text: parts.health.indicators())
        case "/metrics": respond(request, text: parts.health.metrics())
        case "/openid/v1/jwks", "/.well-known/openid-configuration": try keys(request)
        default:
            let segments = path.split(separator: "/").map(String.init)
            switch (segments.first, segments.count) {
            case ("healthz", 2), ("livez", 2), ("readyz", 2): health(request)
            case ("debug", 3) where segments[1] == "api_priority_and_fairness":
                guard let control = parts.flowControl, let text = control.dump(segments[2], withDetails: request.first("includeRequestDetails") != nil) else {
                    return unknown(request)
                }
                respond(request, text: text)
            case ("openapi", 5) where segments[1] == "v3" && foreign(segments) != nil:
                if let entry = foreign(segments) { await proxy(request, to: entry) }
            case ("openapi", 3...) where segments[1] == "v3":
                guard let document = try? openAPI.v3(segments.dropFirst(2).joined(separator: "/"), hash: request.first("hash")) else { return nothing(request) }
                try respond(request, document)
            case ("api", 2) where segments[1] == "v1": try resourceList(request, group: "", version: "v1")
            case ("apis", 2):
                guard let group = discovery.group(segments[1]) else { return unknown(request) }
                respond(request, json: group)
            case ("apis", 3):
                if let api = embedded(segments[1], segments[2]) { await api.refresh() }
                try resourceList(request, group: segments[1], version: segments[2])
            case ("api", _), ("version", _): throw APIError.pathNotFound
            default: unknown(request)
            }
        }
    }

    /// Neither a text nor its type.
    private func nothing(_ request: APIRequest) {
        var headers = request.headers(contentType: "")
        headers.remove("content-type")
        request.answer(status: 404, headers: headers, body: [])
    }

    /// Not even the path is known.
    private func unknown(_ request: APIRequest) { respond(request, status: 404, text: "404 page not found\n", isSniffed: false) }

    /// The server that has the OpenAPI v3 document of a group version, where it is another.
    private func foreign(_ segments: [String]) -> APIServiceTable.Entry? {
        guard segments.count == 5, segments[2] == "apis" else { return nil }
        return parts.aggregation?.table.entry(GroupVersion(group: segments[3], version: segments[4]))
    }

    private var paths: [String] {
        ["/api", "/api/v1", "/apis", "/healthz", "/livez", "/metrics", "/openapi/v2", "/openapi/v3", "/openid/v1/jwks", "/readyz", "/version"]
    }

    /// What `kubectl version` shows and Helm compares with a chart's `kubeVersion`.
    static let version: Node = [
        "major": "1", "minor": "36", "emulationMajor": "1", "emulationMinor": "36", "minCompatibilityMajor": "1", "minCompatibilityMinor": "35",
        "gitVersion": "v1.36.0+jangada", "gitCommit": "", "gitTreeState": "clean", "buildDate": "1970-01-01T00:00:00Z", "goVersion": "none (swift)",
        "compiler": "swiftc", "platform": .string(platform),
    ]

    #if arch(arm64)
        private static let platform = "linux/arm64"
    #else
        private static let platform = "linux/amd64"
    #endif

    // MARK: - Discovery

    private func legacyRoot(_ request: APIRequest) throws(APIError) {
        let format = try request.format(allowsProtobuf: false)
        if format.shape == .discoveryV2 { return aggregated(request, discovery.aggregated(legacy: true)) }
        respond(request, json: discovery.versions(serverAddress: request.http.host ?? ""))
    }

    private func groupsRoot(_ request: APIRequest) throws(APIError) {
        let format = try request.format(allowsProtobuf: false)
        if format.shape == .discoveryV2 { return aggregated(request, discovery.aggregated(legacy: false)) }
        respond(request, discovery.groupList(), contentType: "application/json")
    }

    /// The content type repeats the kind, by which clients know that it is not the legacy document.
    private func aggregated(_ request: APIRequest, _ document: DiscoveryDocuments.Document) {
        respond(request, document, contentType: "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList")
    }

    private func resourceList(_ request: APIRequest, group: String, version: String) throws(APIError) {
        guard let document = discovery.resourceList(group: group, version: version) else {
            if discovery.group(group) == nil, !group.isEmpty { return unknown(request) }
            throw APIError.pathNotFound
        }
        respond(request, document, contentType: "application/json")
    }

    private func respond(_ request: APIRequest, _ document: DiscoveryDocuments.Document, contentType: String) {
        var headers = request.headers(contentType: contentType)
        // Only what is aggregated may be kept by caches.
        guard contentType.contains("apidiscovery") else { return request.answer(status: 200, headers: headers, body: document.body) }
        headers.remove("cache-control")
        headers.append("cache-control", "public")
        headers.append("etag", document.etag)
        headers.append("vary", "Accept")
        if request.http.headers["if-none-match"] == document.etag {
            request.answer(status: 304, headers: headers, body: [])
        } else {
            request.answer(status: 200, headers: headers, body: document.body)
        }
    }

    private func respond(_ request: APIRequest, _ document: OpenAPIDocuments.Document) throws(APIError) {
        var headers = request.headers(contentType: document.contentType)
        headers.append("etag", "\"\(document.hash)\"")
        headers.append("accept-ranges", "bytes")
        headers.append("vary", "Accept-Encoding")
        headers.append("vary", "Accept")
        if request.http.headers["if-none-match"] == "\"\(document.hash)\"" {
            request.answer(status: 304, headers: headers, body: [])
        } else {
            request.answer(status: 200, headers: headers, body: document.body)
        }
    }

    // MARK: - Health and keys

    private func health(_ request: APIRequest) {
        let outcome = parts.health.report(
            request.info.path, isVerbose: request.first("verbose") != nil, excluded: request.query.filter { $0.name == "exclude" }.map(\.value))
        respond(request, status: outcome.isHealthy ? 200 : 500, text: outcome.text, isSniffed: false)
    }

    private func keys(_ request: APIRequest) throws(APIError) {
        guard let key = parts.health.serviceAccountKey else { throw APIError.pathNotFound }
        if request.info.path.hasSuffix("jwks") {
            respond(request, text: "{\"keys\":[\(JWT.jwk(key))]}", contentType: "application/jwk-set+json")
        } else {
            respond(
                request,
                json: [
                    "issuer": .string(ServiceAccountTokens.issuer), "jwks_uri": .string("https://\(request.http.host ?? "")/openid/v1/jwks"),
                    "response_types_supported": ["id_token"], "subject_types_supported": ["public"],
                    "id_token_signing_alg_values_supported": [key.isRSA ? "RS256" : "ES256"],
                ])
        }
    }
}
