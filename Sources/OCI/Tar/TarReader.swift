import Core

/// Reads a tar as a stream: ustar, GNU long names, base-256 numbers and sparse files, pax with attributes and sparse maps.
///
/// Nothing an archive says makes it allocate more than `limits` allow. It checks form, not meaning: paths come as written.
package final class TarReader {
    package struct Limits: Sendable {
        /// Of one extended header or long name.
        package var extended = 1 << 20
        package var extents = 1 << 16
        package init() {}
    }

    private let source: any ByteSource
    private let limits: Limits
    private let block = UnsafeMutableRawBufferPointer.allocate(byteCount: 512, alignment: 16)
    /// Data bytes of the current entry still in the stream, and the padding after them.
    private var left: Int64 = 0
    private var padding: Int64 = 0
    private var defaults: [String: [UInt8]] = [:]

    package init(_ source: any ByteSource, limits: Limits = Limits()) {
        self.source = source
        self.limits = limits
    }

    deinit { block.deallocate() }

    /// The next entry, past whatever was left unread of the one before; nil at the end.
    package func next() throws(ImageError) -> TarEntry? {
        try skipRest()
        var pax: [String: [UInt8]] = [:]
        var longName: [UInt8]?
        var longLink: [UInt8]?
        while let header = try readHeader() {
            switch header.type {
            case UInt8(ascii: "x"): pax = try paxRecords(try extended(header))
            case UInt8(ascii: "g"): for (key, value) in try paxRecords(try extended(header)) { defaults[key] = value.isEmpty ? nil : value }
            case UInt8(ascii: "L"): longName = try extended(header).prefixBeforeZero
            case UInt8(ascii: "K"): longLink = try extended(header).prefixBeforeZero
            default:
                let records = defaults.merging(pax) { $1 }
                return try entry(header, records, longName, longLink)
            }
        }
        guard pax.isEmpty, longName == nil, longLink == nil else { throw TarReader.broken("unexpected end") }
        return nil
    }

    /// Bytes of the current entry's data as they lie in the stream; 0 at their end.
    package func read(into buffer: UnsafeMutableRawBufferPointer) throws(ImageError) -> Int {
        guard left > 0, !buffer.isEmpty else { return 0 }
        let part = UnsafeMutableRawBufferPointer(rebasing: buffer[..<Int(min(Int64(buffer.count), left))])
        let count = try source.read(into: part)
        guard count > 0 else { throw TarReader.broken("unexpected end") }
        left -= Int64(count)
        return count
    }

    /// All of the current entry's data, for one known to be small.
    package func readAll(limit: Int) throws(ImageError) -> [UInt8] {
        guard left <= limit else { throw ImageError(.limit, "archive/tar: a member of \(left) bytes where at most \(limit) are expected") }
        return try take(Int(left))
    }

    static func broken(_ what: String) -> ImageError { ImageError(.invalid, "archive/tar: invalid tar header: \(what)") }

    private func take(_ count: Int) throws(ImageError) -> [UInt8] {
        var out = [UInt8](repeating: 0, count: count)
        var filled = 0
        while filled < count {
            let result: Result<Int, ImageError> = out.withUnsafeMutableBytes { buffer in
                do throws(ImageError) { return .success(try read(into: UnsafeMutableRawBufferPointer(rebasing: buffer[filled...]))) } catch
                { return .failure(error) }
            }
            filled += try result.get()
        }
        return out
    }

    private func skipRest() throws(ImageError) {
        var skip = left + padding
        guard skip > 0 else { return }
        let scratch = UnsafeMutableRawBufferPointer.allocate(byteCount: 64 << 10, alignment: 16)
        defer { scratch.deallocate() }
        while skip > 0 {
            let count = try source.read(into: UnsafeMutableRawBufferPointer(rebasing: scratch[..<Int(min(skip, 64 << 10))]))
            guard count > 0 else { throw TarReader.broken("unexpected end") }
            skip -= Int64(count)
        }
        left = 0
        padding = 0
    }
}

// MARK: - Headers

