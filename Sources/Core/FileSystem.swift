import CFiles
import Glibc

/// File calls by path, or by name below an open directory. Every one names itself and its path when it fails.
package enum FileSystem {
    package static func open(
        _ path: String, _ flags: OpenFlags = .readOnly, mode: UInt32 = 0o600, at directory: FileDescriptor? = nil
    ) throws(SystemFailure) -> FileDescriptor {
        while true {
            let raw = openat(directory?.raw ?? AT_FDCWD, path, flags.rawValue | O_CLOEXEC, mode)
            if raw >= 0 { return FileDescriptor(owning: raw) }
            if errno != EINTR { throw SystemFailure("open", path) }
        }
    }

    /// The status of a path, of the link itself where it is a symbolic link (unless `following`); nil where nothing is there.
    package static func status(_ path: String, at directory: FileDescriptor? = nil, following: Bool = false) throws(SystemFailure)
        -> FileStatus?
    {
        var value = stat()
        if fstatat(directory?.raw ?? AT_FDCWD, path, &value, following ? 0 : AT_SYMLINK_NOFOLLOW) == 0 { return FileStatus(value) }
        if errno == ENOENT || errno == ENOTDIR { return nil }
        throw SystemFailure("stat", path)
    }

    package static func exists(_ path: String) -> Bool { access(path, F_OK) == 0 }

    package static func readFile(_ path: String, limit: Int = 64 << 20) throws(SystemFailure) -> [UInt8] {
        try open(path).readAll(limit: limit)
    }

    /// Replaces a file as one step that a crash cannot halve: written beside it, synced, renamed over it, directory synced.
    package static func writeAtomically(_ path: String, _ bytes: [UInt8], mode: UInt32 = 0o600) throws(SystemFailure) {
        let temporary = "\(path).\(Identifier.suffix(8)).tmp"
        do {
            let file = try open(temporary, [.writeOnly, .create, .exclusive], mode: mode)
            try file.setPermissions(mode)
            try file.write(bytes)
            try file.synchronize()
            try rename(temporary, to: path)
        } catch {
            Glibc.unlink(temporary)
            // In the words of whoever asked: the temporary file and its descriptor are our own affair.
            throw SystemFailure(error.operation, path, errno: error.errno, hint: error.hint)
        }
        try synchronize(directory: parent(of: path))
    }

    package static func parent(of path: String) -> String {
        guard let slash = path.utf8.lastIndex(of: 0x2F) else { return "." }
        return slash == path.startIndex ? "/" : String(path[..<slash])
    }

    package static func synchronize(directory path: String) throws(SystemFailure) {
        try open(path, [.readOnly, .directory]).synchronize()
    }

    package static func makeDirectory(_ path: String, mode: UInt32 = 0o700, at directory: FileDescriptor? = nil) throws(SystemFailure) {
        guard mkdirat(directory?.raw ?? AT_FDCWD, path, mode) == 0 else { throw SystemFailure("mkdir", path) }
    }

    /// Makes a directory and those above it; what is there already stays as it is.
    package static func makeDirectories(_ path: String, mode: UInt32 = 0o700) throws(SystemFailure) {
        if mkdir(path, mode) == 0 { return }
        switch errno {
        case EEXIST:
            guard try status(path, following: true)?.isDirectory == true else { throw SystemFailure("mkdir", path, errno: ENOTDIR) }
        case ENOENT:
            let above = parent(of: path)
            guard above != path, above != "." else { throw SystemFailure("mkdir", path, errno: ENOENT) }
            try makeDirectories(above, mode: mode)
            guard mkdir(path, mode) == 0 || errno == EEXIST else { throw SystemFailure("mkdir", path) }
        default: throw SystemFailure("mkdir", path)
        }
    }

    package static func rename(_ path: String, to target: String) throws(SystemFailure) {
        guard Glibc.rename(path, target) == 0 else { throw SystemFailure("rename", "\(path) to \(target)") }
    }

    package static func rename(_ name: String, at directory: FileDescriptor, to target: String, at targetDirectory: FileDescriptor)
        throws(SystemFailure)
    {
        guard renameat(directory.raw, name, targetDirectory.raw, target) == 0 else { throw SystemFailure("rename", "\(name) to \(target)") }
    }

    package static func link(_ path: String, to new: String) throws(SystemFailure) {
        guard Glibc.link(path, new) == 0 else { throw SystemFailure("link", "\(path) to \(new)") }
    }

    /// A hard link to the file itself, never to what a symbolic link names.
    package static func link(_ name: String, at directory: FileDescriptor, to new: String, at newDirectory: FileDescriptor)
        throws(SystemFailure)
    {
        guard linkat(directory.raw, name, newDirectory.raw, new, 0) == 0 else { throw SystemFailure("link", "\(name) to \(new)") }
    }

    package static func symlink(_ target: String, _ path: String, at directory: FileDescriptor? = nil) throws(SystemFailure) {
        guard symlinkat(target, directory?.raw ?? AT_FDCWD, path) == 0 else { throw SystemFailure("symlink", path) }
    }

    package static func readLink(_ path: String, at directory: FileDescriptor? = nil) throws(SystemFailure) -> String {
        var buffer = [UInt8](repeating: 0, count: 4097)
        let count = buffer.withUnsafeMutableBytes { bytes in
            guard let base = bytes.bindMemory(to: CChar.self).baseAddress else { return -1 }
            return readlinkat(directory?.raw ?? AT_FDCWD, path, base, 4096)
        }
        guard count >= 0 else { throw SystemFailure("readlink", path) }
        return String(decoding: buffer[..<count], as: UTF8.self)
    }

    /// Removes a file; nothing there is no failure.
    package static func unlink(_ path: String, at directory: FileDescriptor? = nil) throws(SystemFailure) {
        guard unlinkat(directory?.raw ?? AT_FDCWD, path, 0) == 0 || errno == ENOENT else { throw SystemFailure("unlink", path) }
    }

    package static func removeDirectory(_ path: String, at directory: FileDescriptor? = nil) throws(SystemFailure) {
        guard unlinkat(directory?.raw ?? AT_FDCWD, path, AT_REMOVEDIR) == 0 || errno == ENOENT else { throw SystemFailure("rmdir", path) }
    }

    /// The names in a directory, without `.` and `..`, sorted.
    package static func list(_ path: String, at directory: FileDescriptor? = nil) throws(SystemFailure) -> [String] {
        let raw = openat(directory?.raw ?? AT_FDCWD, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW)
        guard raw >= 0 else { throw SystemFailure("open", path) }
        guard let stream = fdopendir(raw) else {
            let code = errno
            close(raw)
            throw SystemFailure("fdopendir", path, errno: code)
        }
        defer { closedir(stream) }
        var names: [String] = []
        while true {
            errno = 0
            guard let entry = readdir(stream) else { break }
            let name = withUnsafePointer(to: &entry.pointee.d_name) { pointer in
                pointer.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            if name != ".", name != ".." { names.append(name) }
        }
        if errno != 0 { throw SystemFailure("readdir", path) }
        return names.sorted()
    }

    /// Removes a tree without following a symbolic link; nothing there is no failure. Names need not be UTF-8.
    package static func removeTree(_ path: String, at directory: FileDescriptor? = nil) throws(SystemFailure) {
        try removeTree(Array(path.utf8CString), below: directory?.raw ?? AT_FDCWD)
    }

    private static func removeTree(_ name: [CChar], below directory: Int32) throws(SystemFailure) {
        if unlinkat(directory, name, 0) == 0 || errno == ENOENT { return }
        let text = String(decoding: name.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
        guard errno == EISDIR || errno == EPERM else { throw SystemFailure("unlink", text) }
        let raw = openat(directory, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW)
        guard raw >= 0 else { throw SystemFailure("open", text) }
        guard let stream = fdopendir(raw) else {
            let failure = SystemFailure("fdopendir", text)
            close(raw)
            throw failure
        }
        defer { closedir(stream) }
        while let entry = readdir(stream) {
            let child = withUnsafePointer(to: &entry.pointee.d_name) { pointer in
                pointer.withMemoryRebound(to: CChar.self, capacity: 256) { Array(UnsafeBufferPointer(start: $0, count: strlen($0) + 1)) }
            }
            if child == [0x2E, 0] || child == [0x2E, 0x2E, 0] { continue }
            try removeTree(child, below: raw)
        }
        guard unlinkat(directory, name, AT_REMOVEDIR) == 0 || errno == ENOENT else { throw SystemFailure("rmdir", text) }
    }

    /// Sets the modification time (the access time becomes the same), of a link itself where it is one.
    package static func setModified(_ path: String, _ time: Timestamp, at directory: FileDescriptor? = nil) throws(SystemFailure) {
        let value = timespec(tv_sec: Int(time.seconds), tv_nsec: Int(time.nanoseconds))
        guard utimensat(directory?.raw ?? AT_FDCWD, path, [value, value], AT_SYMLINK_NOFOLLOW) == 0 else {
            throw SystemFailure("utimensat", path)
        }
    }

    package static func setOwner(_ path: String, user: UInt32, group: UInt32, at directory: FileDescriptor? = nil) throws(SystemFailure) {
        guard fchownat(directory?.raw ?? AT_FDCWD, path, user, group, AT_SYMLINK_NOFOLLOW) == 0 else { throw SystemFailure("chown", path) }
    }

    /// Not for symbolic links, which have no mode of their own.
    package static func setPermissions(_ path: String, _ mode: UInt32, at directory: FileDescriptor? = nil) throws(SystemFailure) {
        guard fchmodat(directory?.raw ?? AT_FDCWD, path, mode, 0) == 0 else { throw SystemFailure("chmod", path) }
    }

    package enum Special: Sendable, Equatable {
        case characterDevice(major: UInt32, minor: UInt32), blockDevice(major: UInt32, minor: UInt32), fifo
    }

    package static func makeSpecial(_ path: String, _ kind: Special, mode: UInt32, at directory: FileDescriptor? = nil)
        throws(SystemFailure)
    {
        let (type, device): (UInt32, dev_t) =
            switch kind {
            case .characterDevice(let major, let minor): (S_IFCHR, gnu_dev_makedev(major, minor))
            case .blockDevice(let major, let minor): (S_IFBLK, gnu_dev_makedev(major, minor))
            case .fifo: (S_IFIFO, 0)
            }
        guard mknodat(directory?.raw ?? AT_FDCWD, path, type | mode, device) == 0 else { throw SystemFailure("mknod", path) }
    }

    /// Free and total bytes of the file system a path is on.
    package static func space(_ path: String) throws(SystemFailure) -> (free: Int64, total: Int64) {
        var value = statvfs()
        guard statvfs(path, &value) == 0 else { throw SystemFailure("statvfs", path) }
        return (Int64(value.f_bavail) * Int64(value.f_frsize), Int64(value.f_blocks) * Int64(value.f_frsize))
    }
}

// MARK: - Extended attributes

extension FileSystem {
    /// Sets an attribute of a name below a directory, of a link itself where it is one.
    package static func setAttribute(_ attribute: String, _ value: [UInt8], of name: String, at directory: FileDescriptor)
        throws(SystemFailure)
    {
        // There is no *at form before Linux 6.13; the descriptor's /proc name pins the directory as well.
        guard lsetxattr("/proc/self/fd/\(directory.raw)/\(name)", attribute, value, value.count, 0) == 0 else {
            throw SystemFailure("setxattr", "\(name) \(attribute)")
        }
    }

    /// The attributes of a path with their values; empty where the file system has none.
    package static func attributes(_ path: String) throws(SystemFailure) -> [(name: String, value: [UInt8])] {
        let size = llistxattr(path, nil, 0)
        if size < 0 {
            if errno == ENOTSUP { return [] }
            throw SystemFailure("listxattr", path)
        }
        guard size > 0 else { return [] }
        var names = [UInt8](repeating: 0, count: size)
        let listed = names.withUnsafeMutableBytes { llistxattr(path, $0.bindMemory(to: CChar.self).baseAddress, size) }
        guard listed >= 0 else { throw SystemFailure("listxattr", path) }
        var out: [(name: String, value: [UInt8])] = []
        for name in names[..<listed].split(separator: 0) {
            let text = String(decoding: name, as: UTF8.self)
            if let value = attribute(text, of: path) { out.append((text, value)) }
        }
        return out.sorted { $0.name < $1.name }
    }

    package static func attribute(_ name: String, of path: String) -> [UInt8]? {
        let size = lgetxattr(path, name, nil, 0)
        guard size >= 0 else { return nil }
        var value = [UInt8](repeating: 0, count: size)
        let read = value.withUnsafeMutableBytes { lgetxattr(path, name, $0.baseAddress, size) }
        return read == size ? value : nil
    }
}
