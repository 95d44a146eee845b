import Core
import OCI

/// What a COPY or ADD puts where: found and hashed before anything is written, so that its hash can be the step's key.
struct CopyPlan {
    enum Source {
        case none
        case file(String)
        case bytes([UInt8])
        /// A local archive that ADD unpacks.
        case archive(String)
    }
    struct Item {
        var entry: TarEntry
        let source: Source
    }

    private(set) var items: [Item] = []
    let line: Int
    let owner: (user: UInt32, group: UInt32)?
    let mode: UInt32?
    let ignore: IgnoreRules?
    /// Whose the files were; otherwise they are root's.
    var keepsOwners = false

    init(line: Int, owner: (user: UInt32, group: UInt32)?, mode: UInt32?, ignore: IgnoreRules?) {
        self.line = line
        self.owner = owner
        self.mode = mode
        self.ignore = ignore
    }

    mutating func add(bytes: [UInt8], to path: String) {
        items.append(Item(entry: entry(path, .regular, 0o644, nil, size: Int64(bytes.count)), source: .bytes(bytes)))
    }

    /// Readable by its owner alone, as docker has it.
    mutating func add(remote file: RemoteFile, to path: String) {
        items.append(Item(entry: entry(path, .regular, 0o600, nil, size: file.size), source: .file(file.path)))
    }

    mutating func addArchive(_ file: String, to path: String) {
        items.append(Item(entry: entry(path, .directory, 0o755, nil), source: .archive(file)))
    }

    /// A directory that the copy needs above it.
    mutating func addParent(_ path: String) {
        items.append(Item(entry: TarEntry(path: path + "/", kind: .directory, mode: 0o755), source: .none))
    }

    /// A file, or everything below a directory.
    mutating func add(_ found: LayeredTree.Found, of tree: LayeredTree, to path: String) throws {
        switch found.status.kind {
        case .directory:
            if !path.isEmpty {
                items.append(Item(entry: entry(path + "/", .directory, found.status.permissions, found.status), source: .none))
            }
            for name in try tree.list(found.parts) {
                let parts = found.parts + [name]
                guard let child = try tree.find(parts.joined(separator: "/"), following: false) else { continue }
                if let ignore, ignore.ignores(parts), !(child.status.isDirectory && ignore.hasExceptions) { continue }
                if let ignore, ignore.ignores(parts) {
                    try addExceptions(child, of: tree, to: path.isEmpty ? name : "\(path)/\(name)")
                    continue
                }
                try add(child, of: tree, to: path.isEmpty ? name : "\(path)/\(name)")
            }
        case .regular:
            items.append(
                Item(
                    entry: entry(path, .regular, found.status.permissions, found.status, size: found.status.size), source: .file(found.file)
                ))
        case .symlink:
            var link = entry(path, .symlink, 0o777, found.status)
            link.link = try FileSystem.readLink(found.file)
            items.append(Item(entry: link, source: .none))
        case .fifo: items.append(Item(entry: entry(path, .fifo, found.status.permissions, found.status), source: .none))
        // Sockets and devices of the context mean nothing in an image.
        default: return
        }
    }

    /// Inside an ignored directory, what a `!` rule takes back.
    private mutating func addExceptions(_ found: LayeredTree.Found, of tree: LayeredTree, to path: String) throws {
        for name in try tree.list(found.parts) {
            let parts = found.parts + [name]
            guard let ignore, let child = try tree.find(parts.joined(separator: "/"), following: false) else { continue }
            if !ignore.ignores(parts) {
                try add(child, of: tree, to: "\(path)/\(name)")
            } else if child.status.isDirectory {
                try addExceptions(child, of: tree, to: "\(path)/\(name)")
            }
        }
    }

    private func entry(_ path: String, _ kind: TarEntry.Kind, _ mode: UInt32, _ status: FileStatus?, size: Int64 = 0) -> TarEntry {
        // No time of the context: the same content gives the same layer on every machine.
        TarEntry(
            path: path, kind: kind, mode: kind == .symlink ? 0o777 : self.mode ?? mode,
            user: owner?.user ?? (keepsOwners ? status?.user : nil) ?? 0, group: owner?.group ?? (keepsOwners ? status?.group : nil) ?? 0, size: size)
    }

    /// Of everything that ends up in the layer.
    func digest() throws -> ContentDigest {
        var hash = MessageDigest(.sha256)
        for item in items {
            let entry = item.entry
            hash.update(
                Array("\(entry.path)\0\(entry.kind)\0\(entry.mode)\0\(entry.user)\0\(entry.group)\0\(entry.link)\0\(entry.size)\0".utf8))
            switch item.source {
            case .none: break
            case .bytes(let bytes): hash.update(bytes)
            case .file(let file), .archive(let file):
                let source = HashingSource(FileSource(try FileSystem.open(file, [.readOnly, .noFollow])))
                try source.drain()
                hash.update(Array(source.finish().description.utf8))
            }
        }
        return ContentDigest(bytes: hash.finish())
    }

    func write(to target: any ByteTarget) throws {
        let tar = TarWriter(target)
        var made: Set<String> = []
        for item in items {
            // Two sources may both bring a directory.
            if item.entry.kind == .directory, !made.insert(item.entry.path).inserted { continue }
            switch item.source {
            case .none: try tar.begin(item.entry)
            case .bytes(let bytes): try tar.add(item.entry, bytes)
            case .file(let file): try tar.add(item.entry, from: FileSource(try FileSystem.open(file, [.readOnly, .noFollow])))
            case .archive(let file): try unpack(file, below: item.entry.path, to: tar)
            }
        }
        try tar.finish()
    }

    private func unpack(_ file: String, below path: String, to tar: TarWriter) throws {
        let reader = TarReader(try Compression.unpack(FileSource(try FileSystem.open(file, [.readOnly, .noFollow]))))
        while var entry = try reader.next() {
            let parts = entry.path.split(separator: "/").filter { $0 != "." }
            guard !parts.contains("..") else { throw BuildError(line, "archive \(file): path \"\(entry.path)\" escapes") }
            guard entry.extents == nil else { throw BuildError(line, "archive \(file): sparse members are not supported") }
            guard !parts.isEmpty else { continue }
            let prefix = path.isEmpty ? "" : path + "/"
            entry.path = prefix + parts.joined(separator: "/") + (entry.kind == .directory ? "/" : "")
            if entry.kind == .hardLink {
                entry.link = prefix + entry.link.split(separator: "/").filter { $0 != "." && $0 != ".." }.joined(separator: "/")
            }
            if let owner { (entry.user, entry.group) = (owner.user, owner.group) }
            if entry.kind == .regular { try tar.add(entry, from: EntrySource(reader)) } else { try tar.begin(entry) }
        }
    }

    private final class EntrySource: ByteSource {
        let reader: TarReader
        init(_ reader: TarReader) { self.reader = reader }
        func read(into buffer: UnsafeMutableRawBufferPointer) throws(ImageError) -> Int { try reader.read(into: buffer) }
    }
}
