package import Core

/// One member of a tar: its metadata, with every extension (GNU, pax) already applied.
package struct TarEntry: Sendable, Equatable {
    package enum Kind: Sendable, Equatable {
        case regular, directory, symlink, hardLink
        case characterDevice(major: UInt32, minor: UInt32)
        case blockDevice(major: UInt32, minor: UInt32)
        case fifo
    }

    package struct Extent: Sendable, Equatable {
        package let offset: Int64
        package let length: Int64
        package init(offset: Int64, length: Int64) {
            self.offset = offset
            self.length = length
        }
    }

    package var path: String
    package var kind: Kind
    package var mode: UInt32
    package var user: UInt32
    package var group: UInt32
    package var modified: Timestamp
    /// Of the file once unpacked; a sparse one has less in the tar.
    package var size: Int64
    package var link: String
    package var attributes: [String: [UInt8]]
    /// Where the data of a sparse file goes; nil for a usual file.
    package var extents: [Extent]?

    package init(
        path: String, kind: Kind, mode: UInt32, user: UInt32 = 0, group: UInt32 = 0, modified: Timestamp = Timestamp(seconds: 0),
        size: Int64 = 0,
        link: String = "", attributes: [String: [UInt8]] = [:]
    ) {
        self.path = path
        self.kind = kind
        self.mode = mode
        self.user = user
        self.group = group
        self.modified = modified
        self.size = size
        self.link = link
        self.attributes = attributes
    }
}

/// A place that bytes are read from, in order. Reads block: use it on a thread that may.
package protocol ByteSource: AnyObject {
    /// At least one byte, or 0 at the end.
    func read(into buffer: UnsafeMutableRawBufferPointer) throws(ImageError) -> Int
}

/// A place that bytes are written to, in order.
package protocol ByteTarget: AnyObject {
    func write(_ bytes: UnsafeRawBufferPointer) throws(ImageError)
}

extension ByteTarget {
    package func write(_ bytes: [UInt8]) throws(ImageError) {
        let result: Result<Void, ImageError> = bytes.withUnsafeBytes { buffer in
            do throws(ImageError) { return .success(try write(buffer)) } catch { return .failure(error) }
        }
        try result.get()
    }
}

/// The bytes of an open file, from its position on.
package final class FileSource: ByteSource {
    private let file: FileDescriptor
    package init(_ file: FileDescriptor) { self.file = file }
    package func read(into buffer: UnsafeMutableRawBufferPointer) throws(ImageError) -> Int {
        do { return try file.read(into: buffer) } catch { throw ImageError(error) }
    }
}

package final class FileTarget: ByteTarget {
    private let file: FileDescriptor
    package init(_ file: FileDescriptor) { self.file = file }
    package func write(_ bytes: UnsafeRawBufferPointer) throws(ImageError) {
        do { try file.write(bytes) } catch { throw ImageError(error) }
    }
}

package final class MemorySource: ByteSource {
    private let bytes: [UInt8]
    private var at = 0
    package init(_ bytes: [UInt8]) { self.bytes = bytes }
    package func read(into buffer: UnsafeMutableRawBufferPointer) throws(ImageError) -> Int {
        let count = min(buffer.count, bytes.count - at)
        bytes.withUnsafeBytes { buffer.copyMemory(from: UnsafeRawBufferPointer(rebasing: $0[at..<(at + count)])) }
        at += count
        return count
    }
}

package final class MemoryTarget: ByteTarget {
    package private(set) var bytes: [UInt8] = []
    package init() {}
    package func write(_ bytes: UnsafeRawBufferPointer) { self.bytes.append(contentsOf: bytes) }
}

/// Passes bytes on and hashes them on the way.
package final class HashingSource: ByteSource {
    private let source: any ByteSource
    private var digest: MessageDigest
    package private(set) var count: Int64 = 0

    package init(_ source: any ByteSource, _ algorithm: ContentDigest.Algorithm = .sha256) {
        self.source = source
        digest = MessageDigest(algorithm)
    }

    package func read(into buffer: UnsafeMutableRawBufferPointer) throws(ImageError) -> Int {
        let read = try source.read(into: buffer)
        digest.update(UnsafeRawBufferPointer(rebasing: buffer[..<read]))
        count += Int64(read)
        return read
    }

    /// Call once, when all was read.
    package func finish() -> ContentDigest { ContentDigest(digest.algorithm, bytes: digest.finish()) }
}

/// Hashes and passes on what is written.
package final class HashingTarget: ByteTarget {
    private let target: any ByteTarget
    private var digest = MessageDigest(.sha256)
    package private(set) var count: Int64 = 0

    package init(_ target: any ByteTarget) { self.target = target }

    package func write(_ bytes: UnsafeRawBufferPointer) throws(ImageError) {
        digest.update(bytes)
        count += Int64(bytes.count)
        try target.write(bytes)
    }

    package func finish() -> ContentDigest { ContentDigest(bytes: digest.finish()) }
}

extension ByteSource {
    /// Reads until the buffer is full or the source ends; the count that came.
    func fill(_ buffer: UnsafeMutableRawBufferPointer) throws(ImageError) -> Int {
        var filled = 0
        while filled < buffer.count {
            let count = try read(into: UnsafeMutableRawBufferPointer(rebasing: buffer[filled...]))
            if count == 0 { break }
            filled += count
        }
        return filled
    }

    /// Reads and forgets the rest; the count that came, at most `limit`.
    @discardableResult
    package func drain(limit: Int64 = .max) throws(ImageError) -> Int64 {
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 64 << 10, alignment: 16)
        defer { buffer.deallocate() }
        var total: Int64 = 0
        while true {
            let count = try read(into: buffer)
            if count == 0 { return total }
            total += Int64(count)
            if total > limit { throw ImageError(.limit, "more than \(limit) bytes follow the end of the archive") }
        }
    }
}

extension BlobIngest: ByteTarget {}
