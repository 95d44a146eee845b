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
        sendInitialEvents = request.first("sendInitialEvents").map { $0 != "false" && $0 != "0" }
        if let seconds = try ListQuery.number(request, "timeoutSeconds"), seconds > 0 { timeout = .seconds(seconds) }
        let version = request.first("resourceVersion") ?? ""
        if !version.isEmpty {
            guard let number = Int64(version), number >= 0, version == String(number) else {
                let shown = FieldError.quoted(version)
                throw APIError.badRequest(
                    "invalid resource version: resourceVersion: Invalid value: \(shown): strconv.ParseUint: parsing \(shown): invalid syntax")
            }
            resourceVersion = number
        }
        try checkMatch(request.first("resourceVersionMatch") ?? "", resource)
    }

    private static func number(_ request: APIRequest, _ name: String) throws(APIError) -> Int? {
        guard let text = request.first(name), !text.isEmpty else { return nil }
        guard let number = Int(text) else {
            throw APIError.badRequest("strconv.ParseInt: parsing \(FieldError.quoted(text)): invalid syntax")
        }
        return number
    }

    private mutating func checkMatch(_ text: String, _ resource: ServedResource) throws(APIError) {
        var errors: [FieldError] = []
        if isWatch {
            if text.isEmpty == false {
                if sendInitialEvents == nil {
                    errors.append(.forbidden("resourceVersionMatch", "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided"))
                } else if text != Match.notOlderThan.rawValue {
                    errors.append(.notSupported("resourceVersionMatch", quoted: text, supported: [Match.notOlderThan.rawValue]))
                }
            } else if sendInitialEvents != nil {
                errors.append(.forbidden("resourceVersionMatch", "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"))
            }
            if sendInitialEvents == true, !allowsBookmarks {
                errors.append(.forbidden("allowWatchBookmarks", "allowWatchBookmarks must be set to true when sendInitialEvents is true"))
            }
            if !errors.isEmpty { throw ListQuery.invalid(resource, errors) }
            return
        }
        if sendInitialEvents != nil { errors.append(.forbidden("sendInitialEvents", "sendInitialEvents is forbidden for list")) }
        if !text.isEmpty {
            if !continueToken.isEmpty {
                errors.append(.forbidden("resourceVersionMatch", "resourceVersionMatch is forbidden when continue is provided"))
            }
            if resourceVersion == nil {
                errors.append(.forbidden("resourceVersionMatch", "resourceVersionMatch is forbidden unless resourceVersion is provided"))
            }
            match = Match(rawValue: text)
            if match == nil {
                errors.append(.notSupported("resourceVersionMatch", quoted: text, supported: [Match.exact.rawValue, Match.notOlderThan.rawValue]))
            }
            if match == .exact, resourceVersion == 0 {
                errors.append(.forbidden("resourceVersionMatch", "resourceVersionMatch \"Exact\" is forbidden for resourceVersion \"0\""))
            }
        }
        if !errors.isEmpty { throw ListQuery.invalid(resource, errors) }
    }

    private static func invalid(_ resource: ServedResource, _ errors: [FieldError]) -> APIError {
        .invalid(kind: "ListOptions", group: "meta.k8s.io", name: "", errors: errors)
    }
}
