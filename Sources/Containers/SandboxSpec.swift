import CLinux
package import Linux

/// What a sandbox is made of: the namespaces that its containers share, and the cgroup above theirs.
package struct SandboxSpec: Sendable {
    package enum Network: Sendable {
        /// The daemon's own.
        case host
        /// A new, empty one.
        case new
        case given(NetworkNamespace)
    }
    package enum ProcessIDs: Sendable, Equatable { case perContainer, shared, host }

    /// Unique among all sandboxes, at most 127 bytes of letters, digits, `-`, `_` and `.`.
    package var id: String
    package var hostname = ""
    package var domainname = ""
    package var network = Network.new
    package var hostIPC = false
    package var hostUTS = false
    package var processIDs = ProcessIDs.perContainer
    /// By their dotted names; only such as belong to one of the sandbox's own namespaces.
    package var sysctls: [String: String] = [:]
    package var sharedMemorySize: UInt64 = 64 << 20
    /// Path of the sandbox's cgroup, below the hierarchy's root: "kubepods/burstable/pod123".
    package var cgroup: String
    package var limits = CgroupLimits()
    /// The caller's own, kept for the daemon that adopts the sandbox.
    package var labels: [String: String] = [:]

    package init(id: String, cgroup: String) {
        self.id = id
        self.cgroup = cgroup
    }

    func encode(directory: String) -> [UInt8] {
        var flags = 0
        if !hostIPC { flags |= JF_NEW_IPC }
        if !hostUTS { flags |= JF_NEW_UTS }
        if processIDs == .shared { flags |= JF_SHARED_PID }
        if processIDs == .host { flags |= JF_HOST_PID }
        if case .new = network { flags |= JF_NEW_NET }
        var out = RecordWriter()
        out.put(JR_ID, [], [id])
        out.put(JR_FLAGS, [UInt64(flags)])
        out.put(JR_DIRECTORY, [], [directory])
        if !hostname.isEmpty { out.put(JR_HOSTNAME, [], [hostname]) }
        if !domainname.isEmpty { out.put(JR_DOMAINNAME, [], [domainname]) }
        if !hostIPC { out.put(JR_SHM, [sharedMemorySize]) }
        for (name, value) in sysctls.sorted(by: { $0.key < $1.key }) {
            out.put(JR_SYSCTL, [], [String(name.map { $0 == "." ? "/" : $0 == "/" ? "." : $0 }), value])
        }
        out.put(JR_PATH, [], [cgroup])
        for (key, value) in labels.sorted(by: { $0.key < $1.key }) { out.put(JR_LABEL, [], [key, value]) }
        return out.bytes
    }
}
