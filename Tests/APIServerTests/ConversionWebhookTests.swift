import Core
import Machinery
import Synchronization
import Testing
import Transport
import Tree

/// Custom resources whose versions a webhook converts: v1 has `hostPort`, v2 `host` and `port`.
@Suite struct ConversionWebhookTests {
    private static let path = "/apis/stable.example.com/"

    private static func definition(_ client: Node, storage: String) -> Node {
        func version(_ name: String, _ properties: Node) -> Node {
            [
                "name": .string(name), "served": true, "storage": .bool(name == storage),
                "schema": ["openAPIV3Schema": ["type": "object", "properties": properties]],
            ]
        }
        return [
            "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": ["name": "places.stable.example.com"],
            "spec": [
                "group": "stable.example.com", "scope": "Namespaced", "names": ["plural": "places", "kind": "Place"],
                "versions": [
                    version("v1", ["hostPort": ["type": "string"]]), version("v2", ["host": ["type": "string"], "port": ["type": "string"]]),
                ],
                "conversion": ["strategy": "Webhook", "webhook": ["clientConfig": client, "conversionReviewVersions": ["v1"]]],
            ],
        ]
    }

    private static func convert(_ document: Node) -> Node {
        let request = document["request"]
        let wanted = request["desiredAPIVersion"].string ?? ""
        let objects = request["objects"].list.map { object -> Node in
            var out = object
            out["apiVersion"] = .string(wanted)
            if wanted.hasSuffix("v2") {
                let parts = (object["hostPort"].string ?? ":").split(separator: ":").map(String.init)
                out.remove("hostPort")
                out["host"] = .string(parts[0])
                out["port"] = .string(parts[1])
            } else {
                out.remove("host")
                out.remove("port")
                out["hostPort"] = .string("\(object["host"].string ?? ""):\(object["port"].string ?? "")")
            }
            return out
        }
        return [
            "kind": "ConversionReview", "apiVersion": document["apiVersion"],
            "response": ["uid": request["uid"], "convertedObjects": .list(objects), "result": ["status": "Success"]],
        ]
    }

    @Test func objectsAreReadListedAndWatchedInTheVersionAskedFor() async throws {
        let fixture = try await ServerFixture()
        let backend = WebhookBackend { _, document in Self.convert(document) }
        try await backend.serve { port, authority in
            let client: Node = ["url": .string("https://127.0.0.1:\(port)/convert"), "caBundle": .string(authority)]
            let (made, refusal) = try await fixture.send(
                "POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", Self.definition(client, storage: "v1").jsonText)
            #expect(made == 201, "\(refusal.jsonText)")
            _ = try await fixture.answer(Self.path + "v2") { code, _ in code == 200 }
            let one = "{\"apiVersion\":\"stable.example.com/v1\",\"kind\":\"Place\",\"metadata\":{\"name\":\"one\",\"labels\":{\"a\":\"b\"}},\"hostPort\":\"h:80\"}"
            let two = "{\"apiVersion\":\"stable.example.com/v2\",\"kind\":\"Place\",\"metadata\":{\"name\":\"two\"},\"host\":\"g\",\"port\":\"81\"}"
            #expect(try await fixture.send("POST", Self.path + "v1/namespaces/default/places", one).0 == 201)
            let (created, answer) = try await fixture.send("POST", Self.path + "v2/namespaces/default/places", two)
            #expect(created == 201, "\(answer.jsonText)")
            #expect(answer["host"].string == "g")
            #expect(answer["apiVersion"].string == "stable.example.com/v2")
            let read = try await fixture.send("GET", Self.path + "v2/namespaces/default/places/one").1
            #expect(read["host"].string == "h")
            #expect(read["port"].string == "80")
            #expect(read["metadata"]["labels"]["a"].string == "b")
            let list = try await fixture.send("GET", Self.path + "v2/namespaces/default/places").1
            #expect(list["items"].list.map { $0["host"].string } == ["h", "g"])
            #expect(list["items"].list.allSatisfy { $0["apiVersion"].string == "stable.example.com/v2" })
            let old = try await fixture.send("GET", Self.path + "v1/namespaces/default/places").1
            #expect(old["items"].list.map { $0["hostPort"].string } == ["h:80", "g:81"])
            let patched = try await fixture.send(
                "PATCH", Self.path + "v2/namespaces/default/places/one", "{\"port\":\"82\"}", type: "application/merge-patch+json").1
            #expect(patched["port"].string == "82")
            #expect(try await fixture.send("GET", Self.path + "v1/namespaces/default/places/one").1["hostPort"].string == "h:82")
            let frames = try await Self.watch(fixture, Self.path + "v2/namespaces/default/places?watch=1&timeoutSeconds=1")
            #expect(frames.map { $0["object"]["host"].string } == ["h", "g"])
        }
        await fixture.stop()
    }

