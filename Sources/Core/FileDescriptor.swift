import CFiles
import Glibc

/// An open file that closes when the last reference goes. Always close-on-exec.
package final class FileDescriptor: Sendable {
    package let raw: Int32

    package init(owning raw: Int32) { self.raw = raw }

    deinit { close(raw) }
}

/// What `openat` is asked for; `O_CLOEXEC` is always added.
package struct OpenFlags: OptionSet, Sendable {
    package let rawValue: Int32
    package init(rawValue: Int32) { self.rawValue = rawValue }

    package static let readOnly = OpenFlags(rawValue: O_RDONLY)
    package static let writeOnly = OpenFlags(rawValue: O_WRONLY)
    package static let readWrite = OpenFlags(rawValue: O_RDWR)
    package static let create = OpenFlags(rawValue: O_CREAT)
    package static let exclusive = OpenFlags(rawValue: O_EXCL)
    package static let truncate = OpenFlags(rawValue: O_TRUNC)
    package static let append = OpenFlags(rawValue: O_APPEND)
    package static let nonBlocking = OpenFlags(rawValue: O_NONBLOCK)
    package static let directory = OpenFlags(rawValue: O_DIRECTORY)
    package static let noFollow = OpenFlags(rawValue: O_NOFOLLOW)
    /// Names a place in the tree without opening what is there.
    package static let path = OpenFlags(rawValue: 0o10000000)
}

/// What `fstatat` tells of a file.
package struct FileStatus: Sendable, Equatable {
    package let mode: UInt32
    package let user: UInt32
    package let group: UInt32
    package let size: Int64
    /// Bytes on disk.
    package let allocated: Int64
    package let device: UInt64
    package let inode: UInt64
    package let links: UInt64
    /// Of a device file: which device.
    package let deviceNumber: UInt64
    package let modified: Timestamp

    init(_ value: stat) {
        mode = value.st_mode
        user = value.st_uid
        group = value.st_gid
        size = Int64(value.st_size)
        allocated = Int64(value.st_blocks) * 512
        device = UInt64(value.st_dev)
        inode = UInt64(value.st_ino)
        links = UInt64(value.st_nlink)
        deviceNumber = UInt64(value.st_rdev)
        modified = Timestamp(seconds: Int64(value.st_mtim.tv_sec), nanoseconds: Int32(value.st_mtim.tv_nsec))
    }

    package enum Kind: Sendable { case regular, directory, symlink, characterDevice, blockDevice, fifo, socket }

    package var kind: Kind {
        switch mode & S_IFMT {
        case S_IFDIR: .directory
        case S_IFLNK: .symlink
        case S_IFCHR: .characterDevice
        case S_IFBLK: .blockDevice
        case S_IFIFO: .fifo
        case S_IFSOCK: .socket
        default: .regular
        }
    }
    package var isDirectory: Bool { kind == .directory }
    package var isRegular: Bool { kind == .regular }
    /// The permission bits with setuid, setgid and sticky.
    package var permissions: UInt32 { mode & 0o7777 }
    package var deviceMajor: UInt32 { gnu_dev_major(UInt(deviceNumber)) }
    package var deviceMinor: UInt32 { gnu_dev_minor(UInt(deviceNumber)) }
}

extension FileDescriptor {
    /// Reads once, at most the buffer; 0 at the end of the file.
    package func read(into buffer: UnsafeMutableRawBufferPointer) throws(SystemFailure) -> Int {
        while true {
            let count = Glibc.read(raw, buffer.baseAddress, buffer.count)
            if count >= 0 { return count }
            if errno != EINTR { throw SystemFailure("read", "descriptor \(raw)") }
        }
    }

