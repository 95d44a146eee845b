import Core
import Glibc
import Linux
import Platform
import Testing
import Tree

/// What is on the disk: who may read it, and what happens when there is no room.
@Suite(.enabled(if: TestCluster.isPossible)) struct StateTests {
    @Test func onlyTheirOwnersReadKeysSocketsAndKubeconfigs() async throws {
        try await TestCluster.with { cluster in
            let own = "\(cluster.home)/person"
            try FileSystem.makeDirectories(own)
            try FileSystem.setOwner(own, user: 65534, group: 65534)
            let program = try TestCluster.program()
            // As sudo tells who called it.
            let up = try await Command.run(
                program, ["up"] + cluster.options, environment: ["KUBECONFIG": "\(own)/.kube/config", "SUDO_UID": "65534", "SUDO_GID": "65534"])
            try #require(up.code == 0, "\(up.said)")
            let config = try #require(try FileSystem.status("\(own)/.kube/config"))
            #expect(config.permissions == 0o600 && config.user == 65534 && config.group == 65534)
            #expect(try FileSystem.status("\(own)/.kube")?.permissions == 0o700)
            let directory = cluster.directory
            for path in [directory.controlSocket, directory.adminKubeconfig, directory.settings, directory.daemonLog, directory.lock, "\(directory.pki)/ca.key"] {
                let status = try #require(try FileSystem.status(path), "\(path)")
                #expect(status.permissions == 0o600 && status.user == 0, "\(path)")
            }
            for path in [directory.pki, directory.images, directory.registry, directory.logs] {
                #expect(try FileSystem.status(path)?.permissions == 0o700, "\(path)")
            }
            // What is world-readable would let others in: nothing directly below is.
            for name in try FileSystem.list(directory.root) {
                let status = try #require(try FileSystem.status("\(directory.root)/\(name)"))
                #expect(status.isDirectory || status.permissions & 0o077 == 0, "\(name)")
            }
            let reset = try await Command.run(
                program, ["reset", "--yes"] + cluster.options,
                environment: ["KUBECONFIG": "\(own)/.kube/config", "SUDO_UID": "65534", "SUDO_GID": "65534"])
            #expect(reset.code == 0, "\(reset.said)")
            #expect(try FileSystem.status("\(own)/.kube/config")?.user == 65534)
            #expect(!String(decoding: try FileSystem.readFile("\(own)/.kube/config"), as: UTF8.self).contains("127.0.0.1"))
        }
    }

    @Test func aFullDiskIsSaidAndLosesNothingAcknowledged() async throws {
        try await TestCluster.with { cluster in
            let root = cluster.directory.root
            try FileSystem.makeDirectories(root, mode: 0o711)
            try Mounts.tmpfs(at: root, size: 48 << 20, mode: 0o711)
            try await cluster.succeed("up")
            let api = try cluster.api
            let seen = Monitor<Set<String>>([])
            let watcher = Task {
                try? await api.watch("/api/v1/namespaces/default/configmaps?watch=1") { event in
                    seen.change { _ = $0.insert(event["object"]["metadata"]["name"].string ?? "") }
                    return true
                }
            }
            defer { watcher.cancel() }
            let filler = "\(root)/filler"
            try fill(filler)
            let (kept, refusal) = try await write(to: api)
            // Who only reads and watches is not concerned.
            let listed = try await api.get("/api/v1/namespaces/default/configmaps")["items"].list.compactMap { $0["metadata"]["name"].string }
            #expect(Set(kept).subtracting(listed) == [])
            try await eventually("a watcher sees what was kept") { seen.withLock { $0.isSuperset(of: kept) } }
            #expect(refusal.status == 507 && refusal.message.contains("disk is full"), "\(refusal)")
            #expect(try await cluster.status()["name"].string == "jangada")

            try FileSystem.unlink(filler)
            try await eventually("writes work again") {
                try await api.send("POST", "/api/v1/namespaces/default/configmaps", configMap("after"))
                return true
            }
            try await eventually("the same watcher goes on") { seen.withLock { $0.contains("after") } }
            try await cluster.killDaemon()
            // No room for a start: one line says so, and nothing is lost by trying.
            try fill(filler)
            let up = try await cluster.jangada("up")
            #expect(up.code == 1 && up.errors.hasPrefix("error: no space is left on the disk of \(root)"), "\(up.said)")
            try FileSystem.unlink(filler)
            try await cluster.succeed("up")
            let names = try await cluster.api.get("/api/v1/namespaces/default/configmaps")["items"].list.compactMap { $0["metadata"]["name"].string }
            #expect(Set(kept + ["after"]).subtracting(names) == [])
            // The disk is the owner's: it is emptied and stays.
            try await cluster.succeed("reset", "--yes")
            #expect(try Mounts.isMountPoint(root))
            #expect(try FileSystem.list(root) == [])
            try Mounts.unmount(root)
        }
    }

    /// Writes until it is refused; some fit into what the database has reserved.
    private func write(to api: TestAPI) async throws -> (kept: [String], refusal: TestAPI.Refused) {
        var kept: [String] = []
        while true {
            let name = "c\(kept.count)"
            guard let refusal = try await refusal(of: name, api) else {
                kept.append(name)
                continue
            }
            return (kept, refusal)
        }
    }

    private func refusal(of name: String, _ api: TestAPI) async throws -> TestAPI.Refused? {
        do {
            try await api.send("POST", "/api/v1/namespaces/default/configmaps", configMap(name))
            return nil
        } catch let refused as TestAPI.Refused { return refused }
    }

    private func configMap(_ name: String) -> String {
        "{apiVersion: v1, kind: ConfigMap, metadata: {name: \(name)}, data: {text: \(String(repeating: "x", count: 16_000))}}"
    }

    /// A file that takes all the room there is.
    private func fill(_ path: String) throws {
        let file = try FileSystem.open(path, [.writeOnly, .create, .append])
        var size = 1 << 20
        while size > 0 {
            do { try file.write([UInt8](repeating: 0, count: size)) } catch {
                guard error.errno == ENOSPC else { throw error }
                size /= 4
            }
        }
    }
}
