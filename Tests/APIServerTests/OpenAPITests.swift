import Client
import Core
import Machinery
import Schema
import Store
import Synchronization
import Testing
import Tree

@testable import APIServer

/// Documents of what definitions add while the server runs.
@Suite struct OpenAPITests {
    private static let path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    private static let protobuf = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"

    private func definition(_ plural: String, _ kind: String, field: String = "mast") -> String {
        """
        {"kind":"CustomResourceDefinition","apiVersion":"apiextensions.k8s.io/v1","metadata":{"name":"\(plural).example.com"},"spec":{"group":"example.com","scope":"Namespaced",
        "names":{"plural":"\(plural)","singular":"\(kind.lowercased())","kind":"\(kind)","listKind":"\(kind)List"},
        "versions":[{"name":"v1","served":true,"storage":true,"subresources":{"status":{},"scale":{"specReplicasPath":".spec.crew","statusReplicasPath":".status.crew"}},
        "schema":{"openAPIV3Schema":{"type":"object","properties":{"spec":{"type":"object","properties":{
        "crew":{"type":"integer"},"port":{"x-kubernetes-int-or-string":true},"\(field)":{"type":"string","maxLength":3,"description":"what carries the sails","title":"Mast","x-kubernetes-validations":[{"rule":"self != 'bad'","message":"not that one"}]}}}}}}}]}}
        """
    }

    private func references(_ node: Node) -> Set<String> {
        switch node {
        case .map(let fields):
            fields.reduce(into: Set()) { found, entry in
                if entry.key == "$ref", let text = entry.value.string { found.insert(text) } else { found.formUnion(references(entry.value)) }
            }
        case .list(let items): items.reduce(into: Set()) { $0.formUnion(references($1)) }
        default: []
        }
    }

