import Core
package import Machinery
import Transport
package import Tree

/// The server that a kubeconfig file's current context leads to: how webhooks outside the cluster are described in files.
package struct KubeconfigTarget: Sendable {
    private let address: HTTPAddress
    private let token: String?
    private let tokenFile: String?
    private let client: HTTPClient

    /// `directory` is where relative paths in the file start. Throws what is missing or unreadable.
    package init(_ node: Node, directory: String) throws(APIError) {
        let name = node["current-context"].string ?? ""
        func entry(_ list: String, _ name: String, _ field: String) -> Node { node[list].list.first { $0["name"].string == name }?[field] ?? .null }
        let context = entry("contexts", name, "context")
        let cluster = entry("clusters", context["cluster"].string ?? "", "cluster")
        let user = entry("users", context["user"].string ?? "", "user")
        guard let server = cluster["server"].string, let address = HTTPAddress(server) else {
            throw .badRequest("the kubeconfig has no server in its current context \(FieldError.quoted(name))")
        }
        self.address = address
        var tls = ClientTLS()
        do {
            func read(_ holder: Node, _ field: String) throws -> [UInt8]? {
                if let text = holder["\(field)-data"].string, !text.isEmpty { return Base64.decode(text) }
                guard let path = holder[field].string, !path.isEmpty else { return nil }
                return try FileSystem.readFile(path.hasPrefix("/") ? path : "\(directory)/\(path)")
            }
            tls.roots = try read(cluster, "certificate-authority")
            tls.insecure = cluster["insecure-skip-tls-verify"].bool ?? false
            tls.serverName = cluster["tls-server-name"].string
            if let certificate = try read(user, "client-certificate"), let key = try read(user, "client-key") {
                tls.identity = TLSIdentity(certificatePEM: certificate, keyPEM: key)
            }
        } catch {
            throw .badRequest("the kubeconfig names a file that cannot be read: \(error)")
        }
        token = user["token"].string
        tokenFile = user["tokenFile"].string.map { $0.hasPrefix("/") ? $0 : "\(directory)/\($0)" }
        client = HTTPClient(tls: tls)
    }

    /// Posts a document; the status and body of the answer, whatever they are.
    package func post(_ body: [UInt8], timeout: Duration) async throws -> (status: Int, body: [UInt8]) {
        var headers: HTTPHeaders = ["Accept": "application/json", "Content-Type": "application/json", "User-Agent": "kube-apiserver"]
        let token = try tokenFile.map { String(decoding: try FileSystem.readFile($0), as: UTF8.self)[...].trimmed.replacing("\n", with: "") } ?? token
        if let token, !token.isEmpty { headers.append("Authorization", "Bearer \(token)") }
        var request = HTTPClientRequest("POST", address.endpoint, address.target, headers: headers, body: .bytes(body), timeout: timeout)
        request.mayRepeat = true
        let client = client
        return try await Deadline.within(timeout) { [request] in
            let answer = try await client.send(request)
            return (answer.status, try await answer.body(limit: 3 << 20))
        }
    }
}