    package func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int64) throws(SystemFailure) -> Int {
        while true {
            let count = pread(raw, buffer.baseAddress, buffer.count, off_t(offset))
            if count >= 0 { return count }
            if errno != EINTR { throw SystemFailure("pread", "descriptor \(raw)") }
        }
    }

    /// At most `count` bytes from `offset` on; empty at the end.
    package func readPiece(at offset: Int64, count: Int) throws(SystemFailure) -> [UInt8] {
        var out = [UInt8](repeating: 0, count: count)
        let read = out.withUnsafeMutableBytes { buffer -> Int in
            while true {
                let count = pread(raw, buffer.baseAddress, buffer.count, off_t(offset))
                if count >= 0 || errno != EINTR { return count }
            }
        }
        guard read >= 0 else { throw SystemFailure("pread", "descriptor \(raw)") }
        out.removeLast(count - read)
        return out
    }

    /// Writes every byte.
    package func write(_ bytes: UnsafeRawBufferPointer) throws(SystemFailure) {
        var rest = bytes
        while !rest.isEmpty {
            let count = Glibc.write(raw, rest.baseAddress, rest.count)
            if count < 0 {
                if errno == EINTR { continue }
                throw SystemFailure("write", "descriptor \(raw)")
            }
            rest = UnsafeRawBufferPointer(rebasing: rest[count...])
        }
    }

    package func write(_ bytes: [UInt8]) throws(SystemFailure) {
        do { try bytes.withUnsafeBytes { buffer in try write(buffer) } } catch let failure as SystemFailure { throw failure } catch {
            throw SystemFailure("write", "descriptor \(raw)")
        }
    }

    package func status() throws(SystemFailure) -> FileStatus {
        var value = stat()
        guard fstat(raw, &value) == 0 else { throw SystemFailure("fstat", "descriptor \(raw)") }
        return FileStatus(value)
    }

    package func synchronize() throws(SystemFailure) {
        guard fsync(raw) == 0 else { throw SystemFailure("fsync", "descriptor \(raw)") }
    }

    /// Writes out everything the file system of this file still holds in memory.
    package func synchronizeFileSystem() throws(SystemFailure) {
        guard syncfs(raw) == 0 else { throw SystemFailure("syncfs", "descriptor \(raw)") }
    }

    package func truncate(to size: Int64) throws(SystemFailure) {
        guard ftruncate(raw, off_t(size)) == 0 else { throw SystemFailure("ftruncate", "descriptor \(raw)") }
    }

    package func seek(to offset: Int64) throws(SystemFailure) {
        guard lseek(raw, off_t(offset), SEEK_SET) >= 0 else { throw SystemFailure("lseek", "descriptor \(raw)") }
    }

    /// Takes the advisory lock of the whole file without waiting; false where another open file has it.
    package func tryLock() throws(SystemFailure) -> Bool {
        if flock(raw, LOCK_EX | LOCK_NB) == 0 { return true }
        guard errno == EWOULDBLOCK else { throw SystemFailure("flock", "descriptor \(raw)") }
        return false
    }

    /// Takes the advisory lock of the whole file and waits for it; it ends with the descriptor.
    package func lock() throws(SystemFailure) {
        while flock(raw, LOCK_EX) != 0 {
            guard errno == EINTR else { throw SystemFailure("flock", "descriptor \(raw)") }
        }
    }

    package func setPermissions(_ mode: UInt32) throws(SystemFailure) {
        guard fchmod(raw, mode) == 0 else { throw SystemFailure("fchmod", "descriptor \(raw)") }
    }

    package func setOwner(user: UInt32, group: UInt32) throws(SystemFailure) {
        guard fchown(raw, user, group) == 0 else { throw SystemFailure("fchown", "descriptor \(raw)") }
    }

    /// Reads to the end; fails with EFBIG past `limit`.
    package func readAll(limit: Int) throws(SystemFailure) -> [UInt8] {
        let expected = min(Int((try? status().size) ?? 0), limit)
        var out = [UInt8](repeating: 0, count: max(expected + 1, 4096))
        var filled = 0
        while true {
            let count = try readPart(&out, from: filled)
            if count == 0 { break }
            filled += count
            if filled > limit { throw SystemFailure("read", "descriptor \(raw)", errno: EFBIG) }
            if filled == out.count { out.append(contentsOf: repeatElement(0, count: out.count)) }
        }
        out.removeLast(out.count - filled)
        return out
    }

    private func readPart(_ bytes: inout [UInt8], from start: Int) throws(SystemFailure) -> Int {
        while true {
            let count = bytes.withUnsafeMutableBytes { Glibc.read(raw, $0.baseAddress?.advanced(by: start), $0.count - start) }
            if count >= 0 { return count }
            if errno != EINTR { throw SystemFailure("read", "descriptor \(raw)") }
        }
    }
}
