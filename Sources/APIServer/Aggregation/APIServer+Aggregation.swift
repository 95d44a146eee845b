import Machinery
import Schema
import Transport

extension APIServer {
    /// The server that answers a request in place of this one, if any does.
    func aggregated(_ request: APIRequest) -> APIServiceTable.Entry? {
        guard let aggregation = parts.aggregation, !request.info.version.isEmpty else { return nil }
        return aggregation.table.entry(GroupVersion(group: request.info.group, version: request.info.version))
    }

    /// Passes a request on to the server of its group version, with the user in headers.
    func proxy(_ request: APIRequest, to entry: APIServiceTable.Entry) async {
        guard let aggregation = parts.aggregation, entry.isAvailable, let endpoint = try? aggregation.endpoint(of: entry) else {
            return respond(request, status: 503, text: "service unavailable\n")
        }
        var headers = FrontProxy.headers(request.user)
        headers.append("Audit-Id", request.auditID)
        let forwarder = Forwarder(client: aggregation.client(for: entry))
        // Discovery is asked by every client first: a server that hangs must not hang them all.
        let isDiscovery = !request.info.isResource && request.info.path.split(separator: "/").count == 3
        do throws(APIError) {
            let target = request.http.path + (request.http.rawQuery.map { "?\($0)" } ?? "")
            try await forwarder.forward(request, to: endpoint, target: target, base: nil, adding: headers, timeout: isDiscovery ? .seconds(5) : nil)
        } catch {
            respond(request, status: error.code, text: error.message + "\n")
        }
    }
}
