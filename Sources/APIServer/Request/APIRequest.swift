package import Machinery
import Schema
import Synchronization
package import Transport
import Tree

/// A request on its way through the server: what it is about, who asks, and what it gathers for the answer.
package final class APIRequest: Sendable {
    package let exchange: HTTPExchange
    package let info: RequestInfo
    package let query: [QueryItem]
    package let user: UserInfo
    package let auditID: String
    /// What flow control counts the request as.
    let flow: FlowSchemas.Match?
    /// What is told about it; nil where the audit policy wants nothing.
    let audit: AuditTrail?
    private let gathered = Mutex<[String]>([])
    private let afterOpening = Mutex<(@Sendable () -> Void)?>(nil)

    init(exchange: HTTPExchange, info: RequestInfo, query: [QueryItem], user: UserInfo, auditID: String, flow: FlowSchemas.Match?, audit: AuditTrail? = nil) {
        self.audit = audit
        self.flow = flow
        self.exchange = exchange
        self.info = info
        self.query = query
        self.user = user
        self.auditID = auditID
    }

    package convenience init(exchange: HTTPExchange, info: RequestInfo, query: [QueryItem], user: UserInfo, auditID: String) {
        self.init(exchange: exchange, info: info, query: query, user: user, auditID: auditID, flow: nil)
    }

    package var http: HTTPRequest { exchange.request }
    package func first(_ name: String) -> String? { query.first { $0.name == name }?.value }
    /// A flag as Go's conversion reads it: absent, "false" and "0" are false, anything else (also empty) is true.
    package func flag(_ name: String) -> Bool { first(name).map { $0 != "false" && $0 != "0" } ?? false }

    /// Adds a `Warning` header to the answer; the same text only once.
    package func warn(_ text: String) { gathered.withLock { if !$0.contains(text) { $0.append(text) } } }
    package var warnings: [String] { gathered.withLock { $0 } }

    /// Calls `body` once: when a watch has sent what is there, or the request is over.
    func whenOpened(_ body: @escaping @Sendable () -> Void) { afterOpening.withLock { $0 = body } }
    func opened() { afterOpening.withLock { $0.take() }?() }

    // MARK: - The answer

    /// Answers in full. What is told about the request sees the answer's body as JSON, whatever the client asked for.
    func answer(status: Int, headers: HTTPHeaders, body: [UInt8]) {
        if let audit, audit.wantsResponse, let node = decoded(headers["content-type"] ?? "", body) { audit.responseObject(node) }
        exchange.respond(status: status, headers: headers, body: body)
    }

    func answer(status: Int, headers: HTTPHeaders, chunks: [ArraySlice<UInt8>]) {
        if let audit, audit.wantsResponse, let node = decoded(headers["content-type"] ?? "", Array(chunks.joined())) { audit.responseObject(node) }
        exchange.respond(status: status, headers: headers, chunks: chunks)
    }

    private func decoded(_ contentType: String, _ body: [UInt8]) -> Node? {
        guard info.isResource else { return nil }
        if contentType.hasPrefix("application/json") { return try? JSONReader.read(body) }
        if contentType.hasPrefix("application/yaml") { return try? YAMLReader.read(body) }
        if contentType.hasPrefix("application/vnd.kubernetes.protobuf") { return try? ProtobufCodec(Canonical(Graph.builtIn)).decodeObject(body) }
        return nil
    }

    /// Headers that every answer carries.
    func headers(contentType: String) -> HTTPHeaders {
        var headers = HTTPHeaders()
        headers.append("content-type", contentType)
        headers.append("audit-id", auditID)
        headers.append("cache-control", "no-cache, private")
        if let flow {
            headers.append("x-kubernetes-pf-flowschema-uid", flow.schemaUID)
            headers.append("x-kubernetes-pf-prioritylevel-uid", flow.level.uid)
        }
        for warning in warnings {
            let text = warning.replacing("\\", with: "\\\\").replacing("\"", with: "\\\"").replacing("\n", with: " ")
            headers.append("warning", "299 - \"\(text)\"")
        }
        return headers
    }

    /// Answers that are longer are packed for who takes that, as upstream does it.
    static let gzipFrom = 128 << 10

    /// Whether the client understands gzip; a quality beside it is not heeded, as upstream does not.
    var takesGzip: Bool {
        // What is written to the audit log is read from the answer.
        guard let accepted = http.headers["accept-encoding"], audit?.wantsResponse != true else { return false }
        return accepted.split(separator: ",").contains { $0.drop { $0 == " " }.prefix { $0 != " " } == "gzip" }
    }

    /// `isAggregator`: what upstream's aggregator answers itself is refused in other words.
    func format(allowsProtobuf: Bool = true, allowsShapes: Bool = true, isAggregator: Bool = false) throws(APIError) -> ResponseFormat {
        let negotiated = AcceptHeader.negotiate(
            http.headers["accept"], pretty: first("pretty"), userAgent: http.headers["user-agent"] ?? "", allowsProtobuf: allowsProtobuf,
            allowsShapes: allowsShapes)
        guard let negotiated else {
            let accepted = http.headers["accept"] ?? ""
            guard allowsProtobuf, !isAggregator, !AcceptHeader.namesServedType(accepted) else {
                // Upstream speaks of protobuf where it was not asked for.
                let asksProtobuf = !allowsProtobuf && accepted.contains("application/vnd.kubernetes.protobuf")
                let words = "only the following media types are accepted: application/json, application/yaml"
                throw APIError.notAcceptable(words + (asksProtobuf ? "" : ", application/vnd.kubernetes.protobuf"))
            }
            let types = ["application/json", "application/yaml", "application/vnd.kubernetes.protobuf"]
            let isCollection = info.verb == "list" || info.verb == "watch"
            let streams = isCollection ? ["application/json;stream=watch", "application/vnd.kubernetes.protobuf;stream=watch"] : []
            var error = APIError.notAcceptable("406: Not Acceptable\n\nAvailable representations: \((types + streams).joined(separator: ", "))")
            error.details = .init()
            throw error
        }
        return negotiated
    }
}

