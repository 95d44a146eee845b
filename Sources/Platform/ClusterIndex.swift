package import Core

/// The numbers that tell the clusters of one machine apart: every cluster has one that no other has, running or not, and its ranges,
/// link, table and cgroup follow from it. A claim is a symbolic link, named by the number, that leads to the cluster's state directory;
/// the claim of a directory that is gone counts for nothing.
package enum ClusterIndex {
    package static let directory = "/var/lib/jangada.clusters"
    /// One has the whole of 10.96.0.0/16 for its services, the others a part of 10.97.0.0/16 to 10.99.0.0/16.
    package static let count = 25

    /// The state directory of every cluster, by number.
    package static func clusters() -> [Int: String] {
        var found: [Int: String] = [:]
        for name in (try? FileSystem.list(directory)) ?? [] {
            guard let index = Int(name), let root = try? FileSystem.readLink("\(directory)/\(name)"), FileSystem.exists(root) else { continue }
            found[index] = root
        }
        return found
    }

    package static func of(_ root: String) -> Int? { clusters().first { $0.value == root }?.key }

    /// The number of the cluster in `root`: `kept` where it is there still, else one it has claimed before, else the first that is free
    /// and that `isUsable` likes. The default cluster alone begins at 0, so that its addresses are the same on every machine.
    static func claim(_ root: String, kept: Int?, isUsable: (Int) throws -> Bool) throws -> Int {
        while true {
            try FileSystem.makeDirectories(directory, mode: 0o755)
            let lock = try FileSystem.open(directory, [.readOnly, .directory])
            try lock.lock()
            // Whoever held the lock may have removed the directory.
            guard try FileSystem.status(directory)?.inode == lock.status().inode else { continue }
            let taken = clusters()
            let first = root == StateDirectory.defaultRoot ? 0 : 1
            let chosen = try kept ?? taken.first { $0.value == root }?.key ?? (first..<count).first { try taken[$0] == nil && isUsable($0) }
            guard let chosen else {
                throw ControlFailure(
                    507, "no further cluster fits beside the \(taken.count) on this machine", hint: "Delete one: sudo jangada reset --name NAME")
            }
            if taken[chosen] == root { return chosen }
            if let other = taken[chosen] {
                throw ControlFailure(
                    409, "the clusters in \(root) and \(other) have the same number, \(chosen)",
                    hint: "One is a copy of the other. Delete one: sudo jangada reset --state \(root)")
            }
            try FileSystem.unlink("\(directory)/\(chosen)")
            try FileSystem.symlink(root, "\(directory)/\(chosen)")
            return chosen
        }
    }

    /// Gives the number of the cluster in `root` back, and those of directories that are gone.
    package static func release(_ root: String) throws(SystemFailure) {
        guard FileSystem.exists(directory) else { return }
        let lock = try FileSystem.open(directory, [.readOnly, .directory])
        try lock.lock()
        for name in try FileSystem.list(directory) {
            guard let claimed = try? FileSystem.readLink("\(directory)/\(name)"), claimed == root || !FileSystem.exists(claimed) else { continue }
            try FileSystem.unlink("\(directory)/\(name)")
        }
        do throws(SystemFailure) { try FileSystem.removeDirectory(directory) } catch where error.errno == 39 /* ENOTEMPTY */ {}
    }
}
