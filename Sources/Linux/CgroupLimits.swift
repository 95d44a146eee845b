import Glibc

/// What a cgroup may use, in v1's terms where the two versions differ, since Kubernetes' own conversions start from those. nil leaves a value as it is.
package struct CgroupLimits: Sendable, Equatable {
    /// Relative weight, 1024 for a whole CPU asked for.
    package var cpuShares: UInt64?
    /// Microseconds of CPU time in each period; negative is unlimited.
    package var cpuQuota: Int64?
    package var cpuPeriod: UInt64?
    /// Bytes; negative is unlimited. Swap is not given on top.
    package var memory: Int64?
    /// v2: memory.min; v1: soft limit.
    package var memoryRequest: Int64?
    /// v2: throttles from here on.
    package var memoryHigh: Int64?
    package var pids: Int64?
    package var cpus: String?
    package var memoryNodes: String?
    /// Bytes by page size ("2MB").
    package var hugePages: [String: UInt64] = [:]
    /// All processes of the group go when one runs out of memory (v2 only).
    package var oomGroup: Bool?
    /// Everything else is refused; nil allows all devices.
    package var devices: [DeviceRule]?

    package init(devices: [DeviceRule]? = nil) { self.devices = devices }

    /// The weight of v2 for v1's shares, by the formula of KEP-2254 as of runc 1.3: 1024 shares are weight 100.
    package static func weight(shares: UInt64) -> UInt64 {
        if shares <= 2 { return 1 }
        if shares >= 262_144 { return 10_000 }
        let exponent: Double = log2(Double(shares))
        let scaled: Double = (exponent * exponent + 125 * exponent) / 612.0 - 7.0 / 34.0
        return UInt64(pow(10.0, scaled).rounded(.up))
    }
}

/// One class of device that a group may use.
package struct DeviceRule: Sendable, Equatable {
    package enum Kind: Sendable, Equatable {
        case character, block
        package var letter: UInt8 { self == .character ? 0x63 : 0x62 }
    }

    package let kind: Kind
    /// nil: any.
    package let major: UInt32?
    package let minor: UInt32?
    package let read: Bool
    package let write: Bool
    package let create: Bool

    package init(_ kind: Kind, major: UInt32?, minor: UInt32?, access: String) {
        self.kind = kind
        self.major = major
        self.minor = minor
        read = access.contains("r")
        write = access.contains("w")
        create = access.contains("m")
    }

    /// Making any node, and using the harmless ones and terminals.
    package static let standard: [DeviceRule] =
        [DeviceRule(.character, major: nil, minor: nil, access: "m"), DeviceRule(.block, major: nil, minor: nil, access: "m")]
        + [(1, 3), (1, 5), (1, 7), (1, 8), (1, 9), (5, 0), (5, 1), (5, 2)].map {
            DeviceRule(.character, major: $0.0, minor: $0.1, access: "rwm")
        }
        + [DeviceRule(.character, major: 136, minor: nil, access: "rwm")]

    /// A line for v1's devices.allow.
    var line: String {
        let access = (read ? "r" : "") + (write ? "w" : "") + (create ? "m" : "")
        return "\(kind == .character ? "c" : "b") \(major.map(String.init) ?? "*"):\(minor.map(String.init) ?? "*") \(access)"
    }
}
