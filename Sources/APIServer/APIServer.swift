import Core
import Logging
import Machinery
package import Store
package import Transport
import Tree

/// The Kubernetes API over HTTP. A request goes through the same steps whatever it is about: who asks, may they, what is meant,
/// and then the verb.
package final class APIServer: HTTPHandler {
    /// What it is put together from.
    package struct Parts: Sendable {
        package var store: Store
        package var catalog: ResourceCatalog
        package var writer: ObjectWriter
        package var authenticators: AuthenticatorChain
        package var authorizer: RBACAuthorizer
        package var conversion: any VersionConversion
        package var subresources: [String: any SubresourceHandler]
        /// By collection: resources that the store does not hold.
        package var virtuals: [String: any VirtualResource]
        package var health: HealthChecks
        /// Other servers' parts of the API.
        package var aggregation: AggregatedAPIs?
        package var metrics: RequestMetrics?
        package var flowControl: FlowControl?
        package var audit: AuditLog?
        /// Groups of this process that the catalog does not know.
        package var embedded: [any EmbeddedAPI]

        package init(
            store: Store, catalog: ResourceCatalog, writer: ObjectWriter, authenticators: AuthenticatorChain, authorizer: RBACAuthorizer,
            conversion: any VersionConversion, subresources: [String: any SubresourceHandler], virtuals: [String: any VirtualResource] = [:],
            health: HealthChecks, aggregation: AggregatedAPIs? = nil, metrics: RequestMetrics? = nil, flowControl: FlowControl? = nil, audit: AuditLog? = nil,
            embedded: [any EmbeddedAPI] = []
        ) {
            self.audit = audit
            self.embedded = embedded
            self.flowControl = flowControl
            self.metrics = metrics
            self.aggregation = aggregation
            self.store = store
            self.catalog = catalog
            self.writer = writer
            self.authenticators = authenticators
            self.authorizer = authorizer
            self.conversion = conversion
            self.subresources = subresources
            self.virtuals = virtuals
            self.health = health
        }
    }

    let parts: Parts
    let discovery: DiscoveryDocuments
    let openAPI: OpenAPIDocuments
    let packedLists = PackedLists()
    private let log = Logger(label: "apiserver")
    private let reading = RequestDeadlines(RequestDeadlines.most)
    private let writing = RequestDeadlines(RequestDeadlines.mostWriting)

    package init(_ parts: Parts) {
        self.parts = parts
        discovery = DiscoveryDocuments(catalog: parts.catalog, aggregation: parts.aggregation, embedded: parts.embedded)
        openAPI = OpenAPIDocuments(catalog: parts.catalog, aggregation: parts.aggregation)
    }

    package func handle(_ exchange: HTTPExchange) async {
        let http = exchange.request
        let query = http.queryItems
        let info = RequestInfo(method: http.method, path: http.path) { name in query.first { $0.name == name }?.value }
        let auditID = http.headers["audit-id"] ?? Identifier.uuid()
        let labels = RequestMetrics.Labels(
            info, isDryRun: query.contains { $0.name == "dryRun" }, isApply: info.verb == "patch" && RequestBody.isApply(http.headers["content-type"]))
        let began = ContinuousClock.now
        parts.metrics?.began(labels)
        defer { parts.metrics?.ended(labels, code: exchange.status, after: .now - began) }
        var request = APIRequest(exchange: exchange, info: info, query: query, user: .anonymous, auditID: auditID)
        if info.isCut {
            let text = "Internal Server Error: \(FieldError.quoted(info.path)): failed to create RequestInfo: unable to determine kind and namespace from url, \(info.path)\n"
            var headers = HTTPHeaders()
            headers.append("content-type", "text/plain; charset=utf-8")
            headers.append("x-content-type-options", "nosniff")
            return request.answer(status: 500, headers: headers, body: Array(text.utf8))
        }
        var trail: AuditTrail?
        defer { trail?.completed(exchange.status, isLongRunning: labels.isLong) }
        do {
            let asking = try await authenticated(request)
            trail = self.trail(request, asking)
            trail?.received(isLongRunning: labels.isLong, exchange)
            request = APIRequest(exchange: exchange, info: info, query: query, user: asking, auditID: auditID, flow: nil, audit: trail)
            let user: UserInfo
            do throws(APIError) { user = try impersonated(asking, info, http, trail) } catch { return respond(request, error, isSniffed: error.code != 400) }
            let flow = parts.flowControl?.match(user, info)
            request = APIRequest(exchange: exchange, info: info, query: query, user: user, auditID: auditID, flow: flow, audit: trail)
            // Sessions and logs are not counted, watches only until what is there has been sent.
            let isCounted = flow != nil && (!labels.isLong || info.verb == "watch")
            if isCounted, await !sit(request) { return refuseForNow(request) }
            defer { request.opened() }
            do throws(APIError) { try authorize(request) } catch { return respond(request, error, isSniffed: false) }
            if let entry = aggregated(request) { return await proxy(request, to: entry) }
            if labels.isLong { try await route(request) } else { try await routeInTime(request) }
        } catch {
            respond(request, error)
        }
    }

    private func routeInTime(_ request: APIRequest) async throws(APIError) {
        let isWriting = request.info.isResource && APIServer.writingVerbs.contains(request.info.verb)
        let deadlines = isWriting ? writing : reading
        let most = isWriting ? RequestDeadlines.mostWriting : RequestDeadlines.most
        let wish = try RequestDeadlines.wish(request.first("timeout"), atMost: RequestDeadlines.most)
        let expire: @Sendable () -> Void = { [self] in respond(request, .timeout("request did not complete within the allotted timeout")) }
        let id = deadlines.begin(expire)
        defer { deadlines.done(id) }
        let own = wish.map { wish in
            Task {
                try await Task.sleep(for: wish)
                expire()
            }
        }
        defer { own?.cancel() }
        let end = ContinuousClock.now + min(wish ?? most, most)
        let outcome = await RequestDeadlines.$current.withValue(end) { () async -> APIError? in
            do throws(APIError) {
                try await route(request)
                return nil
            } catch { return error }
        }
        // What failed because the time was over failed by that.
        if outcome != nil, end <= .now { throw .timeout("request did not complete within the allotted timeout") }
        if let outcome { throw outcome }
    }

    private static let writingVerbs: Set<String> = ["create", "update", "patch", "delete", "deletecollection"]

    /// Takes the request's seats; false where there are too many already.
    private func sit(_ request: APIRequest) async -> Bool {
        guard let control = parts.flowControl, let flow = request.flow else { return true }
        let sendsInitial = request.flag("sendInitialEvents") || ["", "0"].contains(request.first("resourceVersion") ?? "")
        let limit = request.first("limit").flatMap(Int.init) ?? 0
        guard let seat = await control.enter(flow, request.info, user: request.user.name, limit: limit, sendsInitial: sendsInitial) else { return false }
        request.whenOpened { control.leave(seat) }
        return true
    }

    private func refuseForNow(_ request: APIRequest) {
        var headers = request.headers(contentType: "text/plain; charset=utf-8")
        let seconds = request.flow.flatMap { parts.flowControl?.retryAfter($0.level.name) } ?? 1
        headers.append("retry-after", String(seconds))
        request.answer(status: 429, headers: headers, body: Array("Too many requests, please try again later.\n".utf8))
    }

    // MARK: - May they

    func authorize(_ request: APIRequest) throws(APIError) {
        let asked = Attributes(user: request.user, info: request.info)
        let reason = parts.authorizer.permission(asked)
        request.audit?.annotate("authorization.k8s.io/decision", reason == nil ? "forbid" : "allow")
        request.audit?.annotate("authorization.k8s.io/reason", reason ?? "")
        guard reason == nil else { return }
        throw APIServer.refusal(asked)
    }

    static func refusal(_ asked: Attributes, _ reason: String = "") -> APIError {
        let why = reason.isEmpty ? asked.refusal : "\(asked.refusal): \(reason)"
        if asked.isResource { return .forbidden(asked.resource, group: asked.group, name: asked.name, why: why) }
        return APIError(code: 403, reason: "Forbidden", message: "forbidden: \(why)", details: .init())
    }

    private func impersonated(_ asking: UserInfo, _ info: RequestInfo, _ http: HTTPRequest, _ trail: AuditTrail?) throws(APIError) -> UserInfo {
        guard let impersonation = try Impersonation(http.headers) else { return asking }
        let granted = try impersonation.grant(Attributes(user: asking, info: info), by: parts.authorizer)
        trail?.impersonates(granted.user, granted.constraint)
        return granted.user
    }

    // MARK: - Answers

    /// What the log tells of an error. A message may quote what was sent, as whole as that is.
    static func told(_ error: APIError, of info: RequestInfo) -> String {
        if ["secrets", "tokenreviews"].contains(info.resource) { return "\(error.reason) (its message is not told: it may quote a secret)" }
        return error.message.count > 500 ? String(error.message.prefix(500)) + "…" : error.message
    }

    func respond(_ request: APIRequest, _ error: APIError, isSniffed: Bool = true) {
        // An error is a Status in the encoding asked for; a type that cannot be served at all gets JSON.
        var format = (try? request.format()) ?? .json
        format.shape = .object
        var headers = request.headers(contentType: format.contentType)
        if !isSniffed { headers.append("x-content-type-options", "nosniff") }
        if let seconds = error.details?.retryAfterSeconds, seconds > 0 { headers.append("retry-after", String(seconds)) }
        if error.code >= 500, error.code != 504 {
            log.warning("request failed", metadata: ["path": "\(request.info.path)", "verb": "\(request.info.verb)", "error": "\(APIServer.told(error, of: request.info))"])
        }
        request.audit?.responseStatus(error.status)
        let body: [UInt8]
        switch format.encoding {
        case .protobuf: body = (try? ProtobufCodec(parts.catalog.canonical).encodeObject(error.status)) ?? JSONWriter.write(error.status)
        case .yaml: body = YAMLWriter.write(error.status)
        case .json: body = format.isPretty ? JSONWriter.writePretty(error.status) : JSONWriter.write(error.status)
        }
        request.answer(status: error.code, headers: headers, body: body)
    }

    /// `isSniffed` false tells browsers to believe the content type, as Go's errors do.
    func respond(_ request: APIRequest, status: Int = 200, text: String, contentType: String = "text/plain; charset=utf-8", isSniffed: Bool = true) {
        var headers = request.headers(contentType: contentType)
        if !isSniffed { headers.append("x-content-type-options", "nosniff") }
        request.answer(status: status, headers: headers, body: Array(text.utf8))
    }

    func respond(_ request: APIRequest, status: Int = 200, json node: Node) {
        request.answer(status: status, headers: request.headers(contentType: "application/json"), body: JSONWriter.write(node))
    }
}
