import Containers
import Linux
import Machinery
import Tree

/// Requests and limits as cgroups have them.
enum ContainerResources {
    static let period: Int64 = 100_000

    static func limits(_ resources: Node, isPrivileged: Bool) -> CgroupLimits {
        var limits = CgroupLimits(devices: isPrivileged ? nil : DeviceRule.standard)
        let request = Amount.milli(resources["requests"]["cpu"]) ?? Amount.milli(resources["limits"]["cpu"]) ?? 0
        limits.cpuShares = shares(request)
        if let limit = Amount.milli(resources["limits"]["cpu"]), limit > 0 {
            limits.cpuQuota = quota(limit)
            limits.cpuPeriod = UInt64(period)
        }
        if let memory = Amount.bytes(resources["limits"]["memory"]), memory > 0 { limits.memory = memory }
        return limits
    }

    /// The pod's own group: the sum of its containers', bounded only where every container is.
    static func limits(_ pod: PodView) -> CgroupLimits {
        var limits = CgroupLimits()
        let own = pod.spec["resources"]
        let long = pod.containers + pod.sidecars
        func sum(_ kind: String, _ name: String) -> Int64? {
            let read: (Node) -> Int64? = { name == "cpu" ? Amount.milli($0) : Amount.bytes($0) }
            if let value = read(own[kind][name]) { return value }
            var total: Int64 = 0
            for container in long {
                guard let value = read(container["resources"][kind][name]) ?? (kind == "requests" ? read(container["resources"]["limits"][name]) : nil) else {
                    if kind == "limits" { return nil }
                    continue
                }
                total += value
            }
            let initial = pod.initContainers.compactMap { read($0["resources"][kind][name]) }.max() ?? 0
            return max(total, initial)
        }
        limits.cpuShares = shares(sum("requests", "cpu") ?? 0)
        if let cpu = sum("limits", "cpu"), cpu > 0 {
            limits.cpuQuota = quota(cpu)
            limits.cpuPeriod = UInt64(period)
        }
        if let memory = sum("limits", "memory"), memory > 0 { limits.memory = memory }
        return limits
    }

    static func shares(_ milli: Int64) -> UInt64 { UInt64(min(max(milli * 1024 / 1000, 2), 262_144)) }
    static func quota(_ milli: Int64) -> Int64 { max(milli * period / 1000, 1000) }

    /// Who goes first when the machine runs out of memory.
    static func oomScore(_ container: Node, _ pod: PodView, memoryCapacity: Int64) -> Int {
        switch QualityOfService(pod.spec) {
        case .guaranteed: return -997
        case .bestEffort: return 1000
        case .burstable:
            let request = Amount.bytes(container["resources"]["requests"]["memory"]) ?? 0
            let score = 1000 - (1000 * request) / max(1, memoryCapacity)
            return Int(min(max(score, 3), 999))
        }
    }
}