extension TarReader {
    private struct Header {
        var name: [UInt8]
        var mode: UInt32
        var user: Int64
        var group: Int64
        var size: Int64
        var modified: Int64
        var type: UInt8
        var link: [UInt8]
        var major: Int64
        var minor: Int64
        var extents: [TarEntry.Extent]?
        var realSize: Int64
    }

    private func readHeader() throws(ImageError) -> Header? {
        var zeros = 0
        while true {
            let count = try source.fill(block)
            if count == 0 { return nil }
            guard count == 512 else { throw TarReader.broken("unexpected end") }
            if block.allSatisfy({ $0 == 0 }) {
                zeros += 1
                if zeros == 2 { return nil }
                continue
            }
            return try parseHeader()
        }
    }

    private func parseHeader() throws(ImageError) -> Header {
        var sum: Int64 = 0
        var signed: Int64 = 0
        for (index, byte) in block.enumerated() {
            let value: UInt8 = (148..<156).contains(index) ? 0x20 : byte
            sum += Int64(value)
            signed += Int64(Int8(bitPattern: value))
        }
        let expected = try number(148, 8)
        guard expected == sum || expected == signed else { throw TarReader.broken("checksum") }
        let magic = Array(block[257..<265])
        let isGNU = magic == Array("ustar  \0".utf8)
        let isUstar = magic[..<5] == Array("ustar".utf8)[...] && !isGNU
        var name = text(0, 100)
        if isUstar, block[345] != 0 { name = text(345, 155) + [0x2F] + name }
        let devices = isGNU || isUstar
        var header = Header(
            name: name, mode: UInt32(truncatingIfNeeded: try number(100, 8)) & 0o7777, user: try number(108, 8), group: try number(116, 8),
            size: try number(124, 12), modified: try number(136, 12), type: block[156], link: text(157, 100),
            major: devices ? try number(329, 8) : 0, minor: devices ? try number(337, 8) : 0, extents: nil, realSize: 0)
        guard header.size >= 0 else { throw TarReader.broken("size") }
        if header.type == UInt8(ascii: "S") { try readGNUSparse(&header) }
        begin(header)
        return header
    }

    private func begin(_ header: Header) {
        // Links and special files have no data whatever their size field says.
        let hasData = [
            0, UInt8(ascii: "0"), UInt8(ascii: "7"), UInt8(ascii: "S"), UInt8(ascii: "x"), UInt8(ascii: "g"), UInt8(ascii: "L"),
            UInt8(ascii: "K"),
        ]
        left = hasData.contains(header.type) ? header.size : 0
        padding = (512 - left % 512) % 512
    }

    private func text(_ start: Int, _ count: Int) -> [UInt8] { Array(block[start..<(start + count)].prefix { $0 != 0 }) }

    /// Octal in spaces and zeros, or GNU's base 256 where the first bit is set.
    private func number(_ start: Int, _ count: Int) throws(ImageError) -> Int64 {
        let bytes = block[start..<(start + count)]
        if let first = bytes.first, first & 0x80 != 0 {
            var value: Int64 = first & 0x40 != 0 ? -1 : 0
            for (index, byte) in bytes.enumerated() {
                let digit = index == 0 ? (first & 0x40 != 0 ? byte | 0x80 : byte & 0x7F) : byte
                let (high, overflow) = value.multipliedReportingOverflow(by: 256)
                guard !overflow else { throw TarReader.broken("number") }
                value = high | Int64(digit)
                if index == 0, first & 0x40 != 0 { value = Int64(Int8(bitPattern: digit)) }
            }
            return value
        }
        var value: Int64 = 0
        for byte in bytes.drop(while: { $0 == 0x20 || $0 == 0 }) {
            if byte == 0x20 || byte == 0 { break }
            guard (0x30...0x37).contains(byte), value < 1 << 59 else { throw TarReader.broken("number") }
            value = value << 3 | Int64(byte - 0x30)
        }
        return value
    }

    private func extended(_ header: Header) throws(ImageError) -> [UInt8] {
        guard header.size <= limits.extended else { throw ImageError(.limit, "archive/tar: an extended header of \(header.size) bytes") }
        let bytes = try take(Int(header.size))
        try skipRest()
        return bytes
    }

