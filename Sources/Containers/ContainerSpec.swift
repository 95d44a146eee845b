import CLinux
package import Linux

/// Everything about one container, already resolved: numbers for users, paths for layers, bytes for filters. Secure by default:
/// the usual capabilities, the default seccomp filter, masked paths and the few devices every container has.
package struct ContainerSpec: Sendable {
    /// Unique among all containers, at most 127 bytes of letters, digits, `-`, `_` and `.`.
    package var id: String
    package var root: RootFilesystem
    package var process: ProcessSpec
    package var mounts: [ContainerMount] = ContainerMount.standard
    package var devices: [ContainerDevice] = ContainerDevice.standard
    package var maskedPaths = ContainerSpec.standardMaskedPaths
    package var readonlyPaths = ContainerSpec.standardReadonlyPaths
    package var limits = CgroupLimits()
    /// nil: every device of the machine.
    package var allowedDevices: [DeviceRule]? = DeviceRule.standard
    package var processIDs = ProcessIDs.own
    package var cgroupNamespace = true
    package var stdin = false
    package var stdinOnce = false
    package var log: ContainerLog?
    package var labels: [String: String] = [:]

    package enum ProcessIDs: Sendable, Equatable {
        case own
        /// The sandbox's shared one, or the host's, as the sandbox was made.
        case sandbox
        /// Another container's.
        case container(String)
    }

    package init(id: String, root: RootFilesystem, process: ProcessSpec) {
        self.id = id
        self.root = root
        self.process = process
    }

    package static let standardMaskedPaths = [
        "/proc/asound", "/proc/acpi", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list",
        "/proc/timer_stats", "/proc/sched_debug", "/proc/scsi", "/sys/firmware", "/sys/devices/virtual/powercap",
    ]
    package static let standardReadonlyPaths = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]
}

/// What runs, as whom, and with which rights; the part of a container that an exec has too.
package struct ProcessSpec: Sendable {
    package var arguments: [String]
    /// `NAME=value`
    package var environment: [String] = ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]
    package var directory = "/"
    package var user = ContainerUser()
    package var capabilities = CapabilitySets.standard
    package var noNewPrivileges = false
    /// A compiled filter; nil runs unconfined.
    package var seccomp: SeccompFilter?
    package var terminal = false
    package var oomScoreAdjustment: Int?
    package var limits: [ResourceLimit] = []

    package init(arguments: [String], seccomp: SeccompFilter?) {
        self.arguments = arguments
        self.seccomp = seccomp
    }
}

package struct ContainerUser: Sendable, Equatable {
    package var uid: UInt32 = 0
    package var gid: UInt32 = 0
    package var groups: [UInt32] = []
    package var umask: UInt32 = 0o022

    package init(uid: UInt32 = 0, gid: UInt32 = 0, groups: [UInt32] = [], umask: UInt32 = 0o022) {
        self.uid = uid
        self.gid = gid
        self.groups = groups
        self.umask = umask
    }
}

package struct ResourceLimit: Sendable, Equatable {
    package let resource: Int32
    package let soft: UInt64
    package let hard: UInt64

    package init(resource: Int32, soft: UInt64, hard: UInt64) {
        self.resource = resource
        self.soft = soft
        self.hard = hard
    }
}

/// Where the sandbox init writes the container's output, in the CRI format, and when it starts a new file by itself.
package struct ContainerLog: Sendable, Equatable {
    package var path: String
    /// 0: only on request.
    package var rotateAt: UInt64
    /// Including the one being written.
    package var files: Int

    package init(path: String, rotateAt: UInt64 = 10 << 20, files: Int = 5) {
        self.path = path
        self.rotateAt = rotateAt
        self.files = files
    }
}

package struct ContainerDevice: Sendable, Equatable {
    package var path: String
    package var type: DeviceRule.Kind
    package var major: UInt32
    package var minor: UInt32
    package var mode: UInt32 = 0o666
    package var uid: UInt32 = 0
    package var gid: UInt32 = 0

    package init(path: String, type: DeviceRule.Kind, major: UInt32, minor: UInt32, mode: UInt32 = 0o666, uid: UInt32 = 0, gid: UInt32 = 0)
    {
        self.path = path
        self.type = type
        self.major = major
        self.minor = minor
        self.mode = mode
        self.uid = uid
        self.gid = gid
    }

    package static let standard = [
        ContainerDevice(path: "/dev/null", type: .character, major: 1, minor: 3),
        ContainerDevice(path: "/dev/zero", type: .character, major: 1, minor: 5),
        ContainerDevice(path: "/dev/full", type: .character, major: 1, minor: 7),
        ContainerDevice(path: "/dev/random", type: .character, major: 1, minor: 8),
        ContainerDevice(path: "/dev/urandom", type: .character, major: 1, minor: 9),
        ContainerDevice(path: "/dev/tty", type: .character, major: 5, minor: 0),
    ]
}

/// The layers of an image as directories, topmost first, and whether there is a place to write.
package struct RootFilesystem: Sendable, Equatable {
    package var layers: [String]
    /// False mounts it read-only, and writes go nowhere.
    package var readOnly: Bool
    /// Where writes go instead of a place of the container's own, which ends with it: for those who keep them.
    package var writable: WritableLayer?

    package init(layers: [String], readOnly: Bool = false, writable: WritableLayer? = nil) {
        self.layers = layers
        self.readOnly = readOnly
        self.writable = writable
    }
}

/// Two directories of the caller's, on one file system. What is found in `upper` afterwards is whole: no file in it leans on the
/// layers below, and whiteouts and opaque marks are all that refers to them.
package struct WritableLayer: Sendable, Equatable {
    package var upper: String
    package var work: String

    package init(upper: String, work: String) {
        self.upper = upper
        self.work = work
    }
}
