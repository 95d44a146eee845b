package import Core
import Glibc

/// The few mounts that stand in the machine's own mount namespace.
package enum Mounts {
    /// A file system in memory, of at most `size` bytes where given. Nothing happens where one stands already.
    package static func tmpfs(at path: String, size: Int64? = nil, mode: UInt32 = 0o777) throws(SystemFailure) {
        if try isMountPoint(path) { return }
        var options = "mode=\(String(mode, radix: 8))"
        if let size { options += ",size=\(size)" }
        guard mount("tmpfs", path, "tmpfs", UInt(MS_NOSUID | MS_NODEV), options) == 0 else { throw SystemFailure("mount", path) }
    }

    /// Takes every mount at the path away; none is fine.
    package static func unmount(_ path: String) throws(SystemFailure) {
        while umount2(path, Int32(MNT_DETACH)) == 0 {}
        guard errno == EINVAL || errno == ENOENT else { throw SystemFailure("umount2", path) }
    }

    /// Whether another file system begins at the directory.
    package static func isMountPoint(_ path: String) throws(SystemFailure) -> Bool {
        guard let here = try FileSystem.status(path), let above = try FileSystem.status(FileSystem.parent(of: path)) else { return false }
        return here.device != above.device
    }
}
