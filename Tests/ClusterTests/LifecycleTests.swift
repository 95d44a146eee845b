import Core
import Glibc
import Platform
import Testing
import Tree

@testable import jangada

/// Up, down and what happens between, as a person sees it.
@Suite(.enabled(if: TestCluster.isPossible)) struct LifecycleTests {
    @Test func aKilledDaemonIsReplacedAndNobodyNotices() async throws {
        try await TestCluster.with { cluster in
            try await cluster.succeed("up")
            let address = try await cluster.deployWeb(replicas: 2)
            let before = try await cluster.pods()
            let load = LoadGenerator(host: address, port: 80)
            load.start()
            try await cluster.killDaemon()
            // The kernel goes on without it.
            let alone = load.snapshot.answered
            try await eventually("requests are answered without a daemon") { load.snapshot.answered > alone + 20 }
            try await cluster.succeed("up")
            try await eventually("pods are as they were") { try await cluster.pods() == before }
            let counts = await load.stop()
            #expect(counts.failed == 0 && counts.answered > 20, "\(counts.failures)")
            #expect(before.values.allSatisfy { $0.restarts == 0 && !$0.container.isEmpty } && before.count == 2)
        }
    }

    @Test func downKeepLeavesTheContainersAndDownEndsThem() async throws {
        try await TestCluster.with { cluster in
            try await cluster.succeed("up")
            let address = try await cluster.deployWeb(replicas: 1, withVolume: true)
            let before = try await cluster.pods()
            #expect(try await cluster.succeed("down", "--keep").contains("the containers go on"))
            #expect(try await TestAPI.answers(address))
            try await cluster.succeed("up")
            try await eventually("pods are as they were") { try await cluster.pods() == before }
            // Kept once more, and ended without a daemon.
            try await cluster.succeed("down", "--keep")
            try await cluster.succeed("down")
            let left = try Inventory.of(cluster).filter { !$0.hasPrefix("file ") && !$0.hasPrefix("context ") }
            #expect(left == [])
            #expect(try await cluster.succeed("down") == "The cluster is not running.\n")
            try await cluster.succeed("up")
            try await eventually("the pod runs again, with its volume") {
                let now = try await cluster.pods()
                return now.keys == before.keys && now.values.allSatisfy { $0.container != before.values.first?.container && $0.restarts == 1 }
            }
            try await eventually("the load balancer answers again") { try await TestAPI.answers(address) }
            try await cluster.succeed("down")
            #expect(try Inventory.of(cluster).filter { !$0.hasPrefix("file ") && !$0.hasPrefix("context ") } == [])
        }
    }

    @Test func threeNodesAreReadyAndShareThePods() async throws {
        try await TestCluster.with { cluster in
            try await cluster.succeed("up", "--nodes", "3")
            let nodes = try await cluster.status()["nodes"].list
            #expect(nodes.count == 3 && nodes.allSatisfy { $0["ready"].bool == true })
            let address = try await cluster.deployWeb(replicas: 3)
            #expect(Set(try await cluster.pods().values.map(\.node)).count == 3)
            let again = try await cluster.succeed("up")
            #expect(again.contains("is running: 3 nodes"))
            // One node fewer: its pods move to those that stay.
            try await cluster.succeed("down")
            try await cluster.succeed("up", "--nodes", "2")
            try await eventually("the third is gone") { try await cluster.status()["nodes"].list.count == 2 }
            // The counts of before the end may still be in the status.
            try await eventually("its pod runs elsewhere") {
                let status = try await cluster.api.get("/apis/apps/v1/namespaces/default/deployments/web")["status"]
                let places = Set(try await cluster.pods().values.map(\.node))
                return status["readyReplicas"].int == 3 && places.count == 2
            }
            try await eventually("the load balancer answers") { try await TestAPI.answers(address) }
        }
    }

    @Test func whatWasChosenOnceIsKept() async throws {
        try await TestCluster.with { cluster in
            let (api, registry) = (16_600 + Int.random(in: 0..<500), 15_600 + Int.random(in: 0..<500))
            try await cluster.succeed("up", "--port", "\(api)", "--registry-port", "\(registry)", "--disable-scheduler")
            try await cluster.succeed("down")
            try await cluster.succeed("up")
            let status = try await cluster.status()
            #expect(status["server"].string == "https://127.0.0.1:\(api)" && status["registry"]["address"].string == "localhost:\(registry)")
            #expect(try await cluster.jangada("up", "--enable-scheduler").errors.contains("--disable-scheduler"))
            let refused = try await cluster.jangada("up", "--registry-port", "\(registry + 1)", "--nodes", "2")
            #expect(refused.code == 1 && refused.errors.contains("--nodes 1, not 2 and --registry-port \(registry), not \(registry + 1)"), "\(refused.said)")
            #expect(refused.errors.contains("down --keep"))
            #expect(try await cluster.succeed("up", "--registry-port", "\(registry)").contains("is running"))
        }
    }

    @Test func twoClustersLiveSideBySideByTheirNames() async throws {
        let names = (0..<2).map { _ in "t\(Identifier.suffix(6))" }
        try await TestCluster.with(name: names[0], berths: 2) { one in
            try await TestCluster.with(name: names[1], berths: 0) { two in
                try await withThrowingTaskGroup(of: Void.self) { group in
                    for cluster in [one, two] { group.addTask { try await cluster.succeed("up") } }
                    try await group.waitForAll()
                }
                let statuses = [try await one.status(), try await two.status()]
                for key in ["server", "directory", "context", "pid"] { #expect(statuses[0][key] != statuses[1][key], "\(key)") }
                #expect(statuses[0]["registry"]["address"] != statuses[1]["registry"]["address"])
                #expect(statuses.map { $0["context"].string } == names.map { "jangada-\($0)" })
                let addresses = [try await one.deployWeb(replicas: 1), try await two.deployWeb(replicas: 1)]
                #expect(addresses[0] != addresses[1])
                let pods = try await two.pods()
                try await one.succeed("reset", "--yes")
                #expect(try Inventory.of(one) == [])
                #expect(try await TestAPI.answers(addresses[1]))
                #expect(try await two.pods() == pods)
            }
        }
    }
}
