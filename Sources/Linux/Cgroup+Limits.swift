import CLinux
package import Core
import Glibc

extension Cgroup {
    /// Sets the limits. What this machine has no controller or file for is returned by name, not thrown: the caller decides whether it matters.
    @discardableResult
    package func apply(_ limits: CgroupLimits) throws(SystemFailure) -> [String] {
        var skipped: [String] = []
        for (controller, file, value) in isUnified ? unifiedValues(limits) : legacyValues(limits) {
            guard let directory = directory(controller), Files.exists("\(directory)/\(file)") else {
                skipped.append(file)
                continue
            }
            try Files.set("\(directory)/\(file)", value)
        }
        if let rules = limits.devices {
            if isUnified { try attachDeviceProgram(rules) } else { try setDevices(rules, &skipped) }
        }
        return skipped
    }

    private func legacyValues(_ limits: CgroupLimits) -> [(String, String, String)] {
        var out: [(String, String, String)] = []
        if let shares = limits.cpuShares { out.append(("cpu", "cpu.shares", "\(max(2, shares))")) }
        if let period = limits.cpuPeriod { out.append(("cpu", "cpu.cfs_period_us", "\(period)")) }
        if let quota = limits.cpuQuota { out.append(("cpu", "cpu.cfs_quota_us", "\(quota < 0 ? -1 : quota)")) }
        if let memory = limits.memory {
            let value = memory < 0 ? "-1" : "\(memory)"
            // Without swap on top. Raising: the sum first, since the kernel keeps memory ≤ memory and swap.
            if memory < 0 || current("memory", "memory.limit_in_bytes") < memory {
                out.append(("memory", "memory.memsw.limit_in_bytes", value))
                out.append(("memory", "memory.limit_in_bytes", value))
            } else {
                out.append(("memory", "memory.limit_in_bytes", value))
                out.append(("memory", "memory.memsw.limit_in_bytes", value))
            }
        }
        if let request = limits.memoryRequest { out.append(("memory", "memory.soft_limit_in_bytes", "\(request)")) }
        if let pids = limits.pids { out.append(("pids", "pids.max", pids < 0 ? "max" : "\(pids)")) }
        if let nodes = limits.memoryNodes { out.append(("cpuset", "cpuset.mems", nodes)) }
        if let cpus = limits.cpus { out.append(("cpuset", "cpuset.cpus", cpus)) }
        for (size, bytes) in limits.hugePages.sorted(by: { $0.key < $1.key }) {
            out.append(("hugetlb", "hugetlb.\(size).limit_in_bytes", "\(bytes)"))
        }
        return out
    }

    private func unifiedValues(_ limits: CgroupLimits) -> [(String, String, String)] {
        var out: [(String, String, String)] = []
        func limit(_ value: Int64) -> String { value < 0 ? "max" : "\(value)" }
        if let shares = limits.cpuShares { out.append(("cpu", "cpu.weight", "\(CgroupLimits.weight(shares: shares))")) }
        if limits.cpuQuota != nil || limits.cpuPeriod != nil {
            out.append(("cpu", "cpu.max", "\(limit(limits.cpuQuota ?? -1)) \(limits.cpuPeriod ?? 100_000)"))
        }
        if let memory = limits.memory {
            out.append(("memory", "memory.max", limit(memory)))
            out.append(("memory", "memory.swap.max", memory < 0 ? "max" : "0"))
        }
        if let request = limits.memoryRequest { out.append(("memory", "memory.min", "\(request)")) }
        if let high = limits.memoryHigh { out.append(("memory", "memory.high", limit(high))) }
        if let group = limits.oomGroup { out.append(("memory", "memory.oom.group", group ? "1" : "0")) }
        if let pids = limits.pids { out.append(("pids", "pids.max", limit(pids))) }
        if let nodes = limits.memoryNodes { out.append(("cpuset", "cpuset.mems", nodes)) }
        if let cpus = limits.cpus { out.append(("cpuset", "cpuset.cpus", cpus)) }
        for (size, bytes) in limits.hugePages.sorted(by: { $0.key < $1.key }) { out.append(("hugetlb", "hugetlb.\(size).max", "\(bytes)")) }
        return out
    }

