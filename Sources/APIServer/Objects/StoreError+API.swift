import Machinery
import Store

extension StoreError {
    /// What the client of a write or read is told, in upstream's words.
    func apiError(_ resource: ServedResource, name: String) -> APIError {
        switch self {
        case .exists: return .alreadyExists(resource.plural, group: resource.group, name: name)
        case .conflict:
            return .conflict(
                resource.plural, group: resource.group, name: name,
                why: "the object has been modified; please apply your changes to the latest version and try again")
        case .notFound: return .notFound(resource.plural, group: resource.group, name: name)
        case .tooLarge: return .tooLarge("etcdserver: request is too large")
        case .overloaded: return .tooManyRequests("too many requests, please try again later", retryAfter: 1)
        case .full(let failure):
            // 507 has no reason of upstream's. No Retry-After: kubectl would try again for a minute and say nothing, where a person has to act.
            return APIError(
                code: 507, reason: "InsufficientStorage", message: "the datastore is full: \(failure.message); free space on its disk and try again")
        case .expired: return APIError.expired("The resourceVersion for the provided list is too old.")
        case .future(let current): return StoreError.tooLarge(current: current)
        case .closed: return .serviceUnavailable("the server is shutting down")
        case .failed, .newerSchema, .foreign, .locked, .system: return .internalError(description)
        }
    }

    /// Clients look for this cause, and ask again.
    static func tooLarge(current: Int64, asked: Int64? = nil) -> APIError {
        let message = asked.map { "Too large resource version: \($0), current: \(current)" } ?? "Too large resource version"
        return APIError(
            code: 504, reason: "Timeout", message: "Timeout: \(message)",
            details: .init(causes: [.init(reason: "ResourceVersionTooLarge", message: "Too large resource version")], retryAfterSeconds: 1))
    }
}
