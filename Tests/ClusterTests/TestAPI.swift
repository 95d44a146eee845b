import Core
import Platform
import Transport
import Tree

/// The API of a cluster as its administrator sees it over HTTPS.
struct TestAPI: Sendable {
    private let http: HTTPClient
    private let endpoint: HTTPEndpoint

    struct Refused: Error { let status: Int, message: String }

    init(kubeconfig path: String) throws {
        let config = try Kubeconfig(path: path)
        let cluster = config.node["clusters"][0]["cluster"]
        let user = config.node["users"][0]["user"]
        func bytes(_ node: Node) -> [UInt8] { node.string.flatMap(Base64.decode) ?? [] }
        guard let address = HTTPAddress(cluster["server"].string ?? "") else { throw Refused(status: 0, message: "no server") }
        endpoint = address.endpoint
        http = HTTPClient(
            tls: ClientTLS(
                roots: bytes(cluster["certificate-authority-data"]),
                identity: TLSIdentity(certificatePEM: bytes(user["client-certificate-data"]), keyPEM: bytes(user["client-key-data"]))))
    }

    func get(_ path: String) async throws -> Node { try await send("GET", path) }

    /// `body` is YAML.
    @discardableResult
    func send(_ method: String, _ path: String, _ body: String? = nil, type: String = "application/json") async throws -> Node {
        let bytes = try body.map { JSONWriter.write(try YAMLReader.read(Array($0.utf8))) }
        let response = try await http.send(
            HTTPClientRequest(
                method, endpoint, path, headers: ["content-type": type, "accept": "application/json"], body: bytes.map { .bytes($0) } ?? .none,
                timeout: .seconds(15)))
        let answer = try JSONReader.read(try await response.body())
        guard response.isSuccess else { throw Refused(status: response.status, message: answer["message"].string ?? "") }
        return answer
    }

    /// Hands over the events of a watch until `take` has enough of them or the server ends it. Throws when it breaks off.
    func watch(_ path: String, _ take: (Node) -> Bool) async throws {
        let response = try await http.send(HTTPClientRequest("GET", endpoint, path, headers: ["accept": "application/json"], timeout: .seconds(15)))
        guard response.isSuccess else {
            throw Refused(status: response.status, message: try JSONReader.read(try await response.body())["message"].string ?? "")
        }
        var rest: [UInt8] = []
        while let chunk = try await response.nextChunk() {
            rest += chunk
            var start = 0
            while let end = rest[start...].firstIndex(of: 0x0A) {
                guard take(try JSONReader.read(Array(rest[start..<end]))) else { return }
                start = end + 1
            }
            rest.removeFirst(start)
        }
    }

    /// Whether http://host/ answers 200, on a connection of its own.
    static func answers(_ host: String) async throws -> Bool {
        let http = HTTPClient(http2: false, connectTimeout: .seconds(5))
        defer { http.close() }
        return try await http.send(HTTPClientRequest("GET", HTTPEndpoint(isTLS: false, host: host, port: 80), "/", timeout: .seconds(5))).status == 200
    }
}
