import Core
import Glibc

/// What a group has used, in the kubelet's terms.
package struct CgroupStats: Sendable, Equatable {
    package var cpuNanoseconds: UInt64 = 0
    package var throttledNanoseconds: UInt64 = 0
    package var memoryUsage: UInt64 = 0
    /// Usage without what the kernel could drop at once (inactive file pages).
    package var memoryWorkingSet: UInt64 = 0
    package var memoryRSS: UInt64 = 0
    package var pageFaults: UInt64 = 0
    package var majorPageFaults: UInt64 = 0
    /// nil: unlimited.
    package var memoryLimit: UInt64?
    package var pids: UInt64 = 0
    package var oomKills: UInt64 = 0
}

extension Cgroup {
    /// What cannot be read counts as zero: a group may go away while it is being asked.
    package func stats() -> CgroupStats {
        isUnified ? unifiedStats() : legacyStats()
    }

    private func unifiedStats() -> CgroupStats {
        var out = CgroupStats()
        let cpu = table("cgroup", "cpu.stat")
        out.cpuNanoseconds = (cpu["usage_usec"] ?? 0) * 1000
        out.throttledNanoseconds = (cpu["throttled_usec"] ?? 0) * 1000
        let memory = table("memory", "memory.stat")
        out.memoryUsage = number("memory", "memory.current") ?? 0
        out.memoryRSS = memory["anon"] ?? 0
        out.pageFaults = memory["pgfault"] ?? 0
        out.majorPageFaults = memory["pgmajfault"] ?? 0
        out.memoryLimit = number("memory", "memory.max")
        out.oomKills = table("memory", "memory.events")["oom_kill"] ?? 0
        out.pids = number("pids", "pids.current") ?? 0
        let inactive = memory["inactive_file"] ?? 0
        out.memoryWorkingSet = out.memoryUsage > inactive ? out.memoryUsage - inactive : 0
        return out
    }

    private func legacyStats() -> CgroupStats {
        var out = CgroupStats()
        out.cpuNanoseconds = number("cpuacct", "cpuacct.usage") ?? 0
        out.throttledNanoseconds = table("cpu", "cpu.stat")["throttled_time"] ?? 0
        let memory = table("memory", "memory.stat")
        out.memoryUsage = number("memory", "memory.usage_in_bytes") ?? 0
        out.memoryRSS = memory["total_rss"] ?? 0
        out.pageFaults = memory["total_pgfault"] ?? 0
        out.majorPageFaults = memory["total_pgmajfault"] ?? 0
        // The kernel's "unlimited" is the largest page-aligned number.
        out.memoryLimit = number("memory", "memory.limit_in_bytes").flatMap { $0 > UInt64(Int64.max) - 65536 ? nil : $0 }
        out.oomKills = table("memory", "memory.oom_control")["oom_kill"] ?? 0
        out.pids = number("pids", "pids.current") ?? 0
        let inactive = memory["total_inactive_file"] ?? 0
        out.memoryWorkingSet = out.memoryUsage > inactive ? out.memoryUsage - inactive : 0
        return out
    }

    private func number(_ controller: String, _ file: String) -> UInt64? {
        guard let directory = directory(controller), let text = try? Files.text("\(directory)/\(file)") else { return nil }
        return UInt64(text.split(separator: "\n").first ?? "")
    }

    private func table(_ controller: String, _ file: String) -> [String: UInt64] {
        guard let directory = directory(controller), let text = try? Files.text("\(directory)/\(file)") else { return [:] }
        var out: [String: UInt64] = [:]
        for line in text.split(separator: "\n") {
            let words = line.split(separator: " ")
            if words.count == 2 { out[String(words[0])] = UInt64(words[1]) }
        }
        return out
    }
}
