/// How a blob's bytes are packed; told by their first bytes, whatever the media type says.
package enum Compression: Sendable, Equatable {
    case none, gzip, zstd

    package init(detecting bytes: some Collection<UInt8>) {
        let head = Array(bytes.prefix(4))
        if head.starts(with: [0x1F, 0x8B]) {
            self = .gzip
        } else if head == [0x28, 0xB5, 0x2F, 0xFD] || (head.count == 4 && head[0] & 0xF0 == 0x50 && head[1...] == [0x2A, 0x4D, 0x18]) {
            self = .zstd
        } else {
            self = .none
        }
    }

    /// What a blob unpacks to, as a stream.
    package static func unpack(_ source: any ByteSource) throws(ImageError) -> any ByteSource {
        var head = [UInt8](repeating: 0, count: 4)
        let result: Result<Int, ImageError> = head.withUnsafeMutableBytes { buffer in
            do throws(ImageError) { return .success(try source.fill(buffer)) } catch { return .failure(error) }
        }
        head.removeLast(4 - (try result.get()))
        let whole = PrefixedSource(head, source)
        return switch Compression(detecting: head) {
        case .none: whole
        case .gzip: try GzipSource(whole)
        case .zstd: try ZstdSource(whole)
        }
    }
}

/// Bytes already read, then the rest of their source.
final class PrefixedSource: ByteSource {
    private var head: [UInt8]
    private let source: any ByteSource

    init(_ head: [UInt8], _ source: any ByteSource) {
        self.head = head
        self.source = source
    }

    func read(into buffer: UnsafeMutableRawBufferPointer) throws(ImageError) -> Int {
        guard !head.isEmpty else { return try source.read(into: buffer) }
        let count = min(head.count, buffer.count)
        for index in 0..<count { buffer[index] = head[index] }
        head.removeFirst(count)
        return count
    }
}
