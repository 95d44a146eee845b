package import Machinery
package import Schema
import Transport
package import Tree

extension AggregatedAPIs {
    /// Who asks other servers for metrics: the account that their manifests grant them to.
    private static let autoscaler = UserInfo(
        name: "system:serviceaccount:kube-system:horizontal-pod-autoscaler",
        groups: ["system:serviceaccounts", "system:serviceaccounts:kube-system", "system:authenticated"])

    /// The version of a group to ask another server for: of those known the one that it prefers. Nil where no other server has the group.
    package func preferredVersion(of group: String, known: [String]) throws(APIError) -> String? {
        let entries = table.entries.filter { $0.group == group }.sorted { ($1.versionPriority, $0.version) < ($0.versionPriority, $1.version) }
        guard !entries.isEmpty else { return nil }
        guard let entry = entries.first(where: { known.contains($0.version) }) else { throw .badRequest("no known available metric versions found") }
        return entry.version
    }

    /// What another server answers a GET below one of its group versions; `what` names the resource in errors.
    package func metrics(_ groupVersion: GroupVersion, _ rest: String, _ what: String) async throws(APIError) -> Node {
        guard let entry = table.entry(groupVersion), entry.isAvailable else { throw AggregatedAPIs.failure(503, what) }
        let answer: (status: Int, body: [UInt8])
        do {
            answer = try await get("/apis/\(groupVersion.group)/\(groupVersion.version)/\(rest)", of: entry, as: AggregatedAPIs.autoscaler, limit: .seconds(30))
        } catch let error as APIError { throw error } catch { throw AggregatedAPIs.failure(503, what) }
        let body = try? JSONReader.read(answer.body)
        if (200..<300).contains(answer.status), let body { return body }
        if let body, body.kind == "Status" { throw APIError(status: body) }
        throw AggregatedAPIs.failure(answer.status, what)
    }

    /// What client libraries make of an answer that is no Status.
    private static func failure(_ code: Int, _ what: String) -> APIError {
        let (reason, text) = switch code {
        case 401: ("Unauthorized", "the server has asked for the client to provide credentials")
        case 403: ("Forbidden", "unknown")
        case 404: ("NotFound", "the server could not find the requested resource")
        case 503: ("ServiceUnavailable", "the server is currently unable to handle the request")
        default: ("InternalError", "an error on the server (\"unknown\") has prevented the request from succeeding")
        }
        return APIError(code: code, reason: reason, message: "\(text) (get \(what))", details: nil)
    }

    /// Upstream's words where nobody serves external metrics at all.
    package static func nobodyServes(_ what: String) -> APIError { failure(404, what) }
}
