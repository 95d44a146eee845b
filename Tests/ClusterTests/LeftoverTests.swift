import Core
import Glibc
import Linux
import Platform
import Testing
import Tree

/// After `reset` nothing of a cluster is left on the machine, whatever became of it before.
@Suite(.enabled(if: TestCluster.isPossible)) struct LeftoverTests {
    @Test func resetLeavesNothingOfAClusterInUse() async throws {
        try await TestCluster.with { cluster in
            try await cluster.succeed("up")
            _ = try await cluster.deployWeb(replicas: 2, withVolume: true)
            let registry = try #require(try await cluster.status()["registry"]["address"].string)
            try await cluster.succeed("registry", "create", "shop")
            try await cluster.succeed("image", "tag", "web:1", "\(registry)/shop/web:1")
            try await cluster.succeed("image", "push", "\(registry)/shop/web:1")
            let before = try Inventory.of(cluster)
            for kind in ["process", "mount", "network namespace", "cgroup", "link", "nftables table", "file", "context"] {
                #expect(before.contains { $0.hasPrefix("\(kind) ") }, "\(kind)")
            }
            try await cluster.succeed("reset", "--yes")
            #expect(try Inventory.of(cluster) == [])
        }
    }

    /// What may have happened to a cluster that runs a pod before it is reset.
    enum Mishap: String, CaseIterable, CustomTestStringConvertible {
        case daemonKilled, socketMissing, settingsMissing, settingsDamaged, daemonStopped, linkStray
        var testDescription: String { rawValue }
    }

    @Test(arguments: Mishap.allCases) func resetLeavesNothingAfter(_ mishap: Mishap) async throws {
        try await TestCluster.with { cluster in
            try await cluster.succeed("up")
            try await cluster.runPod()
            switch mishap {
            case .daemonKilled: try await cluster.killDaemon()
            case .socketMissing: try FileSystem.unlink(cluster.directory.controlSocket)
            case .settingsMissing:
                try await cluster.killDaemon()
                try FileSystem.unlink(cluster.directory.settings)
            case .settingsDamaged:
                try await cluster.killDaemon()
                try FileSystem.writeAtomically(cluster.directory.settings, Array("{\"name\":".utf8))
            case .daemonStopped:
                // It holds the socket and answers nobody.
                kill(try #require(cluster.daemon), SIGSTOP)
            case .linkStray:
                try await cluster.killDaemon()
                try cluster.makeLinkStray()
            }
            try await cluster.succeed("reset", "--yes")
            #expect(try Inventory.of(cluster) == [])
        }
    }

    @Test func resetCanBeRepeatedAndHasNothingToDoThen() async throws {
        try await TestCluster.with { cluster in
            #expect(try await cluster.succeed("reset", "--yes") == "There is nothing to delete.\n")
            try await cluster.succeed("up")
            try await cluster.succeed("reset", "--yes")
            #expect(try await cluster.succeed("reset", "--yes") == "There is nothing to delete.\n")
        }
    }

    @Test func aStartTakesWhatExistsForWhatItIs() async throws {
        try await TestCluster.with { cluster in
            try await cluster.succeed("up")
            try await cluster.killDaemon()
            // The machine has a link of the name that leads nowhere.
            try cluster.makeLinkStray()
            try await cluster.succeed("up")
            try await cluster.killDaemon()
            // The machine has none, and the switch has one that leads nowhere.
            let name = try cluster.linkName()
            try RouteNetlink().apply { $0.deleteLink(.name(name)) }
            let space = try NetworkNamespace.open("\(cluster.directory.network)/switch")
            try space.run { () throws(SystemFailure) in
                try RouteNetlink().apply { $0.addVeth(.init(name: name), peer: .init(name: "astray"), mtu: 1500) }
            }
            try await cluster.succeed("up")
            // Nothing is left in the run directory but what the kernel holds.
            try await cluster.killDaemon()
            for file in try FileSystem.list(cluster.directory.run) where file != "network" { try FileSystem.removeTree("\(cluster.directory.run)/\(file)") }
            try await cluster.succeed("up")
            #expect(try await cluster.status()["nodes"][0]["ready"].bool == true)
        }
    }
}

extension TestCluster {
    /// One pod that runs and listens to nobody.
    func runPod() async throws {
        try await buildImage("web:1")
        let api = try api
        try await api.send(
            "POST", "/api/v1/namespaces/default/pods",
            "{apiVersion: v1, kind: Pod, metadata: {name: web}, spec: {containers: [{name: web, image: 'web:1'}]}}")
        try await eventually("the pod runs") { try await api.get("/api/v1/namespaces/default/pods/web")["status"]["phase"] == "Running" }
    }

    func linkName() throws -> String { "jgd-\(try #require(ClusterIndex.of(directory.root)))" }

    /// The machine's link as a half-failed clean-up leaves it: its other end is no port of the switch.
    func makeLinkStray() throws {
        let name = try linkName()
        try RouteNetlink().apply {
            $0.deleteLink(.name(name))
            $0.addVeth(.init(name: name), peer: .init(name: "astray-\(name.dropFirst(4))"), mtu: 1500)
        }
    }
}