    @Test func aNewStorageVersionLeavesWhatIsStoredReadable() async throws {
        let fixture = try await ServerFixture()
        let backend = WebhookBackend { _, document in Self.convert(document) }
        try await backend.serve { port, authority in
            let client: Node = ["url": .string("https://127.0.0.1:\(port)/convert"), "caBundle": .string(authority)]
            let definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
            _ = try await fixture.send("POST", definitions, Self.definition(client, storage: "v1").jsonText)
            _ = try await fixture.answer(Self.path + "v2") { code, _ in code == 200 }
            let one = "{\"apiVersion\":\"stable.example.com/v1\",\"kind\":\"Place\",\"metadata\":{\"name\":\"one\"},\"hostPort\":\"h:80\"}"
            #expect(try await fixture.send("POST", Self.path + "v1/namespaces/default/places", one).0 == 201)
            let patch = "[{\"op\":\"replace\",\"path\":\"/spec/versions/0/storage\",\"value\":false},{\"op\":\"replace\",\"path\":\"/spec/versions/1/storage\",\"value\":true}]"
            #expect(try await fixture.send("PATCH", definitions + "/places.stable.example.com", patch, type: "application/json-patch+json").0 == 200)
            let status = try await fixture.answer(definitions + "/places.stable.example.com") { $1["status"]["storedVersions"].list.count == 2 }
            #expect(status["status"]["storedVersions"] == ["v1", "v2"])
            let two = "{\"apiVersion\":\"stable.example.com/v2\",\"kind\":\"Place\",\"metadata\":{\"name\":\"two\"},\"host\":\"g\",\"port\":\"81\"}"
            #expect(try await fixture.send("POST", Self.path + "v2/namespaces/default/places", two).0 == 201)
            let list = try await fixture.send("GET", Self.path + "v2/namespaces/default/places").1
            #expect(list["items"].list.map { $0["host"].string } == ["h", "g"])
            let old = try await fixture.send("GET", Self.path + "v1/namespaces/default/places").1
            #expect(old["items"].list.map { $0["hostPort"].string } == ["h:80", "g:81"])
        }
        await fixture.stop()
    }

    @Test func ownersOfOneVersionAreAskedAboutChangesInAnother() async throws {
        let fixture = try await ServerFixture()
        let backend = WebhookBackend { _, document in Self.convert(document) }
        try await backend.serve { port, authority in
            let client: Node = ["url": .string("https://127.0.0.1:\(port)/convert"), "caBundle": .string(authority)]
            _ = try await fixture.send("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", Self.definition(client, storage: "v1").jsonText)
            _ = try await fixture.answer(Self.path + "v2") { code, _ in code == 200 }
            func apply(_ version: String, _ manager: String, _ fields: String, force: Bool = false) async throws -> (Int, Node) {
                try await fixture.send(
                    "PATCH", Self.path + "\(version)/namespaces/default/places/p?fieldManager=\(manager)&force=\(force)",
                    #"{"apiVersion":"stable.example.com/\#(version)","kind":"Place",\#(fields)}"#, type: "application/apply-patch+yaml")
            }
            #expect(try await apply("v1", "a", #""hostPort":"h:80""#).0 == 201)
            // The same outcome in the other version takes nothing from anybody.
            let (same, shared) = try await apply("v2", "b", #""host":"h","port":"80""#)
            #expect(same == 200, "\(shared)")
            #expect(Set(shared["metadata"]["managedFields"].list.map { "\($0["manager"].string ?? "") \($0["apiVersion"].string ?? "")" }) == ["a stable.example.com/v1", "b stable.example.com/v2"])
            // Another one is a conflict about the field as its owner knows it.
            let (code, conflict) = try await apply("v2", "c", #""host":"g""#)
            #expect(code == 409)
            #expect(conflict["details"]["causes"].list.contains { $0["field"].string == ".hostPort" || $0["field"].string == ".host" }, "\(conflict)")
            #expect(try await apply("v2", "b", #""host":"g","port":"80""#).0 == 409, "a still owns hostPort")
            let (forced, taken) = try await apply("v2", "b", #""host":"g","port":"80""#, force: true)
            #expect(forced == 200, "\(taken)")
            #expect(taken["host"].string == "g")
            #expect(taken["metadata"]["managedFields"].list.map { $0["manager"].string } == ["b"])
            // A plain update through one version takes what it changes from an owner of the other.
            let (updated, after) = try await fixture.send(
                "PATCH", Self.path + "v1/namespaces/default/places/p?fieldManager=d", #"{"hostPort":"k:80"}"#, type: "application/merge-patch+json")
            #expect(updated == 200, "\(after)")
            let owners = after["metadata"]["managedFields"].list
            #expect(owners.first { $0["manager"].string == "b" }?["fieldsV1"] == ["f:port": [:]], "\(owners)")
            #expect(owners.contains { $0["manager"].string == "d" && $0["apiVersion"].string == "stable.example.com/v1" })
        }
        await fixture.stop()
    }

    @Test func aWebhookThatChangesWhatIsNotItsIsRefused() async throws {
        let fixture = try await ServerFixture()
        let backend = WebhookBackend { _, document in
            var answer = Self.convert(document)
            answer["response"]["convertedObjects"][0]["metadata"]["name"] = "other"
            return answer
        }
        try await backend.serve { port, authority in
            let client: Node = ["url": .string("https://127.0.0.1:\(port)/convert"), "caBundle": .string(authority)]
            _ = try await fixture.send("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", Self.definition(client, storage: "v1").jsonText)
            _ = try await fixture.answer(Self.path + "v1") { code, _ in code == 200 }
            let one = "{\"apiVersion\":\"stable.example.com/v1\",\"kind\":\"Place\",\"metadata\":{\"name\":\"one\"},\"hostPort\":\"h:80\"}"
            #expect(try await fixture.send("POST", Self.path + "v1/namespaces/default/places", one).0 == 201)
            let (code, answer) = try await fixture.send("GET", Self.path + "v2/namespaces/default/places/one")
            #expect(code == 500)
            #expect(answer["message"].string?.hasSuffix("must have the same name: one != other") == true, "\(answer.jsonText)")
        }
        await fixture.stop()
    }

    private static func watch(_ fixture: ServerFixture, _ path: String) async throws -> [Node] {
        let request = HTTPClientRequest("GET", HTTPEndpoint(isTLS: false, host: "127.0.0.1", port: fixture.server.port ?? 0), path)
        let bytes = try await fixture.client.send(request).body()
        return try bytes.split(separator: 0x0A).map { try JSONReader.read(Array($0)) }
    }
}
