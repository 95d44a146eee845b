import APIServer
import Core
import Machinery
import Synchronization
import Testing
import Transport
import Tree

/// A server behind an APIService, over TLS, that checks who introduces users to it.
@Suite struct AggregationTests {
    private static let services = "/apis/apiregistration.k8s.io/v1/apiservices"

    /// Answers as an aggregated server does, and keeps the headers of what it was asked.
    private final class Backend: HTTPHandler {
        let asked = Mutex<[(path: String, user: String, groups: [String], certificate: String)]>([])

        func handle(_ exchange: HTTPExchange) async {
            let request = exchange.request
            let leaf = request.clientCertificates.first.flatMap { try? Certificate(der: $0) }
            asked.withLock {
                $0.append(
                    (request.path, request.headers["x-remote-user"] ?? "", request.headers.values("x-remote-group"), leaf?.subject.commonName ?? ""))
            }
            if request.path.hasSuffix("/exec") {
                await AggregationTests.repeating(exchange)
                return
            }
            let body: String
            switch request.path {
            case "/apis/wardle.example.com/v1":
                body = """
                    {"kind":"APIResourceList","apiVersion":"v1","groupVersion":"wardle.example.com/v1","resources":[
                    {"name":"flunders","singularName":"flunder","namespaced":true,"kind":"Flunder","verbs":["get","list"]},
                    {"name":"flunders/status","singularName":"","namespaced":true,"kind":"Flunder","verbs":["get"]}]}
                    """
            case "/openapi/v3": body = #"{"paths":{"apis/wardle.example.com/v1":{"serverRelativeURL":"/openapi/v3/apis/wardle.example.com/v1?hash=1"}}}"#
            case "/openapi/v3/apis/wardle.example.com/v1": body = #"{"openapi":"3.0.0","info":{"title":"Wardle"}}"#
            case "/openapi/v2": body = #"{"swagger":"2.0","paths":{"/apis/wardle.example.com/v1/":{}},"definitions":{"wardle.Flunder":{"type":"object"}}}"#
            default: body = #"{"kind":"Flunder","apiVersion":"wardle.example.com/v1","metadata":{"name":"f"}}"#
            }
            exchange.respond(status: 200, headers: ["content-type": "application/json"], body: Array(body.utf8))
        }
    }

    /// A session that says everything back, over either protocol.
    private static func repeating(_ exchange: HTTPExchange) async {
        if exchange.request.asksWebSocket {
            guard let socket = try? await exchange.acceptWebSocket(protocols: ["v5.channel.k8s.io"]) else { return exchange.respond(status: 400) }
            while let message = try? await socket.receive() { try? await socket.send(message.bytes) }
            await socket.close()
        } else if let spdy = try? await exchange.acceptSPDY(protocols: ["v4.channel.k8s.io"]) {
            while let stream = await spdy.accept() {
                guard let bytes = try? await stream.read() else { continue }
                try? await stream.write(bytes)
                await stream.closeWrite()
            }
        }
    }

    private func serve(_ fixture: ServerFixture, _ body: (_ backend: Backend) async throws -> Void) async throws {
        let authority = try CertificateAuthority.create(commonName: "wardle")
        let identity = try authority.issueServer(commonName: "wardle", dns: ["wardle.default.svc"], addresses: [])
        let backend = Backend()
        let server = HTTPServer(
            listeners: [.tcp(host: "127.0.0.1", port: 0)], tls: try ServerTLS(identity: identity, requestClientCertificates: true), handler: backend)
        _ = try await server.start()
        let port = Int64(server.port ?? 0)
        let service: Node = [
            "apiVersion": "v1", "kind": "Service", "metadata": ["name": "wardle"],
            "spec": ["type": "ExternalName", "externalName": "127.0.0.1", "ports": [["port": .int(port)]]],
        ]
        #expect(try await fixture.send("POST", "/api/v1/namespaces/default/services", service.jsonText).0 == 201)
        let object: Node = [
            "apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService", "metadata": ["name": "v1.wardle.example.com"],
            "spec": [
                "group": "wardle.example.com", "version": "v1", "groupPriorityMinimum": 2000, "versionPriority": 200,
                "service": ["namespace": "default", "name": "wardle", "port": .int(port)],
                "caBundle": .string(Encoding.base64(authority.identity.certificatePEM)),
            ],
        ]
        let (code, answer) = try await fixture.send("POST", Self.services, object.jsonText)
        #expect(code == 201, "\(answer.jsonText)")
        try await body(backend)
        await server.shutdown(grace: .zero)
    }

    @Test func requestsGoToTheServerWithTheUserInHeaders() async throws {
        let fixture = try await ServerFixture()
        try await serve(fixture) { backend in
            let available = try await fixture.answer(Self.services + "/v1.wardle.example.com") { $1["status"]["conditions"][0]["status"].string == "True" }
            let condition = available["status"]["conditions"][0]
            #expect(condition["status"].string == "True", "\(condition.jsonText)")
            #expect(condition["reason"].string == "Passed")
            let (code, flunder) = try await fixture.send("GET", "/apis/wardle.example.com/v1/namespaces/default/flunders/f?x=1")
            #expect(code == 200)
            #expect(flunder["kind"].string == "Flunder")
            // The aggregator looks after the server meanwhile.
            let last = backend.asked.withLock { $0.last { $0.path == "/apis/wardle.example.com/v1/namespaces/default/flunders/f" } }
            #expect(last?.user == "admin")
            #expect(last?.groups == ["system:masters", "system:authenticated"])
            #expect(last?.certificate == "front-proxy-client")
        }
        await fixture.stop()
    }

