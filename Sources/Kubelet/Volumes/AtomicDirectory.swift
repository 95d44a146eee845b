import Core
import Linux

/// A file that a volume projects.
struct ProjectedFile: Sendable, Equatable {
    var bytes: [UInt8]
    var mode: UInt32
    var user: UInt32?
}

/// A directory whose whole content changes in one step: programs see the old files or the new ones, never some of each.
///
/// Files live in a dated directory, `..data` is a link to it that is renamed over the one before, and what users see are links
/// through `..data` (as upstream's volumes are laid out, which programs that watch them rely on).
struct AtomicDirectory: Sendable {
    let path: String
    var group: UInt32?

    /// Writes the files unless they are there exactly so. True where anything changed.
    @discardableResult
    func write(_ files: [String: ProjectedFile]) throws(SystemFailure) -> Bool {
        try FileSystem.makeDirectories(path, mode: 0o755)
        try own(path, directory: true)
        let current = try? FileSystem.readLink("\(path)/..data")
        if let current, try matches(files, "\(path)/\(current)") { return false }
        let dated = "..\(AtomicDirectory.stamp(.now())).\(Identifier.suffix(9))"
        let target = "\(path)/\(dated)"
        try FileSystem.makeDirectory(target, mode: 0o755)
        try own(target, directory: true)
        for (name, file) in files.sorted(by: { $0.key < $1.key }) { try write(file, to: "\(target)/\(name)", below: target) }
        try FileSystem.unlink("\(path)/..data_tmp")
        try FileSystem.symlink(dated, "\(path)/..data_tmp")
        try FileSystem.rename("\(path)/..data_tmp", to: "\(path)/..data")
        try link(Set(files.keys.map(AtomicDirectory.top)))
        if let current, current != dated { try FileSystem.removeTree("\(path)/\(current)") }
        return true
    }

    private func write(_ file: ProjectedFile, to place: String, below root: String) throws(SystemFailure) {
        let parent = FileSystem.parent(of: place)
        if parent != root {
            try FileSystem.makeDirectories(parent, mode: 0o755)
            try own(parent, directory: true)
        }
        let descriptor = try FileSystem.open(place, [.writeOnly, .create, .exclusive], mode: 0o600)
        try descriptor.write(file.bytes)
        let mode = group == nil ? file.mode : file.mode | 0o440 & (file.mode & 0o400 != 0 ? 0o440 : 0)
        if group != nil || file.user != nil { try descriptor.setOwner(user: file.user ?? 0, group: group ?? 0) }
        try descriptor.setPermissions(mode)
    }

    private func own(_ place: String, directory: Bool) throws(SystemFailure) {
        guard let group else { return }
        try FileSystem.setOwner(place, user: 0, group: group)
        if directory { try FileSystem.setPermissions(place, 0o2775) }
    }

    private func link(_ names: Set<String>) throws(SystemFailure) {
        for name in try FileSystem.list(path) where !name.hasPrefix("..") && !names.contains(name) { try FileSystem.unlink("\(path)/\(name)") }
        for name in names where try FileSystem.status("\(path)/\(name)") == nil { try FileSystem.symlink("..data/\(name)", "\(path)/\(name)") }
    }

    private func matches(_ files: [String: ProjectedFile], _ directory: String) throws(SystemFailure) -> Bool {
        guard try count(directory) == files.count else { return false }
        for (name, file) in files {
            guard let status = try FileSystem.status("\(directory)/\(name)"), status.isRegular, status.size == Int64(file.bytes.count),
                group != nil || status.permissions == file.mode, try FileSystem.readFile("\(directory)/\(name)") == file.bytes
            else { return false }
        }
        return true
    }

    private func count(_ directory: String) throws(SystemFailure) -> Int {
        var total = 0
        guard FileSystem.exists(directory) else { return 0 }
        for name in try FileSystem.list(directory) {
            let status = try FileSystem.status("\(directory)/\(name)")
            total += status?.isDirectory == true ? try count("\(directory)/\(name)") : 1
        }
        return total
    }

    private static func top(_ name: String) -> String { String(name.prefix { $0 != "/" }) }

    private static func stamp(_ time: Timestamp) -> String {
        String(time.rfc3339.prefix(19).map { $0 == "T" || $0 == ":" || $0 == "-" ? "_" : $0 })
    }
}
