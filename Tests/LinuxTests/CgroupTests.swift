import Core
import Glibc
import Testing

@testable import Linux

struct CgroupTests {
    private func write(_ text: String, _ body: (String) throws -> Void) throws {
        let path = "/tmp/jangada-mountinfo-\(Identifier.suffix(6))"
        try Files.replace(path, Array(text.utf8))
        defer { unlink(path) }
        try body(path)
    }

    @Test func controllersThatShareATreeAreFoundOnce() throws {
        let text = """
            30 25 0:26 / /sys/fs/cgroup/cpu,cpuacct rw shared:9 - cgroup cgroup rw,cpu,cpuacct
            31 25 0:27 / /sys/fs/cgroup/memory rw shared:10 - cgroup cgroup rw,memory
            32 25 0:28 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw
            """
        try write(text) { path in
            let found = try CgroupHierarchy.detect(mountInfo: path)
            #expect(found.version == .v1 && found.controllers == ["cpu", "cpuacct", "memory"])
            #expect(found.trees == ["/sys/fs/cgroup/cpu,cpuacct", "/sys/fs/cgroup/memory"])
            #expect(found.missing == ["cpuset", "pids", "devices", "freezer"])
            #expect(found.group("/a/../b//c").taskFiles == ["/sys/fs/cgroup/cpu,cpuacct/a/b/c/tasks", "/sys/fs/cgroup/memory/a/b/c/tasks"])
        }
    }

    /// The files of v2 by name and format, in a directory that stands for the kernel's.
    @Test func unifiedLimitsAndStatsUseTheKernelsNames() throws {
        let root = "/tmp/jangada-cgroup2-\(Identifier.suffix(6))"
        try Files.makeDirectories("\(root)/pod")
        defer { try? Files.removeTree(root) }
        let files = [
            "cpu.weight": "", "cpu.max": "", "memory.max": "", "memory.swap.max": "", "memory.min": "", "memory.oom.group": "", "pids.max": "",
            "cpu.stat": "usage_usec 1500\nuser_usec 1000\nthrottled_usec 20\n", "memory.current": "9000\n",
            "memory.stat": "anon 4000\nfile 5000\ninactive_file 2000\npgfault 7\npgmajfault 1\n", "memory.events": "low 0\noom 1\noom_kill 3\n",
            "pids.current": "4\n",
        ]
        for (name, text) in files { try Files.replace("\(root)/pod/\(name)", Array(text.utf8)) }
        let group = CgroupHierarchy(version: .v2, mounts: [:], root: root, controllers: ["cpu", "memory", "pids"]).group("pod")
        var limits = CgroupLimits()
        limits.cpuShares = 1024
        limits.cpuQuota = 50_000
        limits.memory = 1 << 20
        limits.memoryRequest = 4096
        limits.oomGroup = true
        limits.pids = -1
        limits.memoryHigh = 5
        limits.cpus = "0"
        #expect(try group.apply(limits) == ["memory.high", "cpuset.cpus"])
        func text(_ name: String) throws -> String { try Files.text("\(root)/pod/\(name)") }
        #expect(try text("cpu.weight") == "100" && text("cpu.max") == "50000 100000")
        #expect(try text("memory.max") == "1048576" && text("memory.swap.max") == "0" && text("memory.min") == "4096")
        #expect(try text("memory.oom.group") == "1" && text("pids.max") == "max")
        let stats = group.stats()
        #expect(stats.cpuNanoseconds == 1_500_000 && stats.throttledNanoseconds == 20_000 && stats.memoryWorkingSet == 7000)
        #expect(stats.memoryRSS == 4000 && stats.oomKills == 3 && stats.pids == 4 && stats.memoryLimit == 1 << 20)
    }
}
