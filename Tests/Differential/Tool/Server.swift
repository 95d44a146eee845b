import Core
import Differential
import Transport
import Tree

/// A server by its kubeconfig with certificates in it.
struct Server {
    private let client: HTTPClient
    private let endpoint: HTTPEndpoint

    init(_ path: String) throws {
        let config = try YAMLReader.read(try FileSystem.readFile(path))
        let (cluster, user) = (config["clusters"][0]["cluster"], config["users"][0]["user"])
        func bytes(_ node: Node) -> [UInt8] { Base64.decode(node.string ?? "") ?? [] }
        guard let address = HTTPAddress(cluster["server"].string ?? "") else { throw IncompleteConfiguration(path) }
        endpoint = address.endpoint
        let identity = TLSIdentity(certificatePEM: bytes(user["client-certificate-data"]), keyPEM: bytes(user["client-key-data"]))
        client = HTTPClient(tls: ClientTLS(roots: bytes(cluster["certificate-authority-data"]), identity: identity))
    }

    func send(_ request: Request) async throws -> Answer {
        var headers = HTTPHeaders()
        for (name, value) in request.headers { headers.append(name, value) }
        let body: HTTPClientRequest.Body = request.body.isNull ? .none : .bytes(JSONWriter.write(request.body))
        // A server that breaks off (upstream's does for some schemas and jobs) has answered 0.
        guard let answer = try? await client.send(HTTPClientRequest(request.method, endpoint, request.path, headers: headers, body: body)) else {
            return Answer(code: 0, warnings: [], body: [])
        }
        return Answer(code: answer.status, warnings: answer.headers.values("warning"), body: try await answer.body())
    }
}

/// A kubeconfig that names no server.
struct IncompleteConfiguration: Error, CustomStringConvertible {
    let description: String
    init(_ path: String) { description = "\(path) names no server" }
}
