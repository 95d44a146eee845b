import Core

/// Packs a directory in overlayfs' form (what a container wrote) as a layer: whiteouts and opaque marks become the names
/// that layers have for them. The same tree gives the same bytes.
package final class LayerPacker {
    private let tar: TarWriter
    /// Files with several names: the first is written, the others become hard links to it.
    private var seen: [UInt64: String] = [:]

    package init(_ target: any ByteTarget) { tar = TarWriter(target) }

    package func pack(_ root: String) throws(ImageError) {
        try directory(root, "")
        try tar.finish()
    }

    private func directory(_ file: String, _ path: String) throws(ImageError) {
        for name in try storing({ () throws(SystemFailure) in try FileSystem.list(file) }) {
            let (file, path) = ("\(file)/\(name)", path.isEmpty ? name : "\(path)/\(name)")
            guard let status = try storing({ () throws(SystemFailure) in try FileSystem.status(file) }) else { continue }
            if status.isWhiteout {
                let parent = path.dropLast(name.count)
                try tar.add(TarEntry(path: "\(parent).wh.\(name)", kind: .regular, mode: 0o600))
                continue
            }
            try entry(file, path, status)
        }
    }

    private func entry(_ file: String, _ path: String, _ status: FileStatus) throws(ImageError) {
        var attributes: [String: [UInt8]] = [:]
        var opaque = false
        if status.kind != .symlink {
            for (name, value) in try storing({ () throws(SystemFailure) in try FileSystem.attributes(file) }) {
                if name == "trusted.overlay.opaque", value == [UInt8(ascii: "y")] { opaque = true }
                if name.hasPrefix("trusted.") || name.hasPrefix("security.selinux") || name.hasPrefix("user.overlay.") { continue }
                attributes[name] = value
            }
        }
        let kind: TarEntry.Kind
        switch status.kind {
        case .regular: kind = .regular
        case .directory: kind = .directory
        case .symlink: kind = .symlink
        case .characterDevice: kind = .characterDevice(major: status.deviceMajor, minor: status.deviceMinor)
        case .blockDevice: kind = .blockDevice(major: status.deviceMajor, minor: status.deviceMinor)
        case .fifo: kind = .fifo
        // A socket is only an address of a process that has ended.
        case .socket: return
        }
        var entry = TarEntry(
            path: kind == .directory ? path + "/" : path, kind: kind, mode: status.permissions, user: status.user, group: status.group,
            modified: Timestamp(seconds: status.modified.seconds), attributes: attributes)
        if kind == .symlink { entry.link = try storing { () throws(SystemFailure) in try FileSystem.readLink(file) } }
        if kind == .regular, status.links > 1 {
            if let first = seen[status.inode] {
                entry.kind = .hardLink
                entry.link = first
                return try tar.begin(entry)
            }
            seen[status.inode] = path
        }
        if kind == .regular {
            entry.size = status.size
            return try tar.add(
                entry, from: FileSource(try storing { () throws(SystemFailure) in try FileSystem.open(file, [.readOnly, .noFollow]) }))
        }
        try tar.begin(entry)
        guard kind == .directory else { return }
        if opaque { try tar.add(TarEntry(path: "\(path)/.wh..wh..opq", kind: .regular, mode: 0o600)) }
        try directory(file, path)
    }
}
