import CLinux
package import Core
import Glibc

/// File operations by path. Each does what its name says or throws the call that failed; none follows a path twice.
package enum Files {
    package static func read(_ path: String, limit: Int = 64 << 20) throws(SystemFailure) -> [UInt8] {
        try Descriptor.open(path, O_RDONLY).readAll(limit: limit)
    }

    package static func text(_ path: String) throws(SystemFailure) -> String {
        String(decoding: try read(path), as: UTF8.self)
    }

    /// Writes into an existing file in one write, as /proc, /sys and cgroup files want it.
    package static func set(_ path: String, _ text: String) throws(SystemFailure) {
        let file = try Descriptor.open(path, O_WRONLY)
        let bytes = Array(text.utf8)
        let count = bytes.withUnsafeBytes { Glibc.write(file.raw, $0.baseAddress, $0.count) }
        guard count == bytes.count else { throw SystemFailure("write", path, hint: text) }
    }

    /// Readers see the old or the new content, never a part.
    package static func replace(_ path: String, _ bytes: [UInt8], mode: UInt32 = 0o600) throws(SystemFailure) {
        let temporary = path + ".new"
        do {
            let file = try Descriptor.open(temporary, O_WRONLY | O_CREAT | O_TRUNC, mode: mode)
            try file.writeAll(bytes)
        }
        guard rename(temporary, path) == 0 else { throw SystemFailure("rename", path) }
    }

    package static func makeDirectories(_ path: String, mode: UInt32 = 0o755) throws(SystemFailure) {
        if mkdir(path, mode) == 0 || errno == EEXIST { return }
        guard errno == ENOENT, let slash = path.lastIndex(of: "/"), slash != path.startIndex else { throw SystemFailure("mkdir", path) }
        try makeDirectories(String(path[..<slash]), mode: mode)
        guard mkdir(path, mode) == 0 || errno == EEXIST else { throw SystemFailure("mkdir", path) }
    }

    package static func exists(_ path: String) -> Bool { access(path, F_OK) == 0 }

    package static func isDirectory(_ path: String) -> Bool {
        jangada_is_directory(path) == 1
    }

    /// The names in a directory, sorted; none where it does not exist.
    package static func list(_ path: String) throws(SystemFailure) -> [String] {
        guard let directory = opendir(path) else {
            if errno == ENOENT { return [] }
            throw SystemFailure("opendir", path)
        }
        defer { closedir(directory) }
        return names(directory).sorted()
    }

    /// Absent is success.
    package static func remove(_ path: String) throws(SystemFailure) {
        guard unlink(path) == 0 || errno == ENOENT else { throw SystemFailure("unlink", path) }
    }

    /// Removes a tree without following symlinks and without crossing into mounts: a mount point below is EBUSY. Absent is success.
    package static func removeTree(_ path: String) throws(SystemFailure) {
        let fd = Glibc.open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
        if fd < 0 {
            if errno == ENOENT { return }
            guard errno == ENOTDIR || errno == ELOOP else { throw SystemFailure("open", path) }
            return try remove(path)
        }
        try empty(fd, path)
        guard rmdir(path) == 0 || errno == ENOENT else { throw SystemFailure("rmdir", path) }
    }

    /// Takes ownership of `fd`.
    private static func empty(_ fd: Int32, _ path: String) throws(SystemFailure) {
        guard let directory = fdopendir(fd) else {
            let failure = SystemFailure("fdopendir", path)
            close(fd)
            throw failure
        }
        defer { closedir(directory) }
        for name in names(directory) {
            if unlinkat(fd, name, 0) == 0 || errno == ENOENT { continue }
            guard errno == EISDIR || errno == EPERM else { throw SystemFailure("unlinkat", "\(path)/\(name)") }
            let child = openat(fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
            guard child >= 0 else { throw SystemFailure("openat", "\(path)/\(name)") }
            try empty(child, "\(path)/\(name)")
            guard unlinkat(fd, name, AT_REMOVEDIR) == 0 || errno == ENOENT else { throw SystemFailure("rmdir", "\(path)/\(name)") }
        }
    }

    private static func names(_ directory: OpaquePointer) -> [String] {
        var out: [String] = []
        while let entry = readdir(directory) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) {
                $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            if name != "." && name != ".." { out.append(name) }
        }
        return out
    }

    /// Opens `path` below the directory `root` as a process whose root it is would, symlinks included; it cannot leave it.
    package static func openInRoot(_ root: Descriptor, _ path: String, _ flags: Int32, mode: UInt32 = 0) throws(SystemFailure) -> Descriptor
    {
        let resolve = UInt64(JANGADA_RESOLVE_IN_ROOT | JANGADA_RESOLVE_NO_MAGICLINKS)
        let fd = jangada_openat2(root.raw, path.isEmpty ? "." : path, UInt64(UInt32(bitPattern: flags | O_CLOEXEC)), UInt64(mode), resolve)
        guard fd >= 0 else { throw SystemFailure("openat2", path) }
        return Descriptor(fd)
    }

    /// Opens `path` below `root`; a path or symlink that leads out of it is refused with EXDEV.
    package static func openBeneath(_ root: Descriptor, _ path: String, _ flags: Int32, mode: UInt32 = 0) throws(SystemFailure)
        -> Descriptor
    {
        let resolve = UInt64(JANGADA_RESOLVE_BENEATH | JANGADA_RESOLVE_NO_MAGICLINKS)
        let fd = jangada_openat2(root.raw, path.isEmpty ? "." : path, UInt64(UInt32(bitPattern: flags | O_CLOEXEC)), UInt64(mode), resolve)
        guard fd >= 0 else { throw SystemFailure("openat2", path) }
        return Descriptor(fd)
    }

    package static func changeOwner(_ path: String, uid: UInt32, gid: UInt32) throws(SystemFailure) {
        guard lchown(path, uid, gid) == 0 else { throw SystemFailure("lchown", path) }
    }

    /// Holds an exclusive lock for as long as the descriptor lives; nil where another process holds it.
    package static func lock(_ path: String) throws(SystemFailure) -> Descriptor? {
        let file = try Descriptor.open(path, O_RDWR | O_CREAT, mode: 0o600)
        if flock(file.raw, LOCK_EX | LOCK_NB) == 0 { return file }
        guard errno == EWOULDBLOCK else { throw SystemFailure("flock", path) }
        return nil
    }
}