    @Test func sessionsGoThroughToTheServer() async throws {
        let fixture = try await ServerFixture()
        try await serve(fixture) { backend in
            _ = try await fixture.answer(Self.services + "/v1.wardle.example.com") { $1["status"]["conditions"][0]["status"].string == "True" }
            let endpoint = HTTPEndpoint(isTLS: false, host: "127.0.0.1", port: fixture.server.port ?? 0)
            let path = "/apis/wardle.example.com/v1/namespaces/default/flunders/f/exec?command=sh"
            let socket = try await fixture.client.webSocket(HTTPClientRequest("GET", endpoint, path), protocols: ["v5.channel.k8s.io"])
            #expect(socket.subprotocol == "v5.channel.k8s.io")
            for text in ["one", "two"] {
                try await socket.send([0], Array(text.utf8))
                #expect(try await socket.receive() == .binary([0] + Array(text.utf8)))
            }
            await socket.close()
            let spdy = try await fixture.client.spdy(HTTPClientRequest("POST", endpoint, path), protocols: ["v4.channel.k8s.io"])
            #expect(spdy.streamProtocol == "v4.channel.k8s.io")
            let stream = try spdy.open(["streamType": "stdin"])
            try await stream.write(Array("three".utf8))
            #expect(try await stream.read() == Array("three".utf8))
            await spdy.close()
            let users = backend.asked.withLock { $0.filter { $0.path.hasSuffix("/exec") }.map(\.user) }
            #expect(users == ["admin", "admin"])
        }
        await fixture.stop()
    }

    @Test func discoveryAndOpenAPIShowWhatTheServerServes() async throws {
        let fixture = try await ServerFixture()
        try await serve(fixture) { _ in
            let accept = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
            var group = Node.null
            for _ in 0..<400 {
                let whole = try await fixture.send("GET", "/apis", accept: accept).1
                group = whole["items"].list.first { $0["metadata"]["name"].string == "wardle.example.com" } ?? .null
                if !group["versions"][0]["resources"].list.isEmpty { break }
                try await Task.sleep(for: .milliseconds(25))
            }
            let resource = group["versions"][0]["resources"][0]
            #expect(resource["resource"].string == "flunders")
            #expect(resource["scope"].string == "Namespaced")
            #expect(resource["subresources"][0]["subresource"].string == "status")
            let legacy = try await fixture.send("GET", "/apis").1
            #expect(legacy["groups"].list.contains { $0["name"].string == "wardle.example.com" })
            #expect(try await fixture.send("GET", "/apis/wardle.example.com").1["preferredVersion"]["version"].string == "v1")
            #expect(try await fixture.send("GET", "/apis/wardle.example.com/v1").1["resources"].list.count == 2)
            let index = try await fixture.answer("/openapi/v3") { !$1["paths"]["apis/wardle.example.com/v1"].isNull }
            let url = index["paths"]["apis/wardle.example.com/v1"]["serverRelativeURL"].string ?? ""
            #expect(try await fixture.send("GET", url).1["info"]["title"].string == "Wardle")
            let protobuf = try await fixture.send("GET", "/openapi/v2", accept: "application/com.github.proto-openapi.spec.v2@v1.0+protobuf").1.string ?? ""
            #expect(protobuf.contains("wardle.Flunder") && protobuf.contains("io.k8s.api.core.v1.Pod"), "the binary form has it too")
            let v2 = try await fixture.send("GET", "/openapi/v2").1
            #expect(!v2["definitions"]["wardle.Flunder"].isNull)
            #expect(!v2["definitions"]["io.k8s.api.core.v1.Pod"].isNull)
        }
        await fixture.stop()
    }

    @Test func withoutItsServiceAGroupIsUnavailable() async throws {
        let fixture = try await ServerFixture()
        let object: Node = [
            "apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService", "metadata": ["name": "v1.gone.example.com"],
            "spec": [
                "group": "gone.example.com", "version": "v1", "groupPriorityMinimum": 2000, "versionPriority": 200, "insecureSkipTLSVerify": true,
                "service": ["namespace": "default", "name": "gone"],
            ],
        ]
        #expect(try await fixture.send("POST", Self.services, object.jsonText).0 == 201)
        let found = try await fixture.answer(Self.services + "/v1.gone.example.com") { !$1["status"]["conditions"].list.isEmpty }
        let condition = found["status"]["conditions"][0]
        #expect(condition["reason"].string == "ServiceNotFound")
        #expect(condition["message"].string == "service/gone in \"default\" is not present")
        let (code, answer) = try await fixture.send("GET", "/apis/gone.example.com/v1/things")
        #expect(code == 503)
        #expect(answer.string == "service unavailable\n")
        let local = try await fixture.answer(Self.services + "/v1.apps") { !$1["status"]["conditions"].list.isEmpty }
        #expect(local["status"]["conditions"][0]["reason"].string == "Local")
        #expect(local["spec"]["groupPriorityMinimum"].int == 17800)
        await fixture.stop()
    }
}
