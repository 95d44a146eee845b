import Core
package import Transport
import Tree

/// A server by its kubeconfig with certificates in it.
package struct Server: Sendable {
    private let client: HTTPClient
    private let endpoint: HTTPEndpoint

    /// What came back, as it came.
    package struct Reply: Sendable {
        package let status: Int
        package let headers: HTTPHeaders
        package let body: [UInt8]
    }

    package init(_ path: String) throws {
        try self.init(try YAMLReader.read(try FileSystem.readFile(path)), named: path)
    }

    private init(_ config: Node, named path: String) throws {
        let (cluster, user) = (config["clusters"][0]["cluster"], config["users"][0]["user"])
        func bytes(_ node: Node) -> [UInt8] { Base64.decode(node.string ?? "") ?? [] }
        guard let address = HTTPAddress(cluster["server"].string ?? "") else { throw RequestFile.Failure("\(path) names no server") }
        endpoint = address.endpoint
        let identity = TLSIdentity(certificatePEM: bytes(user["client-certificate-data"]), keyPEM: bytes(user["client-key-data"]))
        client = HTTPClient(tls: ClientTLS(roots: bytes(cluster["certificate-authority-data"]), identity: identity))
    }

    package func send(_ request: Request) async -> Answer {
        var headers = HTTPHeaders()
        for (name, value) in request.headers { headers.append(name, value) }
        let body: HTTPClientRequest.Body = request.body.isNull ? .none : .bytes(JSONWriter.write(request.body))
        // A server that breaks off (upstream's does for some schemas and jobs) has answered 0.
        guard let reply = await exchange(request.method, request.path, headers, body) else { return Answer(code: 0, warnings: [], body: []) }
        return Answer(code: reply.status, warnings: reply.headers.values("warning"), body: reply.body)
    }

    /// Answers to many requests that do not depend on each other, in their order.
    package func send(_ requests: [Request], lanes: Int = 4) async -> [Answer] {
        await withTaskGroup(of: [(Int, Answer)].self) { group in
            for lane in 0..<lanes {
                group.addTask {
                    var out: [(Int, Answer)] = []
                    for index in stride(from: lane, to: requests.count, by: lanes) { out.append((index, await send(requests[index]))) }
                    return out
                }
            }
            var all = [Answer?](repeating: nil, count: requests.count)
            for await part in group { for (index, answer) in part { all[index] = answer } }
            return all.compactMap { $0 }
        }
    }

    /// Nil where the server breaks off.
    func exchange(_ method: String, _ path: String, _ headers: HTTPHeaders, _ body: HTTPClientRequest.Body) async -> Reply? {
        var request = HTTPClientRequest(method, endpoint, path, headers: headers, body: body, timeout: .seconds(30))
        request.mayRepeat = false
        let (asked, client) = (request, client)
        return await withTaskGroup(of: Reply?.self) { group in
            group.addTask {
                guard let answer = try? await client.send(asked), let bytes = try? await answer.body() else { return nil }
                return Reply(status: answer.status, headers: answer.headers, body: bytes)
            }
            // What never ends (a watch that was not asked for) must not keep the others waiting.
            group.addTask {
                try? await Task.sleep(for: .seconds(15))
                return nil
            }
            let first = await group.next() ?? nil
            group.cancelAll()
            return first
        }
    }

    package func close() { client.close() }
}
