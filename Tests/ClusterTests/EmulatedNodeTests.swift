import Core
import Platform
import Testing
import Tree

@testable import jangada

/// Emulated nodes and the scheduler's explanations, as a person sees them.
@Suite(.enabled(if: TestCluster.isPossible)) struct EmulatedNodeTests {
    @Test func emulatedNodesCarryPodsAcrossDaemonsAndAPodIsExplained() async throws {
        try await TestCluster.with { cluster in
            try await cluster.succeed("up")
            #expect(try await cluster.succeed("node", "emulate", "5", "--flavor", "BV2-4-20", "--label", "pool=small") == "5 nodes are emulated, emulated-1 to emulated-5.\n")
            let api = try cluster.api
            func make(_ name: String, cpu: String) async throws {
                try await api.send(
                    "POST", "/api/v1/namespaces/default/pods",
                    """
                    {apiVersion: v1, kind: Pod, metadata: {name: \(name)}, spec: {nodeSelector: {pool: small}, containers: [{name: c, image: none, \
                    resources: {requests: {cpu: '\(cpu)'}}}]}}
                    """)
            }
            func phase(_ name: String) async throws -> String { try await api.get("/api/v1/namespaces/default/pods/\(name)")["status"]["phase"].string ?? "" }
            try await eventually("the service account is there") { (try? await make("first", cpu: "1")) != nil }
            try await make("large", cpu: "3")
            try await eventually("the pod runs") { try await phase("first") == "Running" }
            try await eventually("the other is refused") {
                try await api.get("/api/v1/namespaces/default/pods/large")["status"]["conditions"].list.contains { $0["reason"].string == "Unschedulable" }
            }
            let why = try JSONReader.read(Array(try await cluster.succeed("explain", "pod/large", "-o", "json").utf8))
            #expect(why["nodes"] == 6 && why["feasible"] == 0 && why["queue"]["state"] == "unschedulable")
            #expect(why["filters"].list.map { $0["plugin"] } == ["NodeAffinity", "NodeResourcesFit"])
            #expect(try await cluster.succeed("explain", "first").contains("of 5 candidates today"))
            let unknown = try await cluster.jangada("explain", "pod/none")
            #expect(unknown.code == 1 && unknown.said.contains("pod \"none\" not found in namespace \"default\""))

            try await cluster.killDaemon()
            try await cluster.succeed("up")
            try await make("second", cpu: "1")
            try await eventually("the pod runs") { try await phase("second") == "Running" }
            #expect(try await cluster.succeed("node", "list").contains("BV2-4-20"))
            #expect(try await cluster.succeed("node", "remove", "--all") == "5 nodes are removed.\n")
            #expect(try await api.get("/api/v1/nodes")["items"].list.count == 1)
        }
    }
}