    private func readGNUSparse(_ header: inout Header) throws(ImageError) {
        var extents: [TarEntry.Extent] = []
        header.realSize = try number(483, 12)
        func map(_ start: Int, _ count: Int) throws(ImageError) {
            for index in 0..<count where block[start + index * 24] != 0 {
                extents.append(.init(offset: try number(start + index * 24, 12), length: try number(start + index * 24 + 12, 12)))
            }
        }
        try map(386, 4)
        var more = block[482] != 0
        while more {
            guard extents.count <= limits.extents else {
                throw ImageError(.limit, "archive/tar: more than \(limits.extents) sparse extents")
            }
            guard try source.fill(block) == 512 else { throw TarReader.broken("unexpected end") }
            try map(0, 21)
            more = block[504] != 0
        }
        header.extents = extents
    }
}

// MARK: - Pax

extension TarReader {
    private func paxRecords(_ bytes: [UInt8]) throws(ImageError) -> [String: [UInt8]] {
        var records: [String: [UInt8]] = [:]
        var offset: [UInt8]?
        var sparse: [[UInt8]] = []
        var at = 0
        while at < bytes.count {
            guard let space = bytes[at...].firstIndex(of: 0x20), let length = TarReader.decimal(bytes[at..<space]),
                length > Int64(space - at + 1),
                length <= Int64(bytes.count - at), bytes[at + Int(length) - 1] == 0x0A
            else { throw TarReader.broken("pax record") }
            let record = bytes[(space + 1)..<(at + Int(length) - 1)]
            guard let equals = record.firstIndex(of: 0x3D) else { throw TarReader.broken("pax record") }
            let key = String(decoding: record[..<equals], as: UTF8.self)
            let value = Array(record[(equals + 1)...])
            switch key {
            // Version 0.0 of sparse files repeats these two.
            case "GNU.sparse.offset": offset = value
            case "GNU.sparse.numbytes":
                if let start = offset { sparse += [start, value] }
                offset = nil
            default: records[key] = value
            }
            at += Int(length)
        }
        if !sparse.isEmpty { records["GNU.sparse.map"] = Array(sparse.joined(separator: [0x2C])) }
        return records
    }

    static func decimal(_ bytes: some Collection<UInt8>) -> Int64? {
        guard !bytes.isEmpty, bytes.count <= 18, bytes.allSatisfy({ (0x30...0x39).contains($0) }) else { return nil }
        return bytes.reduce(Int64(0)) { $0 * 10 + Int64($1 - 0x30) }
    }

    private static func time(_ bytes: [UInt8]) -> Timestamp? {
        let negative = bytes.first == 0x2D
        let parts = bytes.dropFirst(negative ? 1 : 0).split(separator: 0x2E, maxSplits: 1, omittingEmptySubsequences: false)
        guard let first = parts.first, let seconds = decimal(first) else { return nil }
        guard !negative else { return Timestamp(seconds: -seconds) }
        var nanoseconds: Int32 = 0
        if parts.count == 2 {
            let digits = Array((Array(parts[1].prefix(9)) + [UInt8](repeating: 0x30, count: 9)).prefix(9))
            nanoseconds = Int32(decimal(digits) ?? 0)
        }
        return Timestamp(seconds: seconds, nanoseconds: nanoseconds)
    }

    private func entry(_ head: Header, _ pax: [String: [UInt8]], _ longName: [UInt8]?, _ longLink: [UInt8]?) throws(ImageError) -> TarEntry
    {
        var header = head
        func integer(_ key: String) throws(ImageError) -> Int64? {
            guard let value = pax[key] else { return nil }
            guard let number = TarReader.decimal(value) else { throw TarReader.broken("pax \(key)") }
            return number
        }
        if let size = try integer("size") {
            header.size = size
            begin(header)
        }
        let name = pax["GNU.sparse.name"] ?? pax["path"] ?? longName ?? header.name
        let link = pax["linkpath"] ?? longLink ?? header.link
        guard let path = String(validating: name, as: UTF8.self), let linkPath = String(validating: link, as: UTF8.self) else {
            throw ImageError(.unsupported, "archive/tar: a name that is not UTF-8: \(String(decoding: name, as: UTF8.self))")
        }
        var entry = TarEntry(
            path: path, kind: try kind(header, name), mode: header.mode,
            user: UInt32(truncatingIfNeeded: try integer("uid") ?? header.user),
            group: UInt32(truncatingIfNeeded: try integer("gid") ?? header.group),
            modified: pax["mtime"].flatMap(TarReader.time) ?? Timestamp(seconds: header.modified), size: header.size, link: linkPath)
        for (key, value) in pax where key.hasPrefix("SCHILY.xattr.") { entry.attributes[String(key.dropFirst(13))] = value }
        if entry.kind != .regular {
            entry.size = 0
        } else {
            try applySparse(&entry, header, pax)
        }
        return entry
    }

