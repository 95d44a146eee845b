import Core
import Machinery
import Schema
import Transport
import Tree

extension APIServer {
    private static func hasEmptySegment(_ path: String) -> Bool {
        var last: UInt8 = 0
        for byte in path.utf8 {
            if byte == 0x2F, last == byte { return true }
            last = byte
        }
        return false
    }

    /// Sends a request to what answers it.
    func route(_ request: APIRequest) async throws(APIError) {
        let path = request.info.path
        if APIServer.hasEmptySegment(path) {
            guard path.hasPrefix("/api") else { return unknown(request) }
            throw APIError.pathNotFound
        }
        if request.info.isResource { return try await resource(request) }
        let isRead = request.http.method == "GET"
        // Groups and their list do not look at the method.
        let isGroup = path.hasPrefix("/apis/") && path.split(separator: "/").count == 2 && !path.hasSuffix("/")
        if path.hasPrefix("/api"), path != "/apis", path != "/apis/", !isGroup, !isRead { throw APIError.methodNotAllowed }
        switch path {
        case "/version", "/version/": respond(request, json: APIServer.version)
        case "/healthz", "/livez", "/readyz", "/healthz/", "/livez/", "/readyz/": health(request)
        case "/api", "/api/": try legacyRoot(request)
        case "/apis", "/apis/": try groupsRoot(request)
        case "/openapi/v2":
            let accept = request.http.headers["accept"] ?? ""
            guard takes(accept, "application/com.github.proto-openapi.spec.v2") else { return unacceptable(request, "Accept-Encoding", "Accept") }
            respond(request, openAPI.v2(accept: accept), vary: ["Accept-Encoding", "Accept"])
        case "/openapi/v3", "/openapi/v3/":
            // Upstream lets Go guess what it is.
            var headers = request.headers(contentType: "text/plain; charset=utf-8")
            headers.append("accept-ranges", "bytes")
            request.answer(status: 200, headers: headers, chunks: openAPI.v3Index().parts.map { $0.unpacked()[...] })
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
                guard let document = try? openAPI.v3(segments.dropFirst(2).joined(separator: "/")) else { return nothing(request) }
                guard takes(request.http.headers["accept"] ?? "", nil) else { return unacceptable(request, "Accept") }
                if let hash = request.first("hash"), hash != document.hash { return moved(request, to: "\(path)?hash=\(document.hash)") }
                respond(request, document, vary: ["Accept"])
            case ("api", 2) where segments[1] == "v1": try resourceList(request, group: "", version: "v1")
            case ("apis", 2):
                guard let group = discovery.group(segments[1]) else { return unknown(request) }
                try negotiated(request, group, format: try request.format(isAggregator: true))
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
        let format = try request.format(isAggregator: true)
        if format.shape == .discoveryV2 { return aggregated(request, discovery.aggregated(legacy: false)) }
        try negotiated(request, discovery.groupList(), format)
    }

    /// The content type repeats the kind, by which clients know that it is not the legacy document.
    private func aggregated(_ request: APIRequest, _ document: DiscoveryDocuments.Document) {
        respond(request, document, contentType: "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList")
    }

    private func resourceList(_ request: APIRequest, group: String, version: String) throws(APIError) {
        guard let document = discovery.resourceList(group: group, version: version) else {
            let isCustom = parts.catalog.all.allSatisfy { $0.group != group || $0.isCustom }
            if isCustom, !group.isEmpty { return unknown(request) }
            throw APIError.pathNotFound
        }
        try negotiated(request, document, try request.format())
    }

    /// A document of discovery in the form that was asked for.
    private func negotiated(_ request: APIRequest, _ document: DiscoveryDocuments.Document, _ format: ResponseFormat) throws(APIError) {
        if format.encoding == .json, !format.isPretty { return respond(request, document, contentType: "application/json") }
        guard let node = try? JSONReader.read(document.body) else { throw .internalError("a document that cannot be read") }
        try negotiated(request, node, format: format)
    }

    private func negotiated(_ request: APIRequest, _ node: Node, format: ResponseFormat) throws(APIError) {
        switch format.encoding {
        case .json: respond(request, json: node)
        case .yaml: request.answer(status: 200, headers: request.headers(contentType: "application/yaml"), body: YAMLWriter.write(node))
        case .protobuf:
            let bytes = try ProtobufCodec(parts.catalog.canonical).encodeObject(node)
            request.answer(status: 200, headers: request.headers(contentType: "application/vnd.kubernetes.protobuf"), body: bytes)
        }
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

    /// Whether a client takes JSON, or the protobuf form that a document has.
    private func takes(_ accept: String, _ protobuf: String?) -> Bool {
        if accept.isEmpty || protobuf.map(accept.contains) ?? false { return true }
        return accept.split(separator: ",").contains { part in
            let type = part.prefix { $0 != ";" }.drop { $0 == " " }
            return ["application/json", "application/*", "*/*"].contains(type)
        }
    }

    private func unacceptable(_ request: APIRequest, _ vary: String...) {
        var headers = request.headers(contentType: "")
        headers.remove("content-type")
        for field in vary { headers.append("vary", field) }
        request.answer(status: 406, headers: headers, body: [])
    }

    /// To the document that is there now: a client may keep what it got under a hash for ever.
    private func moved(_ request: APIRequest, to place: String) {
        var headers = request.headers(contentType: "text/html; charset=utf-8")
        headers.append("location", place)
        request.answer(status: 301, headers: headers, body: Array("<a href=\"\(place)\">Moved Permanently</a>.\n\n".utf8))
    }

    private func respond(_ request: APIRequest, _ document: OpenAPIDocument, vary: [String]) {
        var headers = request.headers(contentType: document.contentType)
        headers.append("etag", "\"\(document.hash)\"")
        headers.append("accept-ranges", "bytes")
        for field in vary { headers.append("vary", field) }
        if request.first("hash") != nil {
            headers.remove("cache-control")
            headers.append("cache-control", "public, immutable")
        }
        if request.http.headers["if-none-match"] == "\"\(document.hash)\"" {
            request.answer(status: 304, headers: headers, body: [])
        } else if request.takesGzip, document.size > APIRequest.gzipFrom {
            headers.append("content-encoding", "gzip")
            if !vary.contains("Accept-Encoding") { headers.append("vary", "Accept-Encoding") }
            request.answer(status: 200, headers: headers, chunks: GzipPart.stream(document.parts))
        } else {
            request.answer(status: 200, headers: headers, chunks: document.parts.map { $0.unpacked()[...] })
        }
    }

    // MARK: - Health and keys

    private func health(_ request: APIRequest) {
        let isOne = request.info.path.split(separator: "/").count > 1
        if isOne, !parts.health.knows(request.info.path) { return unknown(request) }
        let outcome = parts.health.report(
            request.info.path, isVerbose: request.first("verbose") != nil, excluded: request.query.filter { $0.name == "exclude" }.map(\.value))
        respond(request, status: outcome.isHealthy ? 200 : 500, text: outcome.text, isSniffed: isOne && outcome.isHealthy)
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
