import CLinux
package import Core
import Glibc

/// One control group: a directory in the unified tree, or the same path in each of v1's trees. Everything is idempotent.
package struct Cgroup: Sendable, Equatable {
    package let hierarchy: CgroupHierarchy
    /// Without a leading slash.
    package let path: String

    package func child(_ name: String) -> Cgroup { hierarchy.group("\(path)/\(name)") }

    var isUnified: Bool { hierarchy.version == .v2 }

    /// The directory for a controller; nil where this machine lacks it.
    func directory(_ controller: String) -> String? {
        if isUnified { return hierarchy.controllers.contains(controller) || controller == "cgroup" ? "\(hierarchy.root)/\(path)" : nil }
        return hierarchy.mounts[controller].map { "\($0)/\(path)" }
    }

    var directories: [String] { isUnified ? ["\(hierarchy.root)/\(path)"] : hierarchy.trees.map { "\($0)/\(path)" } }

    package var exists: Bool { directories.contains { Files.exists($0) } }

    /// Makes the group and its parents, and hands them the controllers.
    package func create() throws(SystemFailure) {
        if isUnified { return try createUnified() }
        for tree in hierarchy.trees {
            let directory = "\(tree)/\(path)"
            if mkdir(directory, 0o755) != 0 && errno != EEXIST {
                guard errno == ENOENT else { throw SystemFailure("mkdir", directory) }
                try Files.makeDirectories(directory)
            }
        }
        if let cpuset = hierarchy.mounts["cpuset"] { try inheritCPUSet(cpuset) }
    }

    /// v1 starts a cpuset empty, and an empty one takes no process.
    private func inheritCPUSet(_ mount: String) throws(SystemFailure) {
        // Where the parent has one, as nearly always, this group alone is left.
        if let slash = path.lastIndex(of: "/"), try inheritCPUSet("\(mount)/\(path[..<slash])", "\(mount)/\(path)") { return }
        var at = mount
        for part in path.split(separator: "/") {
            let parent = at
            at += "/\(part)"
            _ = try inheritCPUSet(parent, at)
        }
    }

    /// False where the parent has none itself.
    private func inheritCPUSet(_ parent: String, _ at: String) throws(SystemFailure) -> Bool {
        for file in ["cpuset.cpus", "cpuset.mems"] where try Files.text("\(at)/\(file)").allSatisfy(\.isWhitespace) {
            let inherited = try Files.text("\(parent)/\(file)").filter { !$0.isWhitespace }
            guard !inherited.isEmpty else { return false }
            try Files.set("\(at)/\(file)", inherited)
        }
        return true
    }

    private func createUnified() throws(SystemFailure) {
        var at = hierarchy.root
        for part in path.split(separator: "/") {
            for controller in ["cpu", "cpuset", "memory", "pids", "io", "hugetlb"] where hierarchy.controllers.contains(controller) {
                // One at a time: a controller that cannot be handed down must not keep the others back.
                try? Files.set("\(at)/cgroup.subtree_control", "+\(controller)")
            }
            at += "/\(part)"
            guard mkdir(at, 0o755) == 0 || errno == EEXIST else { throw SystemFailure("mkdir", at) }
        }
    }

    /// Files a process writes 0 to in order to join (v1).
    package var taskFiles: [String] { isUnified ? [] : hierarchy.trees.map { "\($0)/\(path)/tasks" } }

    /// The directory for CLONE_INTO_CGROUP (v2).
    package var unifiedDirectory: String? { isUnified ? "\(hierarchy.root)/\(path)" : nil }

    /// A file with an `oom_kill` line.
    package var oomFile: String? {
        directory("memory").map { isUnified ? "\($0)/memory.events" : "\($0)/memory.oom_control" }
    }

    /// Processes in this group and those below.
    package func processes() -> [Int32] {
        var found: Set<Int32> = []
        for directory in directories { Cgroup.collect(directory, into: &found) }
        return found.sorted()
    }

    private static func collect(_ directory: String, into found: inout Set<Int32>) {
        guard let text = try? Files.text("\(directory)/cgroup.procs") else { return }
        for line in text.split(separator: "\n") { if let pid = Int32(line), pid > 0 { found.insert(pid) } }
        for name in subgroups(directory) { collect("\(directory)/\(name)", into: &found) }
    }

    static func subgroups(_ directory: String) -> [String] {
        ((try? Files.list(directory)) ?? []).filter { Files.isDirectory("\(directory)/\($0)") }
    }

    /// The names of the groups right below.
    package func children() -> [String] {
        Set(directories.flatMap { Cgroup.subgroups($0) }).sorted()
    }

    /// Stops or resumes every process.
    package func freeze(_ frozen: Bool) throws(SystemFailure) {
        if isUnified { return try Files.set("\(hierarchy.root)/\(path)/cgroup.freeze", frozen ? "1" : "0") }
        guard let directory = directory("freezer") else {
            throw SystemFailure("freeze", path, errno: ENOTSUP, hint: "no freezer controller")
        }
        try Files.set("\(directory)/freezer.state", frozen ? "FROZEN" : "THAWED")
    }

    /// Sends SIGKILL to every process here and below. They may still be ending when this returns.
    package func killAll() {
        // The root holds the whole machine.
        guard !path.isEmpty else { return }
        if isUnified, (try? Files.set("\(hierarchy.root)/\(path)/cgroup.kill", "1")) != nil { return }
        // Frozen first, so that none forks away from under us; the signal works on the frozen once they thaw.
        try? freeze(true)
        for pid in processes() { kill(pid, SIGKILL) }
        try? freeze(false)
    }

    /// Returns when every process here and below is gone, or after two seconds.
    package func killAllAndWait() {
        for _ in 0..<200 where !processes().isEmpty {
            killAll()
            usleep(10_000)
        }
    }

    /// Kills what is left and removes the group and all below it. The kernel lets go of a group only when its last process is
    /// gone, which takes milliseconds: so it is tried again, for at most two seconds.
    package func destroy() async throws(SystemFailure) {
        guard !path.isEmpty else { throw SystemFailure("destroy cgroup", "/", errno: EINVAL) }
        for attempt in 0..<40 {
            let busy = remove()
            guard let busy else { return }
            guard busy.errno == EBUSY || busy.errno == ENOTEMPTY else { throw busy }
            killAll()
            try? await Task.sleep(for: .milliseconds(attempt < 10 ? 2 : 60))
        }
        if let failure = remove() { throw failure }
    }

    /// One attempt; nil where nothing is left.
    private func remove() -> SystemFailure? {
        var last: SystemFailure?
        for directory in directories { if let failure = Cgroup.removeTree(directory) { last = failure } }
        return last
    }

    private static func removeTree(_ directory: String) -> SystemFailure? {
        if rmdir(directory) == 0 || errno == ENOENT { return nil }
        for name in subgroups(directory) { if let failure = removeTree("\(directory)/\(name)") { return failure } }
        if rmdir(directory) == 0 || errno == ENOENT { return nil }
        return SystemFailure("rmdir", directory)
    }
}
