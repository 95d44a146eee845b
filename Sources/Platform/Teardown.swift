import Containers
import Core
import Linux

/// Takes away what a cluster has on the machine outside its own directories: processes, network, mounts, cgroups. Works with no daemon
/// running and from whatever state the last one left; doing it twice is fine.
package enum Teardown {
    package static func run(_ directory: StateDirectory, _ settings: ClusterSettings) async throws {
        if FileSystem.exists("\(directory.run)/containers") {
            try await ContainerRuntime(stateDirectory: directory.containers, runtimeDirectory: "\(directory.run)/containers").destroyAll()
        }
        try NetworkBoot.destroy(.init(directory, settings))
        for root in [directory.run, directory.root] {
            for mount in try Mounts.below(root) { try Mounts.unmount(mount.target) }
        }
        try await CgroupHierarchy.detect().group(directory.cgroup(settings.name)).destroy()
    }

    /// What is there of a cluster outside its directories, a line each; empty after `run`.
    package static func leftovers(_ directory: StateDirectory, _ settings: ClusterSettings) throws -> [String] {
        var found = try NetworkBoot.leftovers(.init(directory, settings))
        for root in [directory.run, directory.root] { found += try Mounts.below(root).map { "mount \($0.target)" } }
        let group = try CgroupHierarchy.detect().group(directory.cgroup(settings.name))
        if group.exists { found.append("cgroup \(directory.cgroup(settings.name))") }
        return found
    }
}