    @Test func everyDefinitionIsInAllDocumentsAndEveryReferenceLeadsSomewhere() async throws {
        let fixture = try await ServerFixture()
        for (plural, kind) in [("boats", "Boat"), ("rafts", "Raft")] {
            #expect(try await fixture.send("POST", OpenAPITests.path, definition(plural, kind)).0 == 201)
            _ = try await fixture.answer("/apis/example.com/v1/\(plural)") { code, _ in code == 200 }
        }
        let v3 = try await fixture.send("GET", "/openapi/v3/apis/example.com/v1").1
        let schemas = v3["components"]["schemas"]
        for reference in references(v3) { #expect(schemas.has(String(reference.dropFirst("#/components/schemas/".count))), "\(reference)") }
        let v2 = try await fixture.send("GET", "/openapi/v2").1
        for reference in references(v2) {
            let steps = reference.split(separator: "/").map(String.init)
            #expect(v2[steps[1]].has(steps[2]), "\(reference)")
        }
        let text = try await fixture.send("GET", "/openapi/v2", accept: OpenAPITests.protobuf).1.string ?? ""
        for (plural, kind) in [("boats", "Boat"), ("rafts", "Raft")] {
            let path = "/apis/example.com/v1/namespaces/{namespace}/\(plural)/{name}/scale"
            #expect(schemas["com.example.v1.\(kind)"]["properties"]["spec"]["properties"]["mast"]["maxLength"] == 3)
            #expect(v2["definitions"].has("com.example.v1.\(kind)List"))
            // What only documents tell is read again from the definition.
            for documented in [schemas, v2["definitions"]] {
                let mast = documented["com.example.v1.\(kind)"]["properties"]["spec"]["properties"]["mast"]
                #expect(mast["description"] == "what carries the sails" && mast["title"] == "Mast")
            }
            #expect(v3["paths"].has(path) && v2["paths"].has(path) && text.contains(path))
        }
        await fixture.stop()
    }

    @Test func aChangedDefinitionChangesItsDocumentAndNoOther() async throws {
        let fixture = try await ServerFixture()
        #expect(try await fixture.send("POST", OpenAPITests.path, definition("boats", "Boat")).0 == 201)
        let before = try await fixture.answer("/openapi/v3") { _, node in node["paths"].has("apis/example.com/v1") }["paths"]
        let object = try await fixture.answer(OpenAPITests.path + "/boats.example.com") { _, node in !node["status"]["storedVersions"].isNull }
        var changed = try Node(json: definition("boats", "Boat", field: "keel"))
        changed["metadata"]["resourceVersion"] = object["metadata"]["resourceVersion"]
        #expect(try await fixture.send("PUT", OpenAPITests.path + "/boats.example.com", changed.jsonText).0 == 200)
        let after = try await fixture.answer("/openapi/v3") { _, node in node["paths"]["apis/example.com/v1"] != before["apis/example.com/v1"] }["paths"]
        for (path, value) in after.fields where path != "apis/example.com/v1" { #expect(before[path] == value, "\(path)") }
        let v3 = try await fixture.send("GET", "/openapi/v3/apis/example.com/v1").1
        let spec = v3["components"]["schemas"]["com.example.v1.Boat"]["properties"]["spec"]["properties"]
        #expect(spec.has("keel") && !spec.has("mast"))
        await fixture.stop()
    }

    private func resource(_ plural: String, in fixture: ServerFixture) throws -> ServedResource {
        try #require(fixture.catalog.resource(GroupVersionResource(group: "example.com", version: "v1", resource: plural)))
    }

    private func replace(_ plural: String, _ kind: String, field: String, in fixture: ServerFixture) async throws {
        let object = try await fixture.answer("\(OpenAPITests.path)/\(plural).example.com") { _, node in !node["status"]["storedVersions"].isNull }
        var changed = try Node(json: definition(plural, kind, field: field))
        changed["metadata"]["resourceVersion"] = object["metadata"]["resourceVersion"]
        #expect(try await fixture.send("PUT", "\(OpenAPITests.path)/\(plural).example.com", changed.jsonText).0 == 200)
    }

    @Test func aChangedDefinitionMakesItsOwnPieceAgainAndNoOther() async throws {
        let fixture = try await ServerFixture()
        for (plural, kind) in [("boats", "Boat"), ("rafts", "Raft")] {
            #expect(try await fixture.send("POST", OpenAPITests.path, definition(plural, kind)).0 == 201)
            _ = try await fixture.answer("/apis/example.com/v1/\(plural)") { code, _ in code == 200 }
        }
        for path in ["/openapi/v3/apis/example.com/v1", "/openapi/v2"] { _ = try await fixture.send("GET", path) }
        let before = (boats: try resource("boats", in: fixture), rafts: try resource("rafts", in: fixture))
        let pieces = before.rafts.pieces.withLock { $0 }
        #expect(Set(pieces.keys) == [.v2, .v3])
        try await replace("boats", "Boat", field: "keel", in: fixture)
        for path in ["/openapi/v3/apis/example.com/v1", "/openapi/v2"] {
            _ = try await fixture.answer(path) { _, node in
                let kept = path.contains("v3") ? node["components"]["schemas"] : node["definitions"]
                return kept["com.example.v1.Boat"]["properties"]["spec"]["properties"].has("keel")
            }
        }
        #expect(try resource("boats", in: fixture) !== before.boats)
        let after = try resource("rafts", in: fixture).pieces.withLock { $0 }
        for (form, piece) in pieces { #expect(after[form] === piece) }
        await fixture.stop()
    }

    @Test func aChangeOfTheStatusAloneLeavesTheResourceAsItIs() async throws {
        let fixture = try await ServerFixture()
        #expect(try await fixture.send("POST", OpenAPITests.path, definition("boats", "Boat")).0 == 201)
        _ = try await fixture.answer("/apis/example.com/v1/boats") { code, _ in code == 200 }
        let first = try resource("boats", in: fixture)
        _ = try await fixture.answer(OpenAPITests.path + "/boats.example.com") { _, node in !node["status"]["storedVersions"].isNull }
        // Definitions are settled in the order of their changes: when this one is served, the other's status was seen.
        #expect(try await fixture.send("POST", OpenAPITests.path, definition("rafts", "Raft")).0 == 201)
        _ = try await fixture.answer("/apis/example.com/v1/rafts") { code, _ in code == 200 }
        #expect(try resource("boats", in: fixture) === first)
        await fixture.stop()
    }

    @Test func aWatchDoesNotHoldOnToWhatADefinitionSaidWhenItBegan() async throws {
        let fixture = try await ServerFixture()
        #expect(try await fixture.send("POST", OpenAPITests.path, definition("boats", "Boat")).0 == 201)
        _ = try await fixture.answer("/apis/example.com/v1/boats") { code, _ in code == 200 }
        weak var first = try resource("boats", in: fixture)
        let gvr = GroupVersionResource(group: "example.com", version: "v1", resource: "boats")
        let events = fixture.inside.watch(gvr, ListOptions(), from: fixture.store.currentRevision)
        try await replace("boats", "Boat", field: "keel", in: fixture)
        for _ in 0..<500 where first != nil { try await Task.sleep(for: .milliseconds(10)) }
        #expect(first == nil)
        _ = try await fixture.inside.create(gvr, namespace: "default", ["metadata": ["name": "ark"], "spec": ["keel": "oak"]])
        for try await event in events {
            guard case .added(let boat) = event else { continue }
            #expect(boat.name == "ark" && boat["spec"]["keel"] == "oak")
            break
        }
        await fixture.stop()
    }

    @Test func rulesHoldFromTheFirstObjectOn() async throws {
        let fixture = try await ServerFixture()
        #expect(try await fixture.send("POST", OpenAPITests.path, definition("boats", "Boat")).0 == 201)
        _ = try await fixture.answer("/apis/example.com/v1/boats") { code, _ in code == 200 }
        func boat(_ mast: String) -> String { #"{"kind":"Boat","apiVersion":"example.com/v1","metadata":{"name":"\#(mast)"},"spec":{"mast":"\#(mast)"}}"# }
        let (code, refused) = try await fixture.send("POST", "/apis/example.com/v1/namespaces/default/boats", boat("bad"))
        #expect(code == 422 && refused["message"].string?.contains("not that one") == true)
        #expect(try await fixture.send("POST", "/apis/example.com/v1/namespaces/default/boats", boat("oak")).0 == 201)
        await fixture.stop()
    }
}
