import Core
import Machinery
import Testing
import Transport
import Tree

/// Webhooks over real TLS connections, asked by a real API server.
@Suite struct AdmissionWebhookTests {
    private static let maps = "/api/v1/namespaces/default/configmaps"
    private static let configurations = "/apis/admissionregistration.k8s.io/v1/"

    private static func map(_ name: String, _ data: [String: String] = [:], labels: [String: String] = [:]) -> String {
        let node: Node = ["apiVersion": "v1", "kind": "ConfigMap", "metadata": ["name": .string(name), "labels": Node(labels)], "data": Node(data)]
        return node.jsonText
    }

    private struct Hook {
        var name = "hook.example.com"
        var kind = "Validating"
        var operations = ["CREATE", "UPDATE", "DELETE"]
        var group = ""
        var versions = ["v1"]
        var resources = ["configmaps"]
        var extra: Node = [:]

        /// `client`: `url` and `caBundle`, or `service`.
        func install(_ fixture: ServerFixture, _ client: Node) async throws {
            var webhook: Node = [
                "name": .string(name), "clientConfig": client, "sideEffects": "None", "admissionReviewVersions": ["v1", "v1beta1"],
                "rules": [["operations": Node(operations), "apiGroups": [.string(group)], "apiVersions": Node(versions), "resources": Node(resources)]],
            ]
            for (key, value) in extra.fields { webhook[key] = value }
            let configuration: Node = [
                "apiVersion": "admissionregistration.k8s.io/v1", "kind": .string("\(kind)WebhookConfiguration"), "metadata": ["name": .string(name)],
                "webhooks": [webhook],
            ]
            let (code, answer) = try await fixture.send(
                "POST", AdmissionWebhookTests.configurations + "\(kind.lowercased())webhookconfigurations", configuration.jsonText)
            #expect(code == 201, "\(answer.jsonText)")
        }
    }

    private static func url(_ port: Int, _ authority: String, _ path: String = "/check") -> Node {
        ["url": .string("https://127.0.0.1:\(port)\(path)"), "caBundle": .string(authority)]
    }

    @Test func aRefusalReachesTheClientInTheWebhooksWords() async throws {
        let fixture = try await ServerFixture()
        let backend = WebhookBackend { _, document in
            let isBad = !document["request"]["object"]["data"]["bad"].isNull || document["request"]["operation"].string == "DELETE"
            return WebhookBackend.review(document, allowed: !isBad, message: isBad ? "it is bad" : nil, warnings: ["mind the gap"])
        }
        try await backend.serve { port, authority in
            try await Hook().install(fixture, Self.url(port, authority))
            #expect(try await fixture.send("POST", Self.maps, Self.map("good")).0 == 201)
            let (code, refusal) = try await fixture.send("POST", Self.maps + "?fieldManager=me", Self.map("b", ["bad": "1"]))
            #expect(code == 403)
            #expect(refusal["message"].string == "admission webhook \"hook.example.com\" denied the request: it is bad")
            #expect(refusal["reason"].string == "Forbidden")
            let (deleting, _) = try await fixture.send("DELETE", Self.maps + "/good")
            #expect(deleting == 403)
        }
        let asked = backend.documents.map { $0["request"] }
        #expect(asked.map { $0["operation"].string } == ["CREATE", "CREATE", "DELETE"])
        #expect(backend.paths.allSatisfy { $0 == "/check" })
        #expect(asked[1]["kind"] == ["group": "", "version": "v1", "kind": "ConfigMap"])
        #expect(asked[1]["resource"] == ["group": "", "version": "v1", "resource": "configmaps"])
        #expect(asked[1]["options"]["kind"].string == "CreateOptions")
        #expect(asked[1]["options"]["fieldManager"].string == "me")
        #expect(asked[1]["userInfo"]["username"].string == "admin")
        #expect(asked[1]["dryRun"] == false)
        #expect(asked[2]["object"].isNull)
        #expect(asked[2]["oldObject"]["metadata"]["name"].string == "good")
        #expect(backend.connectionCount == 1)
        await fixture.stop()
    }

