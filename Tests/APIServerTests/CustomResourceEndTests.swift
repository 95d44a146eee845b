import Core
import Machinery
import Testing
import Tree

/// How definitions end.
@Suite struct CustomResourceEndTests {
    private static let path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"

    private func definition(_ plural: String, _ kind: String) -> String {
        """
        {"kind":"CustomResourceDefinition","apiVersion":"apiextensions.k8s.io/v1","metadata":{"name":"\(plural).example.com"},"spec":{"group":"example.com","scope":"Namespaced",
        "names":{"plural":"\(plural)","singular":"\(kind.lowercased())","kind":"\(kind)","listKind":"\(kind)List"},
        "versions":[{"name":"v1","served":true,"storage":true,"schema":{"openAPIV3Schema":{"type":"object","x-kubernetes-preserve-unknown-fields":true}}}]}}
        """
    }

    @Test func instancesThatHoldOnKeepNoOtherDefinitionFromEnding() async throws {
        let fixture = try await ServerFixture()
        for (plural, kind) in [("boats", "Boat"), ("rafts", "Raft")] {
            #expect(try await fixture.send("POST", CustomResourceEndTests.path, definition(plural, kind)).0 == 201)
            _ = try await fixture.answer("/apis/example.com/v1/\(plural)") { code, _ in code == 200 }
            let (code, _) = try await fixture.send(
                "POST", "/apis/example.com/v1/namespaces/default/\(plural)",
                #"{"kind":"\#(kind)","apiVersion":"example.com/v1","metadata":{"name":"a","finalizers":["example.com/hold"]}}"#)
            #expect(code == 201)
        }
        // The first is held by its instance for ever; the second's lets go.
        #expect(try await fixture.send("DELETE", CustomResourceEndTests.path + "/boats.example.com").0 == 200)
        _ = try await fixture.answer("/apis/example.com/v1/namespaces/default/boats/a") { _, node in !node["metadata"]["deletionTimestamp"].isNull }
        #expect(try await fixture.send("DELETE", CustomResourceEndTests.path + "/rafts.example.com").0 == 200)
        _ = try await fixture.answer("/apis/example.com/v1/namespaces/default/rafts/a") { _, node in !node["metadata"]["deletionTimestamp"].isNull }
        let free = #"{"metadata":{"finalizers":null}}"#
        #expect(try await fixture.send("PATCH", "/apis/example.com/v1/namespaces/default/rafts/a", free, type: "application/merge-patch+json").0 == 200)
        let gone = try await fixture.answer(CustomResourceEndTests.path + "/rafts.example.com") { code, _ in code == 404 }
        #expect(gone["code"].int == 404)
        // New ones come up meanwhile, and the first ends when it is let go.
        #expect(try await fixture.send("POST", CustomResourceEndTests.path, definition("canoes", "Canoe")).0 == 201)
        _ = try await fixture.answer("/apis/example.com/v1/canoes") { code, _ in code == 200 }
        #expect(try await fixture.send("PATCH", "/apis/example.com/v1/namespaces/default/boats/a", free, type: "application/merge-patch+json").0 == 200)
        let last = try await fixture.answer(CustomResourceEndTests.path + "/boats.example.com") { code, _ in code == 404 }
        #expect(last["code"].int == 404)
        await fixture.stop()
    }
}
