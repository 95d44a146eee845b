import APIServer
import Core
import Machinery
import Store
import Testing
import Transport
import Tree

/// How long requests may take, and watches over WebSocket.
@Suite struct RequestTimeTests {
    @Test func aClientsTimeEndsARequestThatWaits() async throws {
        let backend = WebhookBackend { _, document in
            try? await Task.sleep(for: .seconds(2))
            return WebhookBackend.review(document, warnings: ["too slow"])
        }
        try await backend.serve { port, authority in
            let fixture = try await ServerFixture()
            let hook: Node = [
                "kind": "ValidatingWebhookConfiguration", "apiVersion": "admissionregistration.k8s.io/v1", "metadata": ["name": "slow"],
                "webhooks": [
                    [
                        "name": "slow.example.com", "sideEffects": "None", "admissionReviewVersions": ["v1"], "timeoutSeconds": 10,
                        "clientConfig": ["url": .string("https://127.0.0.1:\(port)/slow"), "caBundle": .string(authority)],
                        "rules": [["operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"]]],
                    ],
                ],
            ]
            let path = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations"
            #expect(try await fixture.send("POST", path, hook.jsonText).0 == 201)
            let configMap = #"{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"late"}}"#
            let (code, status) = try await fixture.send("POST", "/api/v1/namespaces/default/configmaps?timeout=300ms", configMap)
            #expect(code == 504)
            #expect(status["reason"].string == "Timeout")
            #expect(status["message"].string == "Timeout: request did not complete within the allotted timeout")
            // What was refused in time is not done later.
            try await Task.sleep(for: .milliseconds(2500))
            #expect(try await fixture.send("GET", "/api/v1/namespaces/default/configmaps/late").0 == 404)
            // With time enough it is made, and what the webhook warns of is a header.
            let answer = try await fixture.raw("POST", "/api/v1/namespaces/default/configmaps?timeout=30s", configMap)
            #expect(answer.status == 201)
            #expect(answer.headers["warning"] == "299 - \"too slow\"")
            await fixture.stop()
        }
    }

    @Test func aTimeThatIsNoneIsRefused() async throws {
        let fixture = try await ServerFixture()
        let (code, status) = try await fixture.send("GET", "/api/v1/namespaces?timeout=soon")
        #expect(code == 400)
        #expect(status["message"].string == "invalid timeout specified in the request URL - time: invalid duration \"soon\"")
        #expect(try await fixture.send("GET", "/api/v1/namespaces?timeout=0s").0 == 200)
        #expect(try await fixture.send("GET", "/api/v1/namespaces?timeout=10m").0 == 200)
        await fixture.stop()
    }

    private func watch(_ fixture: ServerFixture, _ path: String, accept: String? = nil, protocols: [String] = []) async throws -> WebSocket {
        var headers: HTTPHeaders = ["Origin": "http://localhost"]
        if let accept { headers.append("Accept", accept) }
        let endpoint = HTTPEndpoint(isTLS: false, host: "127.0.0.1", port: fixture.server.port ?? 0)
        return try await fixture.client.webSocket(HTTPClientRequest("GET", endpoint, path, headers: headers), protocols: protocols)
    }

    @Test func aWatchOverWebSocketSendsAnEventAMessage() async throws {
        let fixture = try await ServerFixture()
        _ = try await fixture.send("POST", "/api/v1/namespaces/default/configmaps", #"{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"a"}}"#)
        let socket = try await watch(fixture, "/api/v1/namespaces/default/configmaps?watch=1")
        guard case .text(let first)? = try await socket.receive() else {
            Issue.record("no text")
            return
        }
        let event = try JSONReader.read(first)
        #expect(event["type"].string == "ADDED" && event["object"]["metadata"]["name"].string == "a")
        _ = try await fixture.send("DELETE", "/api/v1/namespaces/default/configmaps/a")
        let second = try JSONReader.read(try #require(try await socket.receive()).bytes)
        #expect(second["type"].string == "DELETED")
        await socket.close()
        await fixture.stop()
    }

    @Test func aWatchOverWebSocketEndsInTimeAndSpeaksProtobuf() async throws {
        let fixture = try await ServerFixture()
        _ = try await fixture.send("POST", "/api/v1/namespaces/default/configmaps", #"{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"a"}}"#)
        let socket = try await watch(
            fixture, "/api/v1/namespaces/default/configmaps?watch=1&timeoutSeconds=1", accept: "application/vnd.kubernetes.protobuf;stream=watch", protocols: ["anything"])
        #expect(socket.subprotocol == "anything")
        guard case .binary(let first)? = try await socket.receive() else {
            Issue.record("no bytes")
            return
        }
        // The first field of a WatchEvent is its type: no length stands before it.
        #expect(Array(first.prefix(7)) == [0x0A, 0x05] + Array("ADDED".utf8))
        #expect(try await socket.receive() == nil)
        await fixture.stop()
    }
}
