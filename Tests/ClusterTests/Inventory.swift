import Core
import Glibc
import Linux
import Platform
import Synchronization

/// Everything of one cluster that is on the machine, a line each: found by looking everywhere, not by asking the program.
enum Inventory {
    static func of(_ cluster: TestCluster) throws -> [String] {
        let directory = cluster.directory
        let own = ClusterIndex.of(directory.root) ?? numbers.value(directory.root)
        if let own { numbers.note(directory.root, own) }
        var found = try processes { $0.contains("\(directory.root) ") && $0.contains("server") }
        found += try Mounts.all().filter { isBelow($0.target, directory) || isBelow($0.root, directory) }.map { mount in
            (mount.type == "nsfs" ? "network namespace " : "mount ") + mount.target
        }
        if let own {
            let named = try names(index: own)
            // A number that was given back may be another cluster's by now, and what is named by it too.
            if ClusterIndex.clusters()[own].map({ $0 == directory.root }) ?? true { found += named }
            if ClusterIndex.of(directory.root) != nil { found.append("file \(ClusterIndex.directory)/\(own)") }
        }
        for root in [directory.root, directory.run] where FileSystem.exists(root) { found.append("file \(root)") }
        if let config = try? FileSystem.readFile(cluster.kubeconfig), String(decoding: config, as: UTF8.self).contains("jangada") {
            found.append("context in \(cluster.kubeconfig)")
        }
        return found
    }

    private static func names(index: Int) throws -> [String] {
        let group = "jangada-\(index)"
        var found = try processes(inGroup: group)
        found += try RouteNetlink().links().filter { $0.name == "jgd-\(index)" }.map { "link \($0.name)" }
        found += try Nftables(table: group).tables().filter { $0 == group }.map { "nftables table \($0)" }
        for mount in try Mounts.all() where mount.type == "cgroup" || mount.type == "cgroup2" {
            if FileSystem.exists("\(mount.target)/\(group)") { found.append("cgroup \(mount.target)/\(group)") }
        }
        return found
    }

    private static func isBelow(_ path: String, _ directory: StateDirectory) -> Bool {
        [directory.root, directory.run].contains { path == $0 || path.hasPrefix($0 + "/") }
    }

    private static func processes(_ isMeant: (_ command: String) -> Bool) throws -> [String] {
        try FileSystem.list("/proc").compactMap { name in
            guard let pid = Int32(name), pid != getpid() else { return nil }
            let command = text("/proc/\(name)/cmdline").split(separator: "\0").joined(separator: " ") + " "
            return isMeant(command) ? "process \(pid) \(command)" : nil
        }
    }

    private static func processes(inGroup group: String) throws -> [String] {
        try FileSystem.list("/proc").compactMap { name in
            guard let pid = Int32(name) else { return nil }
            let isMember = text("/proc/\(name)/cgroup").split(separator: "\n").contains { $0.hasSuffix(":/\(group)") || $0.contains(":/\(group)/") }
            return isMember ? "process \(pid) in \(group)" : nil
        }
    }

    private static func text(_ path: String) -> String { ((try? FileSystem.readFile(path)).map { String(decoding: $0, as: UTF8.self) }) ?? "" }

    private static let numbers = Numbers()
}

/// Which number a directory's cluster had when it was last looked at.
private final class Numbers: Sendable {
    private let known = Mutex<[String: Int]>([:])
    func value(_ root: String) -> Int? { known.withLock { $0[root] } }
    func note(_ root: String, _ number: Int) { known.withLock { $0[root] = number } }
}
