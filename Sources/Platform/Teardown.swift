import Containers
import Core
import Linux

/// Takes away what a cluster has on the machine outside its own directories: processes, network, mounts, cgroups. Works with no daemon
/// running and from whatever state the last one left; doing it twice is fine.
package enum Teardown {
    package static func run(_ directory: StateDirectory, _ settings: ClusterSettings) async throws {
        var failure: (any Error)?
        // One that fails keeps the others from nothing.
        for step in [endContainers, endNetwork, unmount] {
            do { try await step(directory, settings) } catch { failure = failure ?? error }
        }
        if let failure { throw failure }
    }

    private static func endContainers(_ directory: StateDirectory, _ settings: ClusterSettings) async throws {
        if FileSystem.exists("\(directory.run)/containers") {
            try await ContainerRuntime(stateDirectory: directory.containers, runtimeDirectory: "\(directory.run)/containers").destroyAll()
        }
        // Those that have lost their files too.
        if let group = settings.group { try await CgroupHierarchy.detect().group(group).destroy() }
    }

    private static func endNetwork(_ directory: StateDirectory, _ settings: ClusterSettings) async throws {
        if let options = NetworkBoot.Options(directory, settings) {
            try NetworkBoot.destroy(options)
        } else {
            try NetworkBoot.releaseNamespaces(directory.network)
        }
    }

    private static func unmount(_ directory: StateDirectory, _ settings: ClusterSettings) async throws {
        for root in [directory.run, directory.root] {
            // The directory itself may be a disk of the machine's owner.
            for mount in try Mounts.below(root) where mount.target != root { try Mounts.unmount(mount.target) }
        }
    }

    /// Deletes the cluster's directories, after `run`; of one that is a disk of its own, what is in it.
    package static func removeDirectories(_ directory: StateDirectory) throws {
        for root in [directory.run, directory.root] {
            guard try Mounts.isMountPoint(root) else {
                try FileSystem.removeTree(root)
                continue
            }
            for name in try FileSystem.list(root) { try FileSystem.removeTree("\(root)/\(name)") }
        }
        try ClusterIndex.release(directory.root)
    }

    /// What is there of a cluster outside its directories, a line each; empty after `run`.
    package static func leftovers(_ directory: StateDirectory, _ settings: ClusterSettings) throws -> [String] {
        var found = try NetworkBoot.Options(directory, settings).map { options throws(SystemFailure) in try NetworkBoot.leftovers(options) } ?? []
        for root in [directory.run, directory.root] { found += try Mounts.below(root).filter { $0.target != root }.map { "mount \($0.target)" } }
        if let group = settings.group, try CgroupHierarchy.detect().group(group).exists { found.append("cgroup \(group)") }
        return found
    }
}
