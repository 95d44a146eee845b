import Core
import Linux
import Tree

/// A path of the machine, checked or made as its type says.
enum HostPathVolume {
    static func prepare(_ path: String, type: String) throws {
        let status = try FileSystem.status(path, following: true)
        switch type {
        // Container runtimes make what is missing, so pods rely on it.
        case "": if status == nil { try FileSystem.makeDirectories(path, mode: 0o755) }
        case "DirectoryOrCreate": if status == nil { try FileSystem.makeDirectories(path, mode: 0o755) } else { try demand(status?.isDirectory, path, "directory") }
        case "FileOrCreate":
            if status == nil { _ = try FileSystem.open(path, [.writeOnly, .create], mode: 0o644) } else { try demand(status?.isRegular, path, "file") }
        case "Directory": try demand(status?.isDirectory, path, "directory")
        case "File": try demand(status?.isRegular, path, "file")
        case "Socket": try demand(status.map { $0.kind == .socket }, path, "socket")
        case "CharDevice": try demand(status.map { $0.kind == .characterDevice }, path, "character device")
        case "BlockDevice": try demand(status.map { $0.kind == .blockDevice }, path, "block device")
        default: throw VolumeFailure("\(type) is an invalid volume type")
        }
    }

    private static func demand(_ holds: Bool?, _ path: String, _ what: String) throws {
        guard holds == true else { throw VolumeFailure("hostPath type check failed: \(path) is not a \(what)") }
    }
}
