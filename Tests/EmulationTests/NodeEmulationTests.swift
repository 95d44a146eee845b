import APIServer
import Client
import Core
import Kinds
import Machinery
import Schema
import Store
import Testing
import Tree

@testable import Emulation

/// Emulated nodes over a real API server in this process, with its store in memory.
@Suite struct NodeEmulationTests {
    private final class Fixture: Sendable {
        let client: InProcessClient
        let store: Store

        init() throws {
            store = try Store(.memory)
            let writer = ObjectWriter(store: store, admission: AdmissionChain([]), conversion: BuiltInConversion(), checks: ObjectChecks())
            client = InProcessClient(
                store: store, catalog: ResourceCatalog(graph: Graph.builtIn), writer: writer, posts: ["pods/binding": BindingAction(writer: writer)],
                user: UserInfo(name: "system:admin"))
        }

        /// Emulation as one daemon has it: a second call begins with nothing but the objects.
        func emulate(_ body: @Sendable (NodeEmulation) async throws -> Void) async throws {
            let view = ClusterView(client: client)
            var options = NodeEmulation.Options()
            options.leaseInterval = .milliseconds(200)
            options.tick = .milliseconds(50)
            let emulation = NodeEmulation(view: view, options)
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { await view.run() }
                group.addTask { await emulation.run() }
                do { try await body(emulation) } catch {
                    group.cancelAll()
                    throw error
                }
                group.cancelAll()
            }
        }

        func bind(_ name: String, to node: String) async throws {
            let pod: Node = [
                "apiVersion": "v1", "kind": "Pod", "metadata": ["name": .string(name), "namespace": "default"],
                "spec": ["containers": [["name": "c", "image": "i"]]],
            ]
            _ = try await client.create(.pods, namespace: "default", pod)
            _ = try await client.post(.pods, ObjectKey("default", name), subresource: "binding", [
                "apiVersion": "v1", "kind": "Binding", "metadata": ["name": .string(name)], "target": ["kind": "Node", "name": .string(node)],
            ])
        }

        func pod(_ name: String) async throws -> Node { try await client.get(.pods, ObjectKey("default", name)) }

        func until(_ what: String, _ condition: () async throws -> Bool) async throws {
            // Far beyond what a busy machine needs: only a defect reaches the end.
            for _ in 0..<20_000 {
                if try await condition() { return }
                try await Task.sleep(for: .milliseconds(5))
            }
            Issue.record("never: \(what)")
            throw CancellationError()
        }
    }

    @Test func nodesAreRegisteredWithTheirShapeAndSendHeartbeats() async throws {
        let fixture = try Fixture()
        try await fixture.emulate { emulation in
            let shape = try EmulatedShape(["flavor": "BV2-4-10", "labels": ["pool": "x"], "taints": ["k:NoSchedule"]])
            #expect(try await emulation.add(3, prefix: "emu", shape, { _ in }) == ["emu-1", "emu-2", "emu-3"])
            #expect(try await emulation.add(1, prefix: "emu", shape, { _ in }) == ["emu-4"])
            let node = try await fixture.client.get(.nodes, ObjectKey("", "emu-1"))
            #expect(node["status"]["allocatable"]["cpu"] == "2" && node.labels["pool"] == "x" && node["spec"]["taints"][0]["key"] == "k")
            #expect(EmulatedNode.isReady(node))
            let lease = ObjectKey("kube-node-lease", "emu-3")
            func renewed() async throws -> String { (try? await fixture.client.get(.leases, lease))?["spec"]["renewTime"].string ?? "" }
            try await fixture.until("a lease") { try await !renewed().isEmpty }
            let first = try await renewed()
            try await fixture.until("a renewal") { try await renewed() != first }
            try await fixture.until("the view has all") { emulation.list().count == 4 }
            #expect(emulation.list().map { $0["name"] } == ["emu-1", "emu-2", "emu-3", "emu-4"])
        }
    }

    @Test func podsOnThemRunAndGoAndThoseOfOthersAreLeftAlone() async throws {
        let fixture = try Fixture()
        try await fixture.emulate { emulation in
            _ = try await emulation.add(1, prefix: "emu", .standard) { _ in }
            _ = try await fixture.client.create(.nodes, namespace: "", ["apiVersion": "v1", "kind": "Node", "metadata": ["name": "real"]])
            try await fixture.bind("mine", to: "emu-1")
            try await fixture.bind("other", to: "real")
            try await fixture.until("running") { try await fixture.pod("mine")["status"]["phase"] == "Running" }
            let marked = try await fixture.client.delete(.pods, ObjectKey("default", "mine"), DeleteOptions(gracePeriodSeconds: 30))
            #expect(marked.isBeingDeleted)
            try await fixture.until("gone") { (try? await fixture.pod("mine")) == nil }
            #expect(try await fixture.pod("other")["status"]["phase"] == "Pending")
        }
    }

    @Test func theNextDaemonGoesOn() async throws {
        let fixture = try Fixture()
        try await fixture.emulate { emulation in
            _ = try await emulation.add(2, prefix: "emu", .standard) { _ in }
            try await fixture.bind("first", to: "emu-1")
            try await fixture.until("running") { try await fixture.pod("first")["status"]["phase"] == "Running" }
        }
        try await fixture.bind("second", to: "emu-2")
        let address = try await fixture.pod("first")["status"]["podIP"]
        try await fixture.emulate { emulation in
            try await fixture.until("running") { try await fixture.pod("second")["status"]["phase"] == "Running" }
            #expect(try await fixture.pod("second")["status"]["podIP"] != address)
            #expect(try await emulation.remove([], { _ in }) == ["emu-1", "emu-2"])
            #expect((try? await fixture.pod("second")) == nil)
            #expect((try? await fixture.client.get(.nodes, ObjectKey("", "emu-1"))) == nil)
            await #expect(throws: APIError.self) { try await emulation.remove(["emu-1"]) { _ in } }
        }
    }
}
