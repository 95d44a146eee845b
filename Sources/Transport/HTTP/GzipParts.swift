import CZlib

/// Part of a body as it lies in a gzip stream. Parts that were packed at different times can stand in one stream, in any order: so what is
/// sent often is packed once.
package struct GzipPart: Sendable {
    let packed: [UInt8]
    let checksum: UInt
    /// How many bytes it has unpacked.
    package let count: Int

    /// What it takes in memory.
    package var size: Int { packed.count }

    /// Packs for speed (level 1), as upstream's server does it.
    package init(_ chunks: [ArraySlice<UInt8>]) {
        var stream = z_stream()
        // Raw: what frames a gzip stream comes around all its parts.
        guard deflateInit2_(&stream, 1, Z_DEFLATED, -15, 8, Z_DEFAULT_STRATEGY, ZLIB_VERSION, Int32(MemoryLayout<z_stream>.size)) == Z_OK else {
            preconditionFailure("zlib does not start")
        }
        defer { deflateEnd(&stream) }
        var out = [UInt8](repeating: 0, count: 64 << 10)
        var packed: [UInt8] = []
        var checksum = crc32(0, nil, 0)
        var count = 0
        func run(_ flush: Int32) {
            repeat {
                let written = out.withUnsafeMutableBufferPointer { buffer -> Int in
                    stream.next_out = buffer.baseAddress
                    stream.avail_out = UInt32(buffer.count)
                    _ = deflate(&stream, flush)
                    return buffer.count - Int(stream.avail_out)
                }
                packed.append(contentsOf: out[..<written])
            } while stream.avail_out == 0
        }
        for chunk in chunks {
            chunk.withUnsafeBufferPointer { bytes in
                stream.next_in = UnsafeMutablePointer(mutating: bytes.baseAddress)
                stream.avail_in = UInt32(bytes.count)
                checksum = crc32(checksum, bytes.baseAddress, UInt32(bytes.count))
                count += bytes.count
                run(Z_NO_FLUSH)
            }
        }
        // Ends on a whole byte, and nothing that follows refers to it.
        run(Z_FULL_FLUSH)
        self.packed = packed
        self.checksum = checksum
        self.count = count
    }

    /// The part as it was.
    package func unpacked() -> [UInt8] {
        guard count > 0 else { return [] }
        var stream = z_stream()
        guard inflateInit2_(&stream, -15, ZLIB_VERSION, Int32(MemoryLayout<z_stream>.size)) == Z_OK else { preconditionFailure("zlib does not start") }
        defer { inflateEnd(&stream) }
        return [UInt8](unsafeUninitializedCapacity: count) { out, filled in
            packed.withUnsafeBufferPointer { bytes in
                stream.next_in = UnsafeMutablePointer(mutating: bytes.baseAddress)
                stream.avail_in = UInt32(bytes.count)
                stream.next_out = out.baseAddress
                stream.avail_out = UInt32(out.count)
                _ = inflate(&stream, Z_SYNC_FLUSH)
            }
            filled = count - Int(stream.avail_out)
        }
    }

    /// A whole gzip stream of the parts.
    package static func stream(_ parts: [GzipPart]) -> [ArraySlice<UInt8>] {
        var checksum = crc32(0, nil, 0)
        var count = 0
        var out: [ArraySlice<UInt8>] = [[0x1F, 0x8B, 8, 0, 0, 0, 0, 0, 4, 0xFF]]
        for part in parts where part.count > 0 {
            checksum = crc32_combine(checksum, part.checksum, part.count)
            count += part.count
            out.append(part.packed[...])
        }
        // An empty last block, then what was promised.
        var end: [UInt8] = [3, 0]
        for value in [UInt32(truncatingIfNeeded: checksum), UInt32(truncatingIfNeeded: count)] {
            for shift in stride(from: 0 as UInt32, to: 32, by: 8) { end.append(UInt8(truncatingIfNeeded: value >> shift)) }
        }
        out.append(end[...])
        return out
    }
}