    private func kind(_ header: Header, _ name: [UInt8]) throws(ImageError) -> TarEntry.Kind {
        let (major, minor) = (UInt32(truncatingIfNeeded: header.major), UInt32(truncatingIfNeeded: header.minor))
        return switch header.type {
        // Before POSIX, a directory was a file whose name ends in a slash.
        case 0, UInt8(ascii: "0"), UInt8(ascii: "7"): name.last == 0x2F ? .directory : .regular
        case UInt8(ascii: "S"): .regular
        case UInt8(ascii: "1"): .hardLink
        case UInt8(ascii: "2"): .symlink
        case UInt8(ascii: "3"): .characterDevice(major: major, minor: minor)
        case UInt8(ascii: "4"): .blockDevice(major: major, minor: minor)
        case UInt8(ascii: "5"): .directory
        case UInt8(ascii: "6"): .fifo
        default: throw ImageError(.unsupported, "archive/tar: unhandled tar header type \(header.type)")
        }
    }

    private func applySparse(_ entry: inout TarEntry, _ header: Header, _ pax: [String: [UInt8]]) throws(ImageError) {
        if let extents = header.extents {
            entry.extents = extents
            entry.size = header.realSize
        } else if pax["GNU.sparse.major"] == [0x31], pax["GNU.sparse.minor"] == [0x30] {
            entry.extents = try sparseMapInData()
            entry.size = try real(pax["GNU.sparse.realsize"])
        } else if let map = pax["GNU.sparse.map"] {
            let numbers = map.split(separator: 0x2C).compactMap { TarReader.decimal($0) }
            guard numbers.count.isMultiple(of: 2) else { throw TarReader.broken("sparse map") }
            entry.extents = stride(from: 0, to: numbers.count, by: 2).map { .init(offset: numbers[$0], length: numbers[$0 + 1]) }
            entry.size = try real(pax["GNU.sparse.size"])
        }
        guard let extents = entry.extents else { return }
        var end: Int64 = 0
        var data: Int64 = 0
        for extent in extents {
            let (after, overflow) = extent.offset.addingReportingOverflow(extent.length)
            guard extent.offset >= end, extent.length >= 0, !overflow, after <= entry.size else { throw TarReader.broken("sparse map") }
            end = after
            data += extent.length
        }
        guard data == left else { throw TarReader.broken("sparse map") }
    }

    private func real(_ value: [UInt8]?) throws(ImageError) -> Int64 {
        guard let value, let size = TarReader.decimal(value) else { throw TarReader.broken("sparse size") }
        return size
    }

    /// Version 1.0 puts the map before the data, as decimal lines padded to a block.
    private func sparseMapInData() throws(ImageError) -> [TarEntry.Extent] {
        var text: [UInt8] = []
        func line() throws(ImageError) -> Int64 {
            while true {
                if let end = text.firstIndex(of: 0x0A) {
                    guard let value = TarReader.decimal(text[..<end]) else { throw TarReader.broken("sparse map") }
                    text.removeFirst(end + 1)
                    return value
                }
                guard left >= 512, text.count < 4096 else { throw TarReader.broken("sparse map") }
                text += try take(512)
            }
        }
        let count = try line()
        guard count <= limits.extents else { throw ImageError(.limit, "archive/tar: more than \(limits.extents) sparse extents") }
        var extents: [TarEntry.Extent] = []
        for _ in 0..<count { extents.append(.init(offset: try line(), length: try line())) }
        return extents
    }
}

extension [UInt8] {
    fileprivate var prefixBeforeZero: [UInt8] { Array(prefix { $0 != 0 }) }
}
