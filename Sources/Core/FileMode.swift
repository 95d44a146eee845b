import Glibc

/// Permission bits of files that libraries create for us (unix sockets).
package enum FileMode {
    package static func set(_ path: String, _ mode: UInt32) throws(SystemFailure) {
        guard chmod(path, mode) == 0 else { throw SystemFailure("chmod", path) }
    }
}
