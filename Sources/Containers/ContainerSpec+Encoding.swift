import CLinux
package import Linux

/// Paths that the runtime chose for a container.
struct ContainerPaths: Sendable {
    let upper: String
    let work: String
    let root: String
    let state: String
}

extension ContainerSpec {
    /// The records that the sandbox init builds the container from.
    func encode(paths: ContainerPaths, cgroup: Cgroup) -> [UInt8] {
        var out = RecordWriter()
        out.put(JR_ID, [], [id])
        var flags = process.flags
        if stdin { flags |= JF_STDIN }
        if stdinOnce { flags |= JF_STDIN_ONCE }
        if root.readOnly { flags |= JF_READONLY_ROOT }
        if processIDs == .own { flags |= JF_NEW_PID }
        if cgroupNamespace { flags |= JF_NEW_CGROUP }
        out.put(JR_FLAGS, [UInt64(flags)])
        if case .container(let id) = processIDs { out.put(JR_PID_OF, [], [id]) }
        for layer in root.layers { out.put(JR_LAYER, [], [layer]) }
        // Redirects and metadata-only copies would leave an upper directory that says half of what changed.
        let options = root.writable == nil ? [] : ["redirect_dir=off,metacopy=off"]
        out.put(JR_UPPER, [], [paths.upper, paths.work] + options)
        out.put(JR_ROOT, [], [paths.root])
        out.put(JR_STATE, [], [paths.state])
        if let log { out.put(JR_LOG, [log.rotateAt, UInt64(max(1, log.files))], [log.path]) }
        for mount in ordered(mounts) { mount.encode(into: &out, cgroupControllers: cgroup.hierarchy.visibleControllers) }
        for device in devices {
            let numbers = [
                UInt64(device.type.letter), UInt64(device.major), UInt64(device.minor), UInt64(device.mode), UInt64(device.uid),
                UInt64(device.gid),
            ]
            out.put(JR_DEVICE, numbers, [device.path])
        }
        for path in maskedPaths { out.put(JR_MASK, [], [path]) }
        for path in readonlyPaths { out.put(JR_READONLY, [], [path]) }
        for file in cgroup.taskFiles { out.put(JR_CGROUP_TASKS, [], [file]) }
        if let directory = cgroup.unifiedDirectory { out.put(JR_CGROUP_DIR, [], [directory]) }
        if let file = cgroup.oomFile { out.put(JR_OOM_FILE, [], [file]) }
        process.encode(into: &out)
        return out.bytes
    }

    /// Parents before what lies below them; otherwise as given.
    private func ordered(_ mounts: [ContainerMount]) -> [ContainerMount] {
        func depth(_ mount: ContainerMount) -> Int { mount.target.split(separator: "/").count }
        return mounts.enumerated().sorted { (depth($0.element), $0.offset) < (depth($1.element), $1.offset) }.map(\.element)
    }
}

extension ProcessSpec {
    var flags: Int { (terminal ? JF_TTY : 0) | (noNewPrivileges ? JF_NO_NEW_PRIVS : 0) }

    /// All but the flags.
    func encode(into out: inout RecordWriter) {
        for argument in arguments { out.put(JR_ARG, [], [argument]) }
        for variable in environment { out.put(JR_ENV, [], [variable]) }
        out.put(JR_CWD, [], [directory.isEmpty ? "/" : directory])
        out.put(JR_USER, [UInt64(user.uid), UInt64(user.gid), UInt64(user.umask)])
        out.put(JR_GROUPS, user.groups.map { UInt64($0) })
        out.put(JR_CAPABILITIES, capabilities.words)
        if let seccomp { out.put(JR_SECCOMP, [UInt64(seccomp.flags)], raw: seccomp.program) }
        if let score = oomScoreAdjustment { out.put(JR_OOM_SCORE, [UInt64(bitPattern: Int64(score))]) }
        for limit in limits { out.put(JR_RLIMIT, [UInt64(limit.resource), limit.soft, limit.hard]) }
    }
}

/// What an exec changes about the container's own process; the rest it inherits.
package struct ExecSpec: Sendable {
    package var arguments: [String]
    /// Stronger than the container's own.
    package var environment: [String] = []
    package var directory: String?
    package var user: ContainerUser?
    package var capabilities: CapabilitySets?
    package var terminal = false
    package var stdin = false
    package var stdout = true
    package var stderr = true
    package var rows: UInt16 = 0
    package var columns: UInt16 = 0

    package init(arguments: [String]) { self.arguments = arguments }

    /// Made from the container's own records, as they were when it was created: an adopting daemon has nothing else.
    func encode(inheriting container: [UInt8]) -> [UInt8] {
        var out = RecordWriter()
        var inherited = [JR_ENV, JR_GROUPS, JR_SECCOMP, JR_OOM_SCORE, JR_RLIMIT, JR_CGROUP_TASKS, JR_CGROUP_DIR]
        if user == nil { inherited.append(JR_USER) } else { inherited.removeAll { $0 == JR_GROUPS } }
        if directory == nil { inherited.append(JR_CWD) }
        if capabilities == nil { inherited.append(JR_CAPABILITIES) }
        var flags = terminal ? JF_TTY : 0
        // In front: of two of one name, programs take the first.
        for variable in environment { out.put(JR_ENV, [], [variable]) }
        for record in RecordReader(container) {
            if inherited.contains(record.tag) { out.append(records: Array(record.whole)) }
            if record.tag == JR_FLAGS { flags |= Int(record.number(0)) & JF_NO_NEW_PRIVS }
        }
        out.put(JR_FLAGS, [UInt64(flags)])
        for argument in arguments { out.put(JR_ARG, [], [argument]) }
        if let directory { out.put(JR_CWD, [], [directory]) }
        if let user {
            out.put(JR_USER, [UInt64(user.uid), UInt64(user.gid), UInt64(user.umask)])
            out.put(JR_GROUPS, user.groups.map { UInt64($0) })
        }
        if let capabilities { out.put(JR_CAPABILITIES, capabilities.words) }
        if terminal && rows > 0 { out.put(JR_WINDOW, [UInt64(rows), UInt64(columns)]) }
        return out.bytes
    }
}