    @Test func whatAWebhookChangesIsStoredWithDefaultsAndWithoutUnknownFields() async throws {
        let fixture = try await ServerFixture()
        let backend = WebhookBackend { _, document in
            WebhookBackend.review(
                document,
                patch: [
                    ["op": "add", "path": "/spec/initContainers", "value": [["image": "x", "name": "added", "resources": [:], "nonsense": 1]]],
                ])
        }
        try await backend.serve { port, authority in
            var hook = Hook(kind: "Mutating")
            hook.resources = ["pods"]
            try await hook.install(fixture, Self.url(port, authority))
            let account: Node = ["apiVersion": "v1", "kind": "ServiceAccount", "metadata": ["name": "default"]]
            _ = try await fixture.send("POST", "/api/v1/namespaces/default/serviceaccounts", account.jsonText)
            let pod: Node = ["apiVersion": "v1", "kind": "Pod", "metadata": ["generateName": "p-"], "spec": ["containers": [["name": "c", "image": "i"]]]]
            let (code, made) = try await fixture.send("POST", "/api/v1/namespaces/default/pods", pod.jsonText)
            #expect(code == 201, "\(made.jsonText)")
            let added = made["spec"]["initContainers"][0]
            #expect(added["terminationMessagePolicy"].string == "File")
            #expect(added["nonsense"].isNull)
            // The service account's token is mounted in the second round.
            #expect(added["volumeMounts"][0]["mountPath"].string == "/var/run/secrets/kubernetes.io/serviceaccount")
        }
        #expect(backend.documents.count == 1)
        let asked = backend.documents[0]["request"]
        #expect(asked["name"].isNull)
        #expect(asked["object"]["metadata"]["uid"].isNull)
        await fixture.stop()
    }

    @Test func webhooksAreAskedAgainAfterLaterOnesChangeTheObject() async throws {
        let fixture = try await ServerFixture()
        let backend = WebhookBackend { path, document in
            let data = document["request"]["object"]["data"]
            guard data[path == "/a" ? "a" : "b"].isNull else { return WebhookBackend.review(document) }
            return WebhookBackend.review(document, patch: [["op": "add", "path": .string("/data\(path)"), "value": "1"]])
        }
        try await backend.serve { port, authority in
            for name in ["a", "b"] {
                var hook = Hook(name: "\(name).example.com", kind: "Mutating")
                if name == "a" { hook.extra = ["reinvocationPolicy": "IfNeeded"] }
                try await hook.install(fixture, Self.url(port, authority, "/\(name)"))
            }
            let (_, made) = try await fixture.send("POST", Self.maps, Self.map("m", ["x": "1"]))
            #expect(made["data"] == ["x": "1", "a": "1", "b": "1"])
        }
        #expect(backend.paths == ["/a", "/b", "/a"])
        await fixture.stop()
    }

    @Test func aWebhookThatCannotBeReachedFailsAsItsPolicySays() async throws {
        let fixture = try await ServerFixture()
        let backend = WebhookBackend { path, document in
            if path == "/slow" { try? await Task.sleep(for: .seconds(5)) }
            return path == "/broken" ? nil : WebhookBackend.review(document)
        }
        try await backend.serve { port, authority in
            func attempt(_ path: String, _ extra: Node, authority: String) async throws -> (Int, String) {
                var hook = Hook()
                hook.extra = extra
                try await hook.install(fixture, Self.url(port, authority, path))
                let (code, answer) = try await fixture.send("POST", Self.maps, Self.map("m"))
                _ = try await fixture.send("DELETE", Self.configurations + "validatingwebhookconfigurations/hook.example.com")
                _ = try await fixture.send("DELETE", Self.maps + "/m")
                return (code, answer["message"].string ?? "")
            }
            let before = "Internal error occurred: failed calling webhook \"hook.example.com\": failed to call webhook: "
            let slow = try await attempt("/slow", ["timeoutSeconds": 1], authority: authority)
            #expect(slow.0 == 500)
            #expect(slow.1 == before + "Post \"https://127.0.0.1:\(port)/slow?timeout=1s\": context deadline exceeded")
            #expect(try await attempt("/slow", ["timeoutSeconds": 1, "failurePolicy": "Ignore"], authority: authority).0 == 201)
            let broken = try await attempt("/broken", [:], authority: authority)
            #expect(broken.1 == before + "an error on the server (\"out of order\") has prevented the request from succeeding")
            let stranger = Encoding.base64(try CertificateAuthority.create(commonName: "stranger").identity.certificatePEM)
            let untrusted = try await attempt("/check", [:], authority: stranger)
            #expect(untrusted.1.hasSuffix("tls: failed to verify certificate: x509: certificate signed by unknown authority"), "\(untrusted.1)")
        }
        await fixture.stop()
    }

