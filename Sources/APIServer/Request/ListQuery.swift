import Machinery
import Store

/// The options of a list or watch, checked as upstream's ValidateListOptions does.
struct ListQuery: Sendable {
    enum Match: String { case notOlderThan = "NotOlderThan", exact = "Exact" }

    var selection = Selection()
    var limit = 0
    var continueToken = ""
    /// Nil for the most recent; 0 for any.
    var resourceVersion: Int64?
    var match: Match?
    var isWatch = false
    var allowsBookmarks = false
    var sendInitialEvents: Bool?
    var timeout: Duration?

    init() {}

    init(_ request: APIRequest, _ resource: ServedResource) throws(APIError) {
        isWatch = request.info.verb == "watch"
        selection = try Selection(labels: request.first("labelSelector") ?? "", fields: request.first("fieldSelector") ?? "", resource)
        if !request.info.name.isEmpty, isWatch || request.info.verb == "list" { selection.name = request.info.name }
        limit = try ListQuery.number(request, "limit") ?? 0
        continueToken = request.first("continue") ?? ""
        allowsBookmarks = request.flag("allowWatchBookmarks")
        sendInitialEvents = request.first("sendInitialEvents").map { $0.lowercased() != "false" && $0 != "0" }
        if let seconds = try ListQuery.number(request, "timeoutSeconds"), seconds > 0 { timeout = .seconds(seconds) }
        try checkMatch(request.first("resourceVersionMatch") ?? "", request.first("resourceVersion") ?? "", resource)
        do throws(APIError) { resourceVersion = try ListQuery.revision(request) } catch {
            throw isWatch ? error : .badRequest("invalid resource version: \(error.message)")
        }
    }

    private static func number(_ request: APIRequest, _ name: String) throws(APIError) -> Int? {
        try request.first(name).map { text throws(APIError) in try number(text) }
    }

    static func number(_ text: String) throws(APIError) -> Int {
        if let number = Int(text) { return number }
        let digits = text.first == "-" || text.first == "+" ? text.dropFirst() : text[...]
        let isNumber = !digits.isEmpty && digits.utf8.allSatisfy { $0 &- 48 < 10 }
        throw APIError.badRequest("strconv.ParseInt: parsing \(FieldError.quoted(text)): \(isNumber ? "value out of range" : "invalid syntax")")
    }

    /// The revision that a read asks for; nil for none.
    static func revision(_ request: APIRequest) throws(APIError) -> Int64? {
        let text = request.first("resourceVersion") ?? ""
        if text.isEmpty { return nil }
        if text.utf8.allSatisfy({ $0 &- 48 < 10 }), let number = Int64(text) { return number }
        let shown = FieldError.quoted(text)
        throw APIError(code: 500, reason: "", message: "resourceVersion: Invalid value: \(shown): strconv.ParseUint: parsing \(shown): invalid syntax")
    }

    private mutating func checkMatch(_ asked: String, _ version: String, _ resource: ServedResource) throws(APIError) {
        var errors: [FieldError] = []
        var text = asked
        if isWatch {
            let newest = Match.notOlderThan.rawValue
            // A watch from the start is the list and what follows.
            let startsWithAll = sendInitialEvents == nil && text.isEmpty && (version.isEmpty || version == "0")
            if startsWithAll { text = newest }
            let sends = startsWithAll ? true : sendInitialEvents
            if sends != nil, text != newest {
                errors.append(.forbidden("resourceVersionMatch", "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"))
            }
            if !text.isEmpty {
                if sends == nil { errors.append(.forbidden("resourceVersionMatch", "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided")) }
                if text != newest { errors.append(.notSupported("resourceVersionMatch", quoted: text, supported: [newest])) }
                if !continueToken.isEmpty { errors.append(.forbidden("resourceVersionMatch", "resourceVersionMatch is forbidden when continue is provided")) }
            }
            if !errors.isEmpty { throw ListQuery.invalid(resource, errors) }
            return
        }
        if !text.isEmpty {
            if version.isEmpty { errors.append(.forbidden("resourceVersionMatch", "resourceVersionMatch is forbidden unless resourceVersion is provided")) }
            if !continueToken.isEmpty { errors.append(.forbidden("resourceVersionMatch", "resourceVersionMatch is forbidden when continue is provided")) }
            match = Match(rawValue: text)
            if match == nil {
                errors.append(.notSupported("resourceVersionMatch", quoted: text, supported: [Match.exact.rawValue, Match.notOlderThan.rawValue, ""]))
            }
            if match == .exact, version == "0" {
                errors.append(.forbidden("resourceVersionMatch", "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\""))
            }
        }
        if sendInitialEvents != nil { errors.append(.forbidden("sendInitialEvents", "sendInitialEvents is forbidden for list")) }
        if !errors.isEmpty { throw ListQuery.invalid(resource, errors) }
    }

    private static func invalid(_ resource: ServedResource, _ errors: [FieldError]) -> APIError {
        .invalid(kind: "ListOptions", group: "meta.k8s.io", name: "", errors: errors)
    }
}