    func current(_ controller: String, _ file: String) -> Int64 {
        guard let directory = directory(controller), let text = try? Files.text("\(directory)/\(file)") else { return 0 }
        return Int64(text.split(separator: "\n").first ?? "") ?? 0
    }

    private func setDevices(_ rules: [DeviceRule], _ skipped: inout [String]) throws(SystemFailure) {
        guard let directory = directory("devices") else {
            skipped.append("devices")
            return
        }
        let allow = try Descriptor.open("\(directory)/devices.allow", O_WRONLY)
        try Files.set("\(directory)/devices.deny", "a")
        for rule in rules { try allow.writeAll(Array(rule.line.utf8)) }
    }

    private func attachDeviceProgram(_ rules: [DeviceRule]) throws(SystemFailure) {
        let group = try Descriptor.open("\(hierarchy.root)/\(path)", O_RDONLY | O_DIRECTORY)
        let program = DeviceProgram.instructions(rules)
        guard jangada_cgroup_attach_devices(group.raw, program, UInt32(program.count)) == 0 else {
            throw SystemFailure("bpf", path, hint: "device program")
        }
    }
}

/// The eBPF program that stands in for v1's devices controller: an allow list, then no.
enum DeviceProgram {
    /// On entry r1 points at { access << 16 | type, major, minor }.
    static func instructions(_ rules: [DeviceRule]) -> [UInt64] {
        var out = [
            load(into: 2, at: 0), move(3, from: 2), instruction(0x54, 2, 0, 0, 0xFFFF) /* w2 &= 0xffff: the type */,
            instruction(0x74, 3, 0, 0, 16) /* w3 >>= 16: the access */, load(into: 4, at: 4), load(into: 5, at: 8),
        ]
        for rule in rules {
            var checks: [(UInt64) -> UInt64] = [
                // BPF_DEVCG_DEV_BLOCK 1, BPF_DEVCG_DEV_CHAR 2
                { skip in instruction(0x55, 2, 0, Int16(skip), rule.kind == .block ? 1 : 2) }
            ]
            // BPF_DEVCG_ACC_MKNOD 1, READ 2, WRITE 4: anything asked beyond the rule's goes on to the next.
            let allowed: Int32 = (rule.create ? 1 : 0) | (rule.read ? 2 : 0) | (rule.write ? 4 : 0)
            checks.append { skip in instruction(0x45, 3, 0, Int16(skip), ~allowed & 7) }
            if let major = rule.major { checks.append { skip in instruction(0x55, 4, 0, Int16(skip), Int32(bitPattern: major)) } }
            if let minor = rule.minor { checks.append { skip in instruction(0x55, 5, 0, Int16(skip), Int32(bitPattern: minor)) } }
            for (index, check) in checks.enumerated() { out.append(check(UInt64(checks.count - index - 1 + 2))) }
            out.append(instruction(0xB7, 0, 0, 0, 1))
            out.append(instruction(0x95, 0, 0, 0, 0))
        }
        out.append(instruction(0xB7, 0, 0, 0, 0))
        out.append(instruction(0x95, 0, 0, 0, 0))
        return out
    }

    private static func load(into register: UInt64, at offset: Int16) -> UInt64 { instruction(0x61, register, 1, offset, 0) }
    private static func move(_ to: UInt64, from: UInt64) -> UInt64 { instruction(0xBC, to, from, 0, 0) }

    private static func instruction(_ code: UInt64, _ destination: UInt64, _ source: UInt64, _ offset: Int16, _ value: Int32) -> UInt64 {
        code | destination << 8 | source << 12 | UInt64(UInt16(bitPattern: offset)) << 16 | UInt64(UInt32(bitPattern: value)) << 32
    }
}
