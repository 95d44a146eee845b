import Glibc

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

    /// Fails with EEXIST where there is something at the path.
    package static func requireAbsent(_ path: String) throws(SystemFailure) {
        guard access(path, F_OK) != 0 else { throw SystemFailure("create", path, errno: EEXIST) }
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
