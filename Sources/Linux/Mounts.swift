import CLinux
package import Core
import Glibc

/// Mounts in the daemon's own namespace, as volumes need them. Each call does one thing; undoing is idempotent.
package enum Mounts {
    package struct Entry: Sendable, Equatable {
        package let target: String
        package let type: String
        package let source: String
        package let root: String
        package let isShared: Bool
    }

    package static func tmpfs(at target: String, options: String = "") throws(SystemFailure) {
        guard mount("tmpfs", target, "tmpfs", UInt(MS_NOSUID | MS_NODEV), options) == 0 else { throw SystemFailure("mount", target) }
    }

    /// A file system in memory, of at most `size` bytes where given. Nothing happens where one stands already.
    package static func tmpfs(at path: String, size: Int64?, mode: UInt32 = 0o777) throws(SystemFailure) {
        if try isMountPoint(path) { return }
        try tmpfs(at: path, options: "mode=\(String(mode, radix: 8))" + (size.map { ",size=\($0)" } ?? ""))
    }

    /// Submounts come along. Read-only holds for the top mount alone, unless `recursively`.
    package static func bind(_ source: String, to target: String, readOnly: Bool = false, recursively: Bool = false) throws(SystemFailure) {
        let tree = jangada_open_tree(AT_FDCWD, source, UInt32(JANGADA_OPEN_TREE_CLONE | JANGADA_AT_RECURSIVE))
        guard tree >= 0 else { throw SystemFailure("open_tree", source) }
        let held = Descriptor(tree)
        let empty: UInt32 = 0x1000 /* AT_EMPTY_PATH */
        if readOnly {
            let flags = empty | (recursively ? UInt32(JANGADA_AT_RECURSIVE) : 0)
            guard jangada_mount_setattr(held.raw, "", flags, UInt64(JANGADA_ATTR_RDONLY), 0, 0) == 0 else {
                throw SystemFailure("mount_setattr", target)
            }
        }
        guard jangada_move_mount(held.raw, "", AT_FDCWD, target, UInt32(JANGADA_MOVE_F_EMPTY_PATH)) == 0 else {
            throw SystemFailure("move_mount", target)
        }
    }

    /// Directories laid over one another, the topmost first, to be read only. Nothing happens where something stands already.
    package static func overlay(_ layers: [String], at target: String) throws(SystemFailure) {
        if try isMountPoint(target) { return }
        guard layers.count > 1 else { return try bind(layers.first ?? target, to: target, readOnly: true) }
        let context = Descriptor(jangada_fsopen("overlay", 0))
        guard context.raw >= 0 else { throw SystemFailure("fsopen", "overlay") }
        for layer in layers {
            let set = jangada_fsconfig(context.raw, UInt32(JANGADA_FSCONFIG_STRING), "lowerdir+", layer, 0)
            guard set == 0 else { throw SystemFailure("fsconfig", layer, hint: "a layer of an image volume") }
        }
        guard jangada_fsconfig(context.raw, UInt32(JANGADA_FSCONFIG_CREATE), nil, nil, 0) == 0 else { throw SystemFailure("fsconfig", target) }
        let tree = Descriptor(jangada_fsmount(context.raw, 0, UInt32(JANGADA_ATTR_RDONLY | JANGADA_ATTR_NOSUID | JANGADA_ATTR_NODEV)))
        guard tree.raw >= 0 else { throw SystemFailure("fsmount", target) }
        guard jangada_move_mount(tree.raw, "", AT_FDCWD, target, UInt32(JANGADA_MOVE_F_EMPTY_PATH)) == 0 else {
            throw SystemFailure("move_mount", target)
        }
    }

    package static func mountFilesystem(_ type: String, source: String, at target: String, flags: UInt = 0, options: String = "")
        throws(SystemFailure)
    {
        guard mount(source, target, type, flags, options) == 0 else { throw SystemFailure("mount", target, hint: type) }
    }

    /// Everything stacked on this very path, lazily: users of it keep what they have open. Nothing mounted is success.
    package static func unmount(_ target: String) throws(SystemFailure) {
        while umount2(target, Int32(MNT_DETACH) | 8 /* UMOUNT_NOFOLLOW */) == 0 {}
        guard errno == EINVAL || errno == ENOENT else { throw SystemFailure("umount2", target) }
    }

    /// The mounts at or below a path, deepest first, in the order to unmount them.
    package static func below(_ path: String) throws(SystemFailure) -> [Entry] {
        try all().filter { $0.target == path || $0.target.hasPrefix(path + "/") }.reversed()
    }

    package static func isMountPoint(_ path: String) throws(SystemFailure) -> Bool { try all().contains { $0.target == path } }

    package static func all() throws(SystemFailure) -> [Entry] { parse(try Files.text("/proc/self/mountinfo")) }

    static func parse(_ text: String) -> [Entry] {
        text.split(separator: "\n").compactMap { line in
            let fields = line.split(separator: " ")
            guard fields.count > 6, let dash = fields.firstIndex(of: "-"), fields.count > dash + 2 else { return nil }
            return Entry(
                target: unescape(fields[4]), type: String(fields[dash + 1]), source: unescape(fields[dash + 2]), root: unescape(fields[3]),
                isShared: fields[6..<dash].contains { $0.hasPrefix("shared:") })
        }
    }

    /// The kernel writes blanks, tabs, newlines and backslashes as three octal digits.
    private static func unescape(_ text: Substring) -> String {
        guard text.contains("\\") else { return String(text) }
        var out: [UInt8] = []
        let bytes = Array(text.utf8)
        var at = 0
        while at < bytes.count {
            if bytes[at] == 0x5C, at + 3 < bytes.count,
                let value = UInt8(String(decoding: bytes[(at + 1)...(at + 3)], as: UTF8.self), radix: 8)
            {
                out.append(value)
                at += 4
            } else {
                out.append(bytes[at])
                at += 1
            }
        }
        return String(decoding: out, as: UTF8.self)
    }
}