extension HTTPHeaders {
    var gzipped: HTTPHeaders {
        var headers = self
        headers.append("content-encoding", "gzip")
        headers.append("vary", "Accept-Encoding")
        return headers
    }
}

/// The options of a write, from its query (and for a deletion also its body).
package struct WriteOptions: Sendable {
    package var isDryRun = false
    package var fieldValidation = FieldValidation.warn
    package var fieldManager = ""
    package var force: Bool?

    package init() {}

    init(_ request: APIRequest) throws(APIError) {
        let kind = WriteOptions.kind(request.info.verb)
        let dryRun = request.query.filter { $0.name == "dryRun" }.map(\.value)
        if let wrong = WriteOptions.dryRunErrors(dryRun).first, kind != "DeleteOptions" || !(request.exchange.request.contentLength ?? 0 > 0) { throw WriteOptions.invalid(wrong, kind) }
        isDryRun = !dryRun.isEmpty
        if let text = request.first("fieldValidation"), !text.isEmpty {
            guard let value = FieldValidation(rawValue: text) else {
                throw WriteOptions.invalid(.notSupported("fieldValidation", quoted: text, supported: ["", "Ignore", "Strict", "Warn"]), kind)
            }
            fieldValidation = value
        }
        fieldManager = request.first("fieldManager") ?? ""
        if fieldManager.utf8.count > 128 { throw WriteOptions.invalid(.tooLong("fieldManager", limit: 128), kind) }
        let scalars = Array(fieldManager.unicodeScalars)
        if let at = scalars.firstIndex(where: { $0.value < 32 || $0.value == 127 }) {
            let code = String(scalars[at].value, radix: 16, uppercase: true)
            let padded = String(repeating: "0", count: 4 - code.count) + code
            throw WriteOptions.invalid(.invalid("fieldManager", quoted: fieldManager, "invalid character U+\(padded) (at position \(at))"), kind)
        }
        if fieldManager.isEmpty {
            // Upstream names an unnamed manager by its user agent up to the first slash.
            fieldManager = String((request.http.headers["user-agent"] ?? "unknown").prefix { $0 != "/" }.prefix(128))
        }
        force = request.first("force").map { $0 != "false" && $0 != "0" }
    }

    static func dryRunErrors(_ stages: [String]) -> [FieldError] {
        if stages.allSatisfy({ $0 == "All" }) { return [] }
        return [.notSupported("dryRun", "[" + stages.map(FieldError.quoted).joined(separator: ",") + "]", supported: ["All"])]
    }

    /// The options as the object that a verb's query stands for; `stated` is what the client said of its field manager.
    func node(_ verb: String, stated: String?, validation: String?) -> Node {
        var out: Node = ["kind": .string(WriteOptions.kind(verb)), "apiVersion": "meta.k8s.io/v1"]
        if isDryRun { out["dryRun"] = ["All"] }
        if let force, verb == "patch" { out["force"] = .bool(force) }
        if let stated, !stated.isEmpty { out["fieldManager"] = .string(stated) }
        if let validation, !validation.isEmpty { out["fieldValidation"] = .string(validation) }
        return out
    }

    /// The options object that a verb's query stands for.
    static func kind(_ verb: String) -> String {
        switch verb {
        case "create": "CreateOptions"
        case "update": "UpdateOptions"
        case "delete", "deletecollection": "DeleteOptions"
        default: "PatchOptions"
        }
    }

    static func invalid(_ error: FieldError, _ kind: String = "PatchOptions") -> APIError {
        .invalid(kind: kind, group: "meta.k8s.io", name: "", errors: [error])
    }
}
