import Testing
import Tree

@Suite struct WriteTests {
    private static let services = "/api/v1/namespaces/default/services"
    private static func service(_ name: String, _ spec: Node) -> String {
        let node: Node = ["apiVersion": "v1", "kind": "Service", "metadata": ["name": .string(name)], "spec": spec]
        return node.jsonText
    }

    @Test func anAddressIsGivenOnceAndComesBackWithTheServicesEnd() async throws {
        let fixture = try await ServerFixture()
        let spec: Node = ["clusterIP": "10.96.0.9", "ports": [["port": 80]]]
        #expect(try await fixture.send("POST", Self.services, Self.service("a", spec)).0 == 201)
        let (code, refusal) = try await fixture.send("POST", Self.services, Self.service("b", spec))
        #expect(code == 422)
        #expect(
            refusal["message"].string
                == "Service \"b\" is invalid: spec.clusterIPs: Invalid value: [\"10.96.0.9\"]: failed to allocate IP 10.96.0.9: provided IP is already allocated")
        #expect(try await fixture.send("DELETE", Self.services + "/a").0 == 200)
        #expect(try await fixture.send("POST", Self.services, Self.service("b", spec)).0 == 201)
        await fixture.stop()
    }

    @Test func anAddressThatAPersonKeepsIsGivenToNobody() async throws {
        let fixture = try await ServerFixture()
        let addresses = "/apis/networking.k8s.io/v1/ipaddresses"
        func address(_ name: String, _ labels: Node) -> String {
            let parent: Node = ["resource": "things", "group": "x.test", "name": "t"]
            return (["apiVersion": "networking.k8s.io/v1", "kind": "IPAddress", "metadata": ["name": .string(name), "labels": labels], "spec": ["parentRef": parent]] as Node).jsonText
        }
        // All but one of the addresses that anybody may get: .0 and .255 are nobody's.
        for number in 1...254 where number != 77 && number != 80 {
            #expect(try await fixture.send("POST", addresses, address("10.96.0.\(number)", [:])).0 == 201)
        }
        let shadow: Node = ["ipaddress.kubernetes.io/managed-by": "ipallocator.k8s.io"]
        #expect(try await fixture.send("POST", addresses, address("10.96.0.80", shadow)).0 == 201)
        let asked: Node = ["clusterIP": "10.96.0.9", "ports": [["port": 80]]]
        let (code, refusal) = try await fixture.send("POST", Self.services, Self.service("b", asked))
        #expect(code == 422)
        #expect(refusal["message"].string?.hasSuffix("failed to allocate IP 10.96.0.9: provided IP is already allocated") == true)
        let any: Node = ["ports": [["port": 80]]]
        var given: Set<String> = []
        for name in ["c", "d"] { given.insert(try await fixture.send("POST", Self.services, Self.service(name, any)).1["spec"]["clusterIP"].string ?? "") }
        #expect(given == ["10.96.0.77", "10.96.0.80"])
        #expect(try await fixture.send("POST", Self.services, Self.service("e", any)).0 == 500)
        #expect(try await fixture.send("DELETE", addresses + "/10.96.0.9").0 == 200)
        #expect(try await fixture.send("POST", Self.services, Self.service("b", asked)).0 == 201)
        await fixture.stop()
    }

    @Test func aQuotaIsChargedInTheSameTransactionAsTheObject() async throws {
        let fixture = try await ServerFixture()
        let quota: Node = [
            "apiVersion": "v1", "kind": "ResourceQuota", "metadata": ["name": "q"], "spec": ["hard": ["configmaps": "3"]],
        ]
        _ = try await fixture.send("POST", "/api/v1/namespaces/default/resourcequotas", quota.jsonText)
        let status = "{\"status\":{\"hard\":{\"configmaps\":\"3\"},\"used\":{\"configmaps\":\"0\"}}}"
        _ = try await fixture.send("PATCH", "/api/v1/namespaces/default/resourcequotas/q/status", status, type: "application/merge-patch+json")
        let codes = try await withThrowingTaskGroup(of: Int.self) { group in
            for index in 0..<8 {
                group.addTask {
                    let object: Node = ["apiVersion": "v1", "kind": "ConfigMap", "metadata": ["name": .string("c\(index)")]]
                    return try await fixture.send("POST", "/api/v1/namespaces/default/configmaps", object.jsonText).0
                }
            }
            return try await group.reduce(into: []) { $0.append($1) }
        }
        #expect(codes.filter { $0 == 201 }.count == 3)
        #expect(codes.filter { $0 == 403 }.count == 5)
        let now = try await fixture.send("GET", "/api/v1/namespaces/default/resourcequotas/q").1
        #expect(now["status"]["used"]["configmaps"].string == "3")
        await fixture.stop()
    }

    @Test func applyCreatesRefusesConflictsAndLeavesTheRevisionWhereNothingChanges() async throws {
        let fixture = try await ServerFixture()
        let path = "/api/v1/namespaces/default/configmaps/a?fieldManager="
        func apply(_ manager: String, _ value: String) async throws -> (Int, Node) {
            let object: Node = ["apiVersion": "v1", "kind": "ConfigMap", "metadata": ["name": "a"], "data": ["k": .string(value)]]
            return try await fixture.send("PATCH", path + manager, object.jsonText, type: "application/apply-patch+yaml")
        }
        let (created, first) = try await apply("one", "1")
        #expect(created == 201)
        let (same, second) = try await apply("one", "1")
        #expect(same == 200)
        #expect(first["metadata"]["resourceVersion"] == second["metadata"]["resourceVersion"])
        let (code, conflict) = try await apply("two", "2")
        #expect(code == 409)
        #expect(conflict["message"].string == "Apply failed with 1 conflict: conflict with \"one\": .data.k")
        #expect(conflict["details"]["causes"][0]["reason"].string == "FieldManagerConflict")
        #expect(try await apply("two&force=true", "2").0 == 200)
        await fixture.stop()
    }
}
