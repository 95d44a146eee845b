package import Core

/// Bounds of what one layer may become on disk.
package struct UnpackLimits: Sendable {
    package var bytes: Int64 = 64 << 30
    package var entries = 2_000_000
    package var depth = 128
    package init() {}
}

/// Writes the entries of one layer below a directory, in the form overlayfs reads: a whiteout becomes a character device
/// 0/0, an opaque directory the attribute `trusted.overlay.opaque`.
///
/// Whatever a layer says, nothing outside the directory is read, changed or linked to.
package final class LayerUnpacker {
    private let tree: RootedTree
    /// Directories of the layers below, uppermost first: missing parents take their owner and mode from there.
    private let lower: [String]
    private let limits: UnpackLimits
    private let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 256 << 10, alignment: 4096)
    private var bytes: Int64 = 0
    private var entries = 0
    /// Set last, for every file made inside changes them.
    private var directoryTimes: [(path: [Substring], time: Timestamp)] = []

    package init(into directory: FileDescriptor, lower: [String] = [], limits: UnpackLimits = UnpackLimits()) {
        tree = RootedTree(directory)
        self.lower = lower
        self.limits = limits
    }

    deinit { buffer.deallocate() }

    /// Reads the tar to its end; the count of bytes the files have.
    @discardableResult
    package func unpack(_ tar: TarReader) throws(ImageError) -> Int64 {
        while let entry = try tar.next() {
            entries += 1
            guard entries <= limits.entries else { throw ImageError(.limit, "layer has more than \(limits.entries) entries") }
            do { try apply(entry, tar) } catch { throw error.prefixed("failed to unpack \"\(entry.path)\": ") }
        }
        for (path, time) in directoryTimes.reversed() {
            // A later entry may have replaced the directory.
            guard let directory = try? tree.directory(path) else { continue }
            try? FileSystem.setModified(".", time, at: directory)
        }
        return bytes
    }

    private func apply(_ entry: TarEntry, _ tar: TarReader) throws(ImageError) {
        guard let parts = RootedTree.parts(entry.path) else { throw ImageError(.invalid, "path escapes the layer") }
        guard parts.count <= limits.depth, parts.allSatisfy({ $0.utf8.count <= 255 && !$0.utf8.contains(0) }) else {
            throw ImageError(.limit, "path is too deep or too long")
        }
        guard let last = parts.last else {
            if entry.kind == .directory { try finishDirectory(entry, [], tree.root) }
            return
        }
        let name = String(last)
        let above = Array(parts.dropLast())
        let parent = try tree.directory(above) { parent, name, path throws(ImageError) in try self.makeParent(parent, name, path) }
        if name.hasPrefix(".wh.") { return try whiteout(String(name.dropFirst(4)), parent) }
        if entry.kind == .directory { return try directory(entry, parts, name, parent) }
        try clear(name, parent)
        switch entry.kind {
        case .directory: return
        case .regular: return try regular(entry, name, parent, tar)
        case .hardLink: return try hardLink(entry, name, parent)
        case .symlink: try storing { () throws(SystemFailure) in try FileSystem.symlink(entry.link, name, at: parent) }
        case .characterDevice(let major, let minor):
            try storing { () throws(SystemFailure) in
                try FileSystem.makeSpecial(name, .characterDevice(major: major, minor: minor), mode: entry.mode & 0o7777, at: parent)
            }
        case .blockDevice(let major, let minor):
            try storing { () throws(SystemFailure) in
                try FileSystem.makeSpecial(name, .blockDevice(major: major, minor: minor), mode: entry.mode & 0o7777, at: parent)
            }
        case .fifo:
            try storing { () throws(SystemFailure) in try FileSystem.makeSpecial(name, .fifo, mode: entry.mode & 0o7777, at: parent) }
        }
        try storing { () throws(SystemFailure) in
            try FileSystem.setOwner(name, user: entry.user, group: entry.group, at: parent)
            if entry.kind != .symlink { try FileSystem.setPermissions(name, entry.mode, at: parent) }
        }
        try attributes(entry, name, parent)
        try storing { () throws(SystemFailure) in try FileSystem.setModified(name, entry.modified, at: parent) }
    }

    // MARK: - Directories

    private func directory(_ entry: TarEntry, _ parts: [Substring], _ name: String, _ parent: FileDescriptor) throws(ImageError) {
        let status = try storing { () throws(SystemFailure) in try FileSystem.status(name, at: parent) }
        if status?.isDirectory != true {
            if status != nil { try clear(name, parent) }
            try storing { () throws(SystemFailure) in try FileSystem.makeDirectory(name, mode: 0o755, at: parent) }
            // Removed and made again in one layer: what lies below must not shine through.
            if status?.isWhiteout == true { try setOpaque(name, parent) }
        }
        let made = try storing { () throws(SystemFailure) in try FileSystem.open(name, [.readOnly, .directory, .noFollow], at: parent) }
        try finishDirectory(entry, parts, made)
    }

    private func finishDirectory(_ entry: TarEntry, _ parts: [Substring], _ made: FileDescriptor) throws(ImageError) {
        try storing { () throws(SystemFailure) in
            try made.setOwner(user: entry.user, group: entry.group)
            try made.setPermissions(entry.mode)
        }
        try attributes(entry, ".", made)
        directoryTimes.append((parts, entry.modified))
    }

    /// A directory that the layer uses without naming it looks as it does in the layers below.
    private func makeParent(_ parent: FileDescriptor, _ name: String, _ path: [Substring]) throws(ImageError) {
        let status = try storing { () throws(SystemFailure) in try FileSystem.status(name, at: parent) }
        if let status {
            guard status.isWhiteout else { throw ImageError(.invalid, "\(path.joined(separator: "/")) is not a directory") }
            try clear(name, parent)
        }
        var mode: UInt32 = 0o755
        var owner: (user: UInt32, group: UInt32) = (0, 0)
        let below = path.joined(separator: "/")
        for layer in lower {
            guard let found = try? FileSystem.status("\(layer)/\(below)") else { continue }
            if found.isDirectory { (mode, owner) = (found.permissions, (found.user, found.group)) }
            break
        }
        try storing { () throws(SystemFailure) in
            try FileSystem.makeDirectory(name, mode: 0o755, at: parent)
            try FileSystem.setOwner(name, user: owner.user, group: owner.group, at: parent)
            try FileSystem.setPermissions(name, mode, at: parent)
        }
        if status != nil { try setOpaque(name, parent) }
    }

    // MARK: - Whiteouts

    private func whiteout(_ name: String, _ parent: FileDescriptor) throws(ImageError) {
        if name == ".wh..opq" {
            return try storing { () throws(SystemFailure) in
                try FileSystem.setAttribute("trusted.overlay.opaque", [UInt8(ascii: "y")], of: ".", at: parent)
            }
        }
        // Other names of that form are bookkeeping of aufs.
        if name.hasPrefix(".wh.") { return }
        guard !name.isEmpty, name != ".", name != ".." else { throw ImageError(.invalid, "invalid whiteout") }
        let status = try storing { () throws(SystemFailure) in try FileSystem.status(name, at: parent) }
        if let status {
            // It hides what lies below, not what this same layer brought.
            if status.isDirectory { try setOpaque(name, parent) }
            return
        }
        try storing { () throws(SystemFailure) in
            try FileSystem.makeSpecial(name, .characterDevice(major: 0, minor: 0), mode: 0, at: parent)
        }
    }

    private func setOpaque(_ name: String, _ parent: FileDescriptor) throws(ImageError) {
        try storing { () throws(SystemFailure) in
            try FileSystem.setAttribute("trusted.overlay.opaque", [UInt8(ascii: "y")], of: name, at: parent)
        }
    }

    private func clear(_ name: String, _ parent: FileDescriptor) throws(ImageError) {
        let status = try storing { () throws(SystemFailure) in try FileSystem.status(name, at: parent) }
        guard let status else { return }
        if status.isDirectory || status.kind == .symlink { tree.forget() }
        try storing { () throws(SystemFailure) in try FileSystem.removeTree(name, at: parent) }
    }

    // MARK: - Files

    private func regular(_ entry: TarEntry, _ name: String, _ parent: FileDescriptor, _ tar: TarReader) throws(ImageError) {
        bytes += entry.extents?.reduce(0) { $0 + $1.length } ?? entry.size
        guard bytes <= limits.bytes, entry.size <= limits.bytes else {
            throw ImageError(.limit, "layer unpacks to more than \(limits.bytes) bytes")
        }
        let file = try storing { () throws(SystemFailure) in
            try FileSystem.open(name, [.writeOnly, .create, .exclusive, .noFollow], mode: 0o600, at: parent)
        }
        if let extents = entry.extents {
            try storing { () throws(SystemFailure) in try file.truncate(to: entry.size) }
            for extent in extents {
                try storing { () throws(SystemFailure) in try file.seek(to: extent.offset) }
                try copy(extent.length, tar, file)
            }
        } else {
            try copy(entry.size, tar, file)
        }
        try storing { () throws(SystemFailure) in
            try file.setOwner(user: entry.user, group: entry.group)
            try file.setPermissions(entry.mode)
        }
        // After the owner: changing it drops file capabilities.
        try attributes(entry, name, parent)
        try storing { () throws(SystemFailure) in try FileSystem.setModified(name, entry.modified, at: parent) }
    }

    private func copy(_ count: Int64, _ tar: TarReader, _ file: FileDescriptor) throws(ImageError) {
        var left = count
        while left > 0 {
            let read = try tar.read(into: UnsafeMutableRawBufferPointer(rebasing: buffer[..<Int(min(left, Int64(buffer.count)))]))
            guard read > 0 else { throw ImageError(.invalid, "unexpected end of the layer") }
            do { try file.write(UnsafeRawBufferPointer(rebasing: buffer[..<read])) } catch { throw ImageError(error) }
            left -= Int64(read)
        }
    }

    private func hardLink(_ entry: TarEntry, _ name: String, _ parent: FileDescriptor) throws(ImageError) {
        guard let parts = RootedTree.parts(entry.link), let target = parts.last else {
            throw ImageError(.invalid, "hard link to \"\(entry.link)\" escapes the layer")
        }
        let directory: FileDescriptor
        do { directory = try tree.directory(Array(parts.dropLast())) } catch {
            throw error.kind == .notFound ? ImageError(.invalid, "hard link to \"\(entry.link)\", which is not in the layer") : error
        }
        do { try FileSystem.link(String(target), at: directory, to: name, at: parent) } catch {
            throw error.isMissing ? ImageError(.invalid, "hard link to \"\(entry.link)\", which is not in the layer") : ImageError(error)
        }
    }

    private func attributes(_ entry: TarEntry, _ name: String, _ parent: FileDescriptor) throws(ImageError) {
        for (attribute, value) in entry.attributes.sorted(by: { $0.key < $1.key }) {
            // Overlayfs obeys its own attributes: a layer that could set them could show files of elsewhere.
            if attribute.hasPrefix("trusted.overlay.") || attribute.hasPrefix("user.overlay.") { continue }
            do { try FileSystem.setAttribute(attribute, value, of: name, at: parent) } catch {
                // ENOTSUP: the file system or kernel has no such attributes, as docker and containerd let pass. EPERM: user.* on a link.
                if error.errno != 95, error.errno != 1 { throw ImageError(error) }
            }
        }
    }
}

extension FileStatus {
    /// How overlayfs marks a name as removed.
    package var isWhiteout: Bool { kind == .characterDevice && deviceNumber == 0 }
}
