import CLinux
package import Core
import Glibc

/// How full a file system is, and how much a tree takes.
package struct FileSystemUsage: Sendable, Equatable {
    package let capacity: UInt64
    /// To unprivileged users.
    package let available: UInt64
    package let inodes: UInt64
    package let inodesFree: UInt64

    package init(path: String) throws(SystemFailure) {
        var numbers = jangada_fs_usage()
        guard jangada_file_system_usage(path, &numbers) == 0 else { throw SystemFailure("statvfs", path) }
        capacity = numbers.capacity
        available = numbers.available
        inodes = numbers.inodes
        inodesFree = numbers.inodes_free
    }

    /// Disk blocks and files of a tree, files with several names by their share, other mounts left out. Walks it: not for hot paths.
    package static func tree(_ path: String) throws(SystemFailure) -> (bytes: UInt64, files: UInt64) {
        var bytes: UInt64 = 0
        var files: UInt64 = 0
        guard jangada_tree_usage(path, &bytes, &files) == 0 else { throw SystemFailure("fts", path) }
        return (bytes, files)
    }
}
