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

    /// `patient` asks a few times over a tenth of a second, for locks that others only look at.
    package init(_ path: String, patient: Bool = false) throws(Failure) {
        let descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0o600)
        guard descriptor >= 0 else { throw .system(SystemFailure("open", path)) }
        var attempts = patient ? 5 : 0
        while flock(descriptor, LOCK_EX | LOCK_NB) != 0 {
            if errno == EINTR { continue }
            if errno == EWOULDBLOCK, attempts > 0 {
                attempts -= 1
                usleep(20_000)
                continue
            }
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

    /// Whether somebody holds the lock, and who says so in the file. Looking takes a shared lock for a moment.
    package static func look(_ path: String) -> (isHeld: Bool, pid: Int32?) {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW)
        guard descriptor >= 0 else { return (false, nil) }
        defer { close(descriptor) }
        if flock(descriptor, LOCK_SH | LOCK_NB) == 0 || errno != EWOULDBLOCK { return (false, nil) }
        return (true, holder(descriptor))
    }

    deinit {
        // Said outright: a child between fork and exec may share the descriptor, and would hold the lock on.
        flock(descriptor, LOCK_UN)
        close(descriptor)
    }

    private static func holder(_ descriptor: Int32) -> Int32? {
        var bytes = [UInt8](repeating: 0, count: 16)
        let count = pread(descriptor, &bytes, bytes.count, 0)
        guard count > 0 else { return nil }
        return Int32(String(decoding: bytes.prefix(count).prefix { $0 != 0x0A }, as: UTF8.self))
    }
}
