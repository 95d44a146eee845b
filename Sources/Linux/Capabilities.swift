/// The kernel's capabilities by their numbers in <linux/capability.h>.
package enum Capability: UInt8, CaseIterable, Sendable {
    case chown = 0
    case dacOverride, dacReadSearch, fowner, fsetid, kill, setgid, setuid, setpcap, linuxImmutable, netBindService, netBroadcast, netAdmin
    case netRaw, ipcLock, ipcOwner, sysModule, sysRawio, sysChroot, sysPtrace, sysPacct, sysAdmin, sysBoot, sysNice, sysResource, sysTime
    case sysTtyConfig, mknod, lease, auditWrite, auditControl, setfcap, macOverride, macAdmin, syslog, wakeAlarm, blockSuspend, auditRead
    case perfmon, bpf, checkpointRestore

    /// `NET_ADMIN`, as Kubernetes writes it.
    package var name: String {
        var out = ""
        for character in "\(self)" {
            if character.isUppercase { out.append("_") }
            out.append(contentsOf: character.uppercased())
        }
        return out
    }

    /// With or without the `CAP_` prefix, in any case.
    package init?(name: String) {
        var text = name.uppercased()
        if text.hasPrefix("CAP_") { text.removeFirst(4) }
        guard let found = Capability.byName[text] else { return nil }
        self = found
    }

    private static let byName = Dictionary(uniqueKeysWithValues: allCases.map { ($0.name, $0) })

    package var bit: UInt64 { 1 << UInt64(rawValue) }
}

/// The five sets of a process, as bit masks.
package struct CapabilitySets: Sendable, Equatable {
    package var bounding: UInt64
    package var effective: UInt64
    package var permitted: UInt64
    package var inheritable: UInt64
    package var ambient: UInt64

    /// For a container: bounding, effective and permitted are the same; nothing is inheritable, so that no program run as another
    /// user gains by a file's inheritable set. Ambient ones reach programs of users other than root.
    package init(_ mask: UInt64, ambient: UInt64 = 0) {
        bounding = mask
        effective = mask
        permitted = mask
        inheritable = ambient
        self.ambient = ambient
    }

    package static let none = CapabilitySets(0)
    package static let all = CapabilitySets(Capability.allCases.reduce(0) { $0 | $1.bit })
    /// What containerd gives a container that asks for nothing.
    package static let standard = CapabilitySets(
        [
            .chown, .dacOverride, .fsetid, .fowner, .mknod, .netRaw, .setgid, .setuid, .setfcap, .setpcap, .netBindService, .sysChroot,
            .kill, .auditWrite,
        ]
        .reduce(0) { (mask: UInt64, capability: Capability) in mask | capability.bit })

    /// In the order of the sandbox init's record.
    package var words: [UInt64] { [bounding, effective, permitted, inheritable, ambient] }
}
