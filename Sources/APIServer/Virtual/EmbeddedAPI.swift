package import Machinery
import Schema
import Transport
package import Tree

/// A group that this process answers though the catalog has no kinds of it: what it serves is known only while it runs.
/// A server that an APIService names for the group takes its place.
package protocol EmbeddedAPI: Sendable {
    var group: String { get }
    /// The preferred one first.
    var versions: [String] { get }
    /// Changes when `resources` does.
    var generation: Int { get }
    /// As an APIResourceList has them, of what was last seen.
    func resources(_ version: String) -> [Node]
    /// Looks again at what there is.
    func refresh() async
    /// The answer to a request for a resource, which the caller may make.
    func answer(_ info: RequestInfo, _ query: @Sendable (String) -> String?) async throws(APIError) -> Node
}

extension APIServer {
    /// The API of this process that a path below /apis leads to, where no other server has its group.
    func embedded(_ group: String, _ version: String) -> (any EmbeddedAPI)? {
        guard !parts.embedded.isEmpty, let api = discovery.embedded(group) else { return nil }
        return api.versions.contains(version) ? api : nil
    }

    func answer(_ request: APIRequest, _ api: any EmbeddedAPI) async throws(APIError) {
        let query = request.query
        let answer = try await api.answer(request.info) { name in query.first { $0.name == name }?.value }
        respond(request, json: answer)
    }
}
