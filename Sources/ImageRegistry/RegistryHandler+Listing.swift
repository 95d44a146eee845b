import OCI
import Transport
import Tree

extension RegistryHandler {
    /// `_catalog`: the repositories the caller may pull from.
    func catalog(_ exchange: HTTPExchange) throws {
        let caller = try access.caller(exchange.request.headers["authorization"])
        let visible = repositories.names().filter { name in
            // Catalog scopes are of type registry, which tokens here do not carry: what counts is whose token it is.
            switch caller {
            case .bearer(let credential, _): !access.allowed(credential, AccessRequest(name, [.pull])).isEmpty
            default: access.check(caller, AccessRequest(name, [.pull]))
            }
        }
        let (page, headers) = try paginate(visible, exchange.request, "/v2/_catalog")
        exchange.respond(status: 200, headers: headers, body: JSONWriter.write(["repositories": Node(page)]))
    }

    func tags(_ exchange: HTTPExchange, _ name: String) throws {
        guard let repository = repositories[name] else { throw RegistryError(.nameUnknown, detail: ["name": .string(name)]) }
        let (page, headers) = try paginate(repository.tags.keys.sorted(), exchange.request, "/v2/\(name)/tags/list")
        exchange.respond(status: 200, headers: headers, body: JSONWriter.write(["name": .string(name), "tags": Node(page)]))
    }

    func referrers(_ exchange: HTTPExchange, _ name: String, _ text: String) throws {
        let digest = try RegistryHandler.digest(text)
        let wanted = exchange.request.queryItems.first { $0.name == "artifactType" }?.value
        var found =
            repositories[name]?.manifests.values.filter { $0.subject == digest }.map(\.descriptor).sorted { $0.digest < $1.digest } ?? []
        var headers = RegistryHandler.plain
        headers["content-type"] = MediaType.ociIndex
        if let wanted {
            found = found.filter { $0.artifactType == wanted }
            headers["oci-filters-applied"] = "artifactType"
        }
        exchange.respond(status: 200, headers: headers, body: ImageIndex(manifests: found).bytes)
    }

    /// `n` and `last`, with a `Link` to what follows.
    private func paginate(_ all: [String], _ request: HTTPRequest, _ path: String) throws -> ([String], HTTPHeaders) {
        let items = request.queryItems
        var headers = RegistryHandler.json
        var rest = all[...]
        if let last = items.first(where: { $0.name == "last" })?.value, !last.isEmpty { rest = rest.drop { $0 <= last } }
        guard let text = items.first(where: { $0.name == "n" })?.value else { return (Array(rest), headers) }
        guard let count = Int(text), count >= 0 else { throw RegistryError(.paginationInvalid, detail: ["n": .string(text)]) }
        let page = Array(rest.prefix(count))
        if page.count < rest.count, let end = page.last {
            headers["link"] = "<\(path)?n=\(count)&last=\(PercentEncoding.encode(end, keeping: "/"))>; rel=\"next\""
        }
        return (page, headers)
    }
}