    @Test func aServiceIsResolvedToItsAddressAndAskedByItsName() async throws {
        let fixture = try await ServerFixture()
        let backend = WebhookBackend { _, document in WebhookBackend.review(document, allowed: false) }
        try await backend.serve { port, authority in
            let client: Node = [
                "service": ["namespace": "default", "name": "webhook", "path": "/deny", "port": .int(Int64(port))], "caBundle": .string(authority),
            ]
            try await Hook().install(fixture, client)
            let (code, missing) = try await fixture.send("POST", Self.maps, Self.map("m"))
            #expect(code == 500)
            #expect(missing["message"].string?.hasSuffix("?timeout=10s\": services \"webhook\" not found") == true, "\(missing.jsonText)")
            let service: Node = [
                "apiVersion": "v1", "kind": "Service", "metadata": ["name": "webhook"],
                "spec": ["type": "ExternalName", "externalName": "127.0.0.1", "ports": [["port": .int(Int64(port))]]],
            ]
            #expect(try await fixture.send("POST", "/api/v1/namespaces/default/services", service.jsonText).0 == 201)
            let (refused, answer) = try await fixture.send("POST", Self.maps, Self.map("m"))
            #expect(refused == 400)
            #expect(answer["message"].string == "admission webhook \"hook.example.com\" denied the request without explanation")
        }
        #expect(backend.paths == ["/deny"])
        await fixture.stop()
    }

    @Test func selectorsEquivalentVersionsAndDryRunDecideWhoIsAsked() async throws {
        let fixture = try await ServerFixture()
        let backend = WebhookBackend { _, document in WebhookBackend.review(document, allowed: false) }
        try await backend.serve { port, authority in
            var hook = Hook(name: "labelled.example.com")
            hook.extra = ["objectSelector": ["matchLabels": ["ask": "yes"]], "sideEffects": "NoneOnDryRun"]
            try await hook.install(fixture, Self.url(port, authority))
            #expect(try await fixture.send("POST", Self.maps, Self.map("m")).0 == 201)
            #expect(try await fixture.send("POST", Self.maps, Self.map("n", labels: ["ask": "yes"])).0 == 400)
            #expect(try await fixture.send("POST", Self.maps + "?dryRun=All", Self.map("n", labels: ["ask": "yes"])).0 == 400)
            #expect(backend.documents.map { $0["request"]["dryRun"].bool } == [false, true])
            var events = Hook(name: "events.example.com")
            events.group = "events.k8s.io"
            events.resources = ["events"]
            try await events.install(fixture, Self.url(port, authority))
            let event: Node = [
                "apiVersion": "v1", "kind": "Event", "metadata": ["name": "e"], "involvedObject": ["kind": "Pod", "namespace": "default"], "message": "hello",
            ]
            #expect(try await fixture.send("POST", "/api/v1/namespaces/default/events", event.jsonText).0 == 400)
            let asked = backend.documents.last?["request"] ?? .null
            #expect(asked["resource"]["group"].string == "events.k8s.io")
            #expect(asked["requestResource"]["group"].string == "")
            #expect(asked["object"]["note"].string == "hello")
        }
        await fixture.stop()
    }

    @Test func configurationsOfAdmissionAreNeverStopped() async throws {
        let fixture = try await ServerFixture()
        let backend = WebhookBackend { _, document in WebhookBackend.review(document, allowed: false) }
        try await backend.serve { port, authority in
            var hook = Hook(group: "*", versions: ["*"], resources: ["*/*"])
            hook.operations = ["*"]
            try await hook.install(fixture, Self.url(port, authority))
            #expect(try await fixture.send("DELETE", Self.configurations + "validatingwebhookconfigurations/hook.example.com").0 == 200)
        }
        // The server's own writes may have been asked about meanwhile.
        #expect(!backend.documents.contains { $0["request"]["kind"]["group"].string == "admissionregistration.k8s.io" })
        await fixture.stop()
    }
}
