import CLinux
import Glibc

/// One mount in a container. Sources are looked up on the host, targets inside the container's root; a subpath cannot leave its source.
package struct ContainerMount: Sendable, Equatable {
    package enum Kind: Sendable, Equatable {
        case bind(source: String, subpath: String = "", makeSubpath: Bool = false)
        case tmpfs(options: String = "")
        case proc, sysfs, devices, terminals, messageQueues, cgroups, sharedMemory
    }
    package enum Propagation: Sendable, Equatable { case `private`, hostToContainer, bidirectional }

    package var target: String
    package var kind: Kind
    package var readOnly = false
    /// Submounts too; false leaves those as they are.
    package var recursiveReadOnly = false
    package var noExec = false
    package var noSuid = false
    package var noDevices = false
    package var propagation = Propagation.private
    /// A failure becomes a note of the start, not its end.
    package var optional = false

    package init(target: String, _ kind: Kind, readOnly: Bool = false) {
        self.target = target
        self.kind = kind
        self.readOnly = readOnly
    }

    /// What every container has: its own /proc and /dev, a read-only /sys and cgroup view, and the sandbox's /dev/shm.
    package static let standard: [ContainerMount] = [
        system("/proc", .proc), ContainerMount(target: "/dev", .devices), terminals,
        system("/dev/mqueue", .messageQueues), system("/dev/shm", .sharedMemory),
        system("/sys", .sysfs, readOnly: true), system("/sys/fs/cgroup", .cgroups, readOnly: true, optional: true),
    ]

    /// As `standard`, with a writable /sys and /sys/fs/cgroup.
    package static var privileged: [ContainerMount] {
        standard.map {
            var mount = $0
            mount.readOnly = false
            return mount
        }
    }

    private static var terminals: ContainerMount {
        var mount = ContainerMount(target: "/dev/pts", .terminals)
        mount.noSuid = true
        mount.noExec = true
        return mount
    }

    private static func system(_ target: String, _ kind: Kind, readOnly: Bool = false, optional: Bool = false) -> ContainerMount {
        var mount = ContainerMount(target: target, kind, readOnly: readOnly)
        mount.noSuid = true
        mount.noExec = true
        mount.noDevices = true
        mount.optional = optional
        return mount
    }

    func encode(into out: inout RecordWriter, cgroupControllers: String) {
        var attributes = 0
        if readOnly { attributes |= JANGADA_ATTR_RDONLY }
        if noExec { attributes |= JANGADA_ATTR_NOEXEC }
        if noSuid { attributes |= JANGADA_ATTR_NOSUID }
        if noDevices { attributes |= JANGADA_ATTR_NODEV }
        var flags = 0
        if optional { flags |= JM_FLAG_OPTIONAL }
        if recursiveReadOnly { flags |= JM_FLAG_RO_RECURSIVE }
        var source = ""
        var subpath = ""
        var data = ""
        let number: Int
        switch kind {
        case .bind(let path, let below, let make):
            number = JM_BIND
            source = path
            subpath = below
            flags |= JM_FLAG_RECURSIVE | (make ? JM_FLAG_CREATE_SUB : 0)
        case .tmpfs(let options):
            number = JM_TMPFS
            data = options
        case .proc: number = JM_PROC
        case .sysfs: number = JM_SYSFS
        case .devices: number = JM_DEV
        case .terminals:
            number = JM_DEVPTS
            data = "newinstance,ptmxmode=0666,mode=0620,gid=5"
        case .messageQueues: number = JM_MQUEUE
        case .cgroups:
            number = JM_CGROUP
            data = cgroupControllers
        case .sharedMemory: number = JM_SHM
        }
        out.put(JR_MOUNT, [UInt64(number), UInt64(attributes), UInt64(flags), propagationFlag], [target, source, subpath, data])
    }

    private var propagationFlag: UInt64 {
        guard case .bind = kind else { return 0 }
        return switch propagation {
        case .private: UInt64(MS_PRIVATE)
        case .hostToContainer: UInt64(MS_SLAVE)
        case .bidirectional: UInt64(MS_SHARED)
        }
    }
}
