import Glibc

/// An exclusive lock on a file, held until released or until the process ends, however it ends.
/// The file stays behind, empty of meaning: it is the kernel's lock that counts, the pid in it only helps messages.
package struct LockFile: ~Copyable, Sendable {
    /// Why the lock was not taken.
    package enum Failure: Error, Sendable {
        /// Another process (or another opener in this one) holds it.
        case held(by: Int32?)
        case system(SystemFailure)
    }

    private let descriptor: Int32

    package init(_ path: String) throws(Failure) {
        let descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0o600)
        guard descriptor >= 0 else { throw .system(SystemFailure("open", path)) }
        while flock(descriptor, LOCK_EX | LOCK_NB) != 0 {
            if errno == EINTR { continue }
            let failure: Failure =
                errno == EWOULDBLOCK ? .held(by: LockFile.holder(descriptor)) : .system(SystemFailure("flock", path))
            close(descriptor)
            throw failure
        }
        self.descriptor = descriptor
        let text = Array("\(getpid())\n".utf8)
        // A full disk must not keep the owner from starting: the pid is a courtesy.
        if ftruncate(descriptor, 0) == 0 { _ = pwrite(descriptor, text, text.count, 0) }
    }

    deinit { close(descriptor) }

    private static func holder(_ descriptor: Int32) -> Int32? {
        var bytes = [UInt8](repeating: 0, count: 16)
        let count = pread(descriptor, &bytes, bytes.count, 0)
        guard count > 0 else { return nil }
        return Int32(String(decoding: bytes.prefix(count).prefix { $0 != 0x0A }, as: UTF8.self))
    }
}

/// Files that only their owner may read.
package enum PrivateFile {
    /// Makes the folders above `path` that are missing (0700), then the file if it is missing, and sets its mode to 0600.
    package static func prepare(_ path: String) throws(SystemFailure) {
        if let slash = path.lastIndex(of: "/"), slash != path.startIndex { try makeFolder(String(path[..<slash])) }
        let descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw SystemFailure("open", path) }
        defer { close(descriptor) }
        guard fchmod(descriptor, 0o600) == 0 else { throw SystemFailure("fchmod", path) }
    }

    /// `mkdir -p` with 0700 for each folder that it makes; what exists keeps its mode.
    package static func makeFolder(_ path: String) throws(SystemFailure) {
        if mkdir(path, 0o700) == 0 || errno == EEXIST { return }
        guard errno == ENOENT, let slash = path.lastIndex(of: "/"), slash != path.startIndex else {
            throw SystemFailure("mkdir", path)
        }
        try makeFolder(String(path[..<slash]))
        guard mkdir(path, 0o700) == 0 || errno == EEXIST else { throw SystemFailure("mkdir", path) }
    }

    /// Makes `source` appear under `target` with its content on disk: fsync, rename, fsync of the folder.
    package static func publish(_ source: String, as target: String) throws(SystemFailure) {
        try flush(source, O_RDONLY)
        guard rename(source, target) == 0 else { throw SystemFailure("rename", target) }
        if let slash = target.lastIndex(of: "/") {
            try flush(slash == target.startIndex ? "/" : String(target[..<slash]), O_RDONLY | O_DIRECTORY)
        }
    }

    /// Removes a file; one that is missing is fine.
    package static func remove(_ path: String) throws(SystemFailure) {
        guard unlink(path) == 0 || errno == ENOENT else { throw SystemFailure("unlink", path) }
    }

    private static func flush(_ path: String, _ flags: Int32) throws(SystemFailure) {
        let descriptor = open(path, flags | O_CLOEXEC)
        guard descriptor >= 0 else { throw SystemFailure("open", path) }
        defer { close(descriptor) }
        while fsync(descriptor) != 0 {
            guard errno == EINTR else { throw SystemFailure("fsync", path) }
        }
    }
}
