package import Tree

/// An answer that is not the object asked for: the `Status` of the Kubernetes API.
///
/// The API server throws it and renders it once, at its edge; clients get it back from an answer's body. Clients branch on
/// `reason`, people read `message`; both are worded as upstream words them.
package struct APIError: Error, Sendable, Equatable, CustomStringConvertible {
    /// The HTTP status code.
    package var code: Int
    /// Upstream's `metav1.StatusReason`, such as `NotFound`.
    package var reason: String
    package var message: String
    package var details: Details?
    /// `metadata.continue`, which an expired list answers with so that the client may go on inconsistently.
    package var continueToken: String?

    package struct Details: Sendable, Equatable {
        package var name = ""
        package var group = ""
        package var kind = ""
        package var uid = ""
        package var causes: [Cause] = []
        package var retryAfterSeconds = 0
        package init(name: String = "", group: String = "", kind: String = "", uid: String = "", causes: [Cause] = [], retryAfterSeconds: Int = 0) {
            self.name = name
            self.group = group
            self.kind = kind
            self.uid = uid
            self.causes = causes
            self.retryAfterSeconds = retryAfterSeconds
        }
    }

    /// One thing that is wrong, at one field.
    package struct Cause: Sendable, Equatable {
        /// Upstream's `metav1.CauseType`, such as `FieldValueInvalid`.
        package var reason: String
        package var message: String
        package var field: String
        package init(reason: String, message: String, field: String = "") {
            self.reason = reason
            self.message = message
            self.field = field
        }
    }

    package init(code: Int, reason: String, message: String, details: Details? = nil) {
        self.code = code
        self.reason = reason
        self.message = message
        self.details = details
    }

    package var description: String { message }
}

// MARK: - Upstream's constructors (apimachinery pkg/api/errors)

extension APIError {
    /// `resource` is the plural; upstream renders `pods "a" not found` and `deployments.apps "a" not found`.
    private static func qualified(_ resource: String, _ group: String) -> String { group.isEmpty ? resource : "\(resource).\(group)" }

    package static func notFound(_ resource: String, group: String = "", name: String) -> APIError {
        APIError(code: 404, reason: "NotFound", message: "\(qualified(resource, group)) \"\(name)\" not found",
            details: Details(name: name, group: group, kind: resource))
    }

    /// What a path that leads to no resource answers.
    package static let pathNotFound = APIError(code: 404, reason: "NotFound", message: "the server could not find the requested resource", details: Details())

    /// What a path answers that has no such method.
    package static let methodNotAllowed = APIError(
        code: 405, reason: "MethodNotAllowed", message: "the server does not allow this method on the requested resource", details: Details())

    package static func alreadyExists(_ resource: String, group: String = "", name: String) -> APIError {
        APIError(code: 409, reason: "AlreadyExists", message: "\(qualified(resource, group)) \"\(name)\" already exists",
            details: Details(name: name, group: group, kind: resource))
    }

    package static func conflict(_ resource: String, group: String = "", name: String, why: String) -> APIError {
        APIError(code: 409, reason: "Conflict", message: "Operation cannot be fulfilled on \(qualified(resource, group)) \"\(name)\": \(why)",
            details: Details(name: name, group: group, kind: resource))
    }

    package static func forbidden(_ resource: String, group: String = "", name: String, why: String) -> APIError {
        let subject = name.isEmpty ? "\(qualified(resource, group))" : "\(qualified(resource, group)) \"\(name)\""
        return APIError(code: 403, reason: "Forbidden", message: "\(subject) is forbidden: \(why)", details: Details(name: name, group: group, kind: resource))
    }

