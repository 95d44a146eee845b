import Core

/// Writes a tar as a stream: ustar, with pax records only where ustar cannot say it. The same entries give the same bytes.
package final class TarWriter {
    private let target: any ByteTarget
    private var left: Int64 = 0
    private var padding = 0

    package init(_ target: any ByteTarget) { self.target = target }

    /// Begins an entry; of a regular file, exactly `entry.size` bytes must follow by `write`.
    package func begin(_ entry: TarEntry) throws(ImageError) {
        precondition(left == 0, "the entry before is not whole")
        var pax: [(String, [UInt8])] = []
        let path = Array(entry.path.utf8)
        let link = Array(entry.link.utf8)
        if path.count > 100 || path.contains(where: { $0 > 127 }) { pax.append(("path", path)) }
        if link.count > 100 || link.contains(where: { $0 > 127 }) { pax.append(("linkpath", link)) }
        if entry.size >= 1 << 33 { pax.append(("size", Array("\(entry.size)".utf8))) }
        if entry.user >= 1 << 21 { pax.append(("uid", Array("\(entry.user)".utf8))) }
        if entry.group >= 1 << 21 { pax.append(("gid", Array("\(entry.group)".utf8))) }
        if entry.modified.seconds < 0 || entry.modified.seconds >= 1 << 33 {
            pax.append(("mtime", Array("\(entry.modified.seconds)".utf8)))
        }
        for (name, value) in entry.attributes.sorted(by: { $0.key < $1.key }) { pax.append(("SCHILY.xattr.\(name)", value)) }
        if !pax.isEmpty {
            let body = pax.flatMap { TarWriter.record($0.0, $0.1) }
            let name = Array("PaxHeaders.0/".utf8) + path.suffix(80).filter { $0 != 0x2F && $0 < 128 }
            try target.write(TarWriter.header(name: name, link: [], entry: nil, type: UInt8(ascii: "x"), size: Int64(body.count)))
            try target.write(body + [UInt8](repeating: 0, count: (512 - body.count % 512) % 512))
        }
        let size = entry.kind == .regular ? entry.size : 0
        try target.write(TarWriter.header(name: path, link: link, entry: entry, type: TarWriter.type(entry.kind), size: size))
        left = size
        padding = Int((512 - size % 512) % 512)
    }

    package func write(_ bytes: UnsafeRawBufferPointer) throws(ImageError) {
        precondition(Int64(bytes.count) <= left, "more data than the entry's size")
        try target.write(bytes)
        left -= Int64(bytes.count)
        if left == 0, padding > 0 {
            try target.write([UInt8](repeating: 0, count: padding))
            padding = 0
        }
    }

    package func add(_ entry: TarEntry, _ data: [UInt8] = []) throws(ImageError) {
        var entry = entry
        entry.size = Int64(data.count)
        try begin(entry)
        guard !data.isEmpty else { return }
        let result: Result<Void, ImageError> = data.withUnsafeBytes { buffer in
            do throws(ImageError) { return .success(try write(buffer)) } catch { return .failure(error) }
        }
        try result.get()
    }

    /// Begins a regular file and copies its data from a source that must have exactly that many bytes.
    package func add(_ entry: TarEntry, from source: any ByteSource) throws(ImageError) {
        try begin(entry)
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 256 << 10, alignment: 16)
        defer { buffer.deallocate() }
        while left > 0 {
            let count = try source.read(into: UnsafeMutableRawBufferPointer(rebasing: buffer[..<Int(min(left, 256 << 10))]))
            guard count > 0 else { throw ImageError(.corrupt, "\(entry.path) became shorter while it was read") }
            try write(UnsafeRawBufferPointer(rebasing: buffer[..<count]))
        }
    }

    package func finish() throws(ImageError) {
        precondition(left == 0, "the last entry is not whole")
        try target.write([UInt8](repeating: 0, count: 1024))
    }

    private static func record(_ key: String, _ value: [UInt8]) -> [UInt8] {
        let rest = [0x20] + Array(key.utf8) + [0x3D] + value + [0x0A]
        var length = rest.count + 1
        while length != rest.count + "\(length)".utf8.count { length = rest.count + "\(length)".utf8.count }
        return Array("\(length)".utf8) + rest
    }

    private static func type(_ kind: TarEntry.Kind) -> UInt8 {
        switch kind {
        case .regular: UInt8(ascii: "0")
        case .hardLink: UInt8(ascii: "1")
        case .symlink: UInt8(ascii: "2")
        case .characterDevice: UInt8(ascii: "3")
        case .blockDevice: UInt8(ascii: "4")
        case .directory: UInt8(ascii: "5")
        case .fifo: UInt8(ascii: "6")
        }
    }

    private static func header(name: [UInt8], link: [UInt8], entry: TarEntry?, type: UInt8, size: Int64) -> [UInt8] {
        var block = [UInt8](repeating: 0, count: 512)
        func put(_ bytes: some Collection<UInt8>, _ at: Int) { block.replaceSubrange(at..<(at + bytes.count), with: bytes) }
        func octal(_ value: Int64, _ at: Int, _ width: Int) {
            let text = String(max(0, value), radix: 8)
            let digits = text.utf8.count < width ? text : "0"
            put(Array((String(repeating: "0", count: width - 1 - digits.utf8.count) + digits).utf8), at)
        }
        put(name.filter { $0 < 128 }.prefix(100), 0)
        octal(Int64(entry?.mode ?? 0o644), 100, 8)
        octal(Int64(entry?.user ?? 0), 108, 8)
        octal(Int64(entry?.group ?? 0), 116, 8)
        octal(size, 124, 12)
        octal(entry?.modified.seconds ?? 0, 136, 12)
        put(Array("        ".utf8), 148)
        block[156] = type
        put(link.filter { $0 < 128 }.prefix(100), 157)
        put(Array("ustar\u{0}00".utf8), 257)
        switch entry?.kind {
        case .characterDevice(let major, let minor), .blockDevice(let major, let minor):
            octal(Int64(major), 329, 8)
            octal(Int64(minor), 337, 8)
        default: break
        }
        let sum = block.reduce(Int64(0)) { $0 + Int64($1) }
        octal(sum, 148, 7)
        block[155] = 0x20
        return block
    }
}
