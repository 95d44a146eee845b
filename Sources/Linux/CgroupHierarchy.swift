package import Core
import Glibc

/// The cgroup file systems of this machine: v2 in one tree, or v1 with each controller in its own.
package struct CgroupHierarchy: Sendable, Equatable {
    package enum Version: Sendable, Equatable { case v1, v2 }

    package let version: Version
    /// v1: the mount point of every controller we use, those that share one included.
    package let mounts: [String: String]
    /// v2: the mount point.
    package let root: String
    /// Those that exist; what is missing is left out silently, and `missing` names it.
    package let controllers: Set<String>

    package static let wanted = ["cpu", "cpuacct", "cpuset", "memory", "pids", "devices", "freezer", "hugetlb"]

    package init(version: Version, mounts: [String: String], root: String, controllers: Set<String>) {
        self.version = version
        self.mounts = mounts
        self.root = root
        self.controllers = controllers
    }

    /// Reads the mount table. A machine with any v1 controller mounted is v1, as for other runtimes.
    package static func detect(mountInfo path: String = "/proc/self/mountinfo") throws(SystemFailure) -> CgroupHierarchy {
        var mounts: [String: String] = [:]
        var unified: String?
        for line in try Files.text(path).split(separator: "\n") {
            let fields = line.split(separator: " ")
            guard let dash = fields.firstIndex(of: "-"), fields.count > dash + 3, fields.count > 4 else { continue }
            let point = String(fields[4])
            switch fields[dash + 1] {
            case "cgroup2" where unified == nil: unified = point
            case "cgroup":
                let options = fields[dash + 3].split(separator: ",").map(String.init)
                for controller in wanted where options.contains(controller) && mounts[controller] == nil { mounts[controller] = point }
            default: continue
            }
        }
        if !mounts.isEmpty { return CgroupHierarchy(version: .v1, mounts: mounts, root: "", controllers: Set(mounts.keys)) }
        guard let unified else { throw SystemFailure("detect cgroups", path, errno: ENODEV, hint: "no cgroup file system is mounted") }
        let text = try Files.text("\(unified)/cgroup.controllers")
        let controllers = Set(text.split(whereSeparator: { $0 == " " || $0 == "\n" }).map(String.init))
        return CgroupHierarchy(version: .v2, mounts: [:], root: unified, controllers: controllers)
    }

    /// Controllers that limits of Kubernetes need and this machine lacks.
    package var missing: [String] {
        let needed =
            version == .v1 ? ["cpu", "cpuacct", "cpuset", "memory", "pids", "devices", "freezer"] : ["cpu", "cpuset", "memory", "pids"]
        return needed.filter { !controllers.contains($0) }
    }

    /// What a container's /sys/fs/cgroup shows: nothing to list for v2, the directories' names for v1.
    package var visibleControllers: String {
        version == .v2
            ? "" : Set(mounts.values).compactMap { $0.split(separator: "/").last.map(String.init) }.sorted().joined(separator: ";")
    }

    /// The group at `path` ("kubepods/burstable/pod1"), whether it exists or not.
    package func group(_ path: String) -> Cgroup {
        let parts = path.split(separator: "/").filter { $0 != "." && $0 != ".." }
        return Cgroup(hierarchy: self, path: parts.joined(separator: "/"))
    }

    /// Distinct directories of v1, one per mounted tree.
    var trees: [String] { Set(mounts.values).sorted() }
}