    package static func unauthorized(_ why: String = "Unauthorized") -> APIError { APIError(code: 401, reason: "Unauthorized", message: why) }
    package static func badRequest(_ why: String) -> APIError { APIError(code: 400, reason: "BadRequest", message: why) }
    package static func internalError(_ why: String) -> APIError {
        APIError(code: 500, reason: "InternalError", message: "Internal error occurred: \(why)", details: Details(causes: [Cause(reason: "", message: why)]))
    }
    package static func methodNotSupported(_ resource: String, group: String = "", action: String) -> APIError {
        APIError(code: 405, reason: "MethodNotAllowed", message: "\(action) is not supported on resources of kind \"\(qualified(resource, group))\"",
            details: Details(group: group, kind: resource))
    }
    package static func gone(_ why: String) -> APIError { APIError(code: 410, reason: "Gone", message: why) }
    package static func expired(_ why: String) -> APIError { APIError(code: 410, reason: "Expired", message: why) }
    package static func tooLarge(_ why: String) -> APIError { APIError(code: 413, reason: "RequestEntityTooLarge", message: why) }
    package static func unsupportedMediaType(_ why: String) -> APIError { APIError(code: 415, reason: "UnsupportedMediaType", message: why) }
    package static func notAcceptable(_ why: String) -> APIError { APIError(code: 406, reason: "NotAcceptable", message: why) }
    package static func serviceUnavailable(_ why: String) -> APIError { APIError(code: 503, reason: "ServiceUnavailable", message: why) }
    package static func timeout(_ why: String, retryAfter: Int = 0) -> APIError {
        APIError(code: 504, reason: "Timeout", message: "Timeout: \(why)", details: Details(retryAfterSeconds: retryAfter))
    }
    package static func tooManyRequests(_ why: String, retryAfter: Int) -> APIError {
        APIError(code: 429, reason: "TooManyRequests", message: why, details: Details(retryAfterSeconds: retryAfter))
    }

    package static func invalid(kind: String, group: String = "", name: String, errors: [FieldError]) -> APIError {
        APIError(code: 422, reason: "Invalid", message: "\(qualified(kind, group)) \"\(name)\" is invalid: \(FieldError.aggregate(errors))",
            // The text says a thing once, the causes say it as often as it was found.
            details: Details(name: name, group: group, kind: kind,
                causes: errors.map { Cause(reason: $0.type.rawValue, message: $0.body, field: $0.field) }))
    }
}

// MARK: - Status

extension APIError {
    /// The `Status` object that goes over the wire.
    package var status: Node {
        var node: Node = ["kind": "Status", "apiVersion": "v1", "metadata": [:], "status": "Failure", "message": .string(message)]
        if let continueToken { node["metadata"]["continue"] = .string(continueToken) }
        if !reason.isEmpty { node["reason"] = .string(reason) }
        if let details {
            var out = Node.emptyMap
            if !details.name.isEmpty { out["name"] = .string(details.name) }
            if !details.group.isEmpty { out["group"] = .string(details.group) }
            if !details.kind.isEmpty { out["kind"] = .string(details.kind) }
            if !details.uid.isEmpty { out["uid"] = .string(details.uid) }
            if !details.causes.isEmpty {
                out["causes"] = .list(details.causes.map { cause in
                    var item = Node.emptyMap
                    if !cause.reason.isEmpty { item["reason"] = .string(cause.reason) }
                    item["message"] = .string(cause.message)
                    if !cause.field.isEmpty { item["field"] = .string(cause.field) }
                    return item
                })
            }
            if details.retryAfterSeconds > 0 { out["retryAfterSeconds"] = .int(Int64(details.retryAfterSeconds)) }
            node["details"] = out
        }
        node["code"] = .int(Int64(code))
        return node
    }

    /// Reads a `Status` that another server sent.
    package init(status node: Node) {
        code = Int(node["code"].int ?? 500)
        reason = node["reason"].string ?? ""
        message = node["message"].string ?? "the server answered \(code) without a message"
        continueToken = node["metadata"]["continue"].string
        let from = node["details"]
        guard !from.isNull else { return }
        details = Details(name: from["name"].string ?? "", group: from["group"].string ?? "", kind: from["kind"].string ?? "", uid: from["uid"].string ?? "",
            causes: from["causes"].list.map {
                Cause(reason: $0["reason"].string ?? "", message: $0["message"].string ?? "", field: $0["field"].string ?? "")
            },
            retryAfterSeconds: Int(from["retryAfterSeconds"].int ?? 0))
    }
}
