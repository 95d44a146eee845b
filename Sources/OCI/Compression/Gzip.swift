import CZlib

/// Inflates gzip, members one after another, checking each one's sum.
final class GzipSource: ByteSource {
    private let source: any ByteSource
    // zlib keeps the stream's address, so it must not move.
    private let stream = UnsafeMutablePointer<z_stream>.allocate(capacity: 1)
    private let input = UnsafeMutableRawBufferPointer.allocate(byteCount: 128 << 10, alignment: 16)
    /// Between members there may be an end; inside one there may not.
    private var inside = true
    private var ended = false

    init(_ source: any ByteSource) throws(ImageError) {
        self.source = source
        stream.initialize(to: z_stream())
        guard inflateInit2_(stream, 15 + 16, ZLIB_VERSION, Int32(MemoryLayout<z_stream>.size)) == Z_OK else {
            throw ImageError(.system, "zlib: no memory")
        }
    }

    deinit {
        inflateEnd(stream)
        stream.deallocate()
        input.deallocate()
    }

    func read(into buffer: UnsafeMutableRawBufferPointer) throws(ImageError) -> Int {
        guard !buffer.isEmpty, !ended else { return 0 }
        stream.pointee.next_out = buffer.bindMemory(to: UInt8.self).baseAddress
        stream.pointee.avail_out = UInt32(clamping: buffer.count)
        let room = stream.pointee.avail_out
        while stream.pointee.avail_out == room {
            if stream.pointee.avail_in == 0 {
                let count = try source.read(into: input)
                if count == 0 {
                    guard !inside else { throw ImageError(.invalid, "gzip: unexpected end") }
                    ended = true
                    return 0
                }
                stream.pointee.next_in = input.bindMemory(to: UInt8.self).baseAddress
                stream.pointee.avail_in = UInt32(count)
            }
            if !inside {
                // Zeros may pad the end of a member, as on tapes; anything else begins another.
                guard stream.pointee.next_in.pointee != 0 else {
                    stream.pointee.next_in += 1
                    stream.pointee.avail_in -= 1
                    continue
                }
                inflateReset(stream)
                inside = true
            }
            switch inflate(stream, Z_NO_FLUSH) {
            case Z_OK, Z_BUF_ERROR: break
            case Z_STREAM_END: inside = false
            default: throw ImageError(.invalid, "gzip: " + (stream.pointee.msg.map { String(cString: $0) } ?? "invalid data"))
            }
        }
        return Int(room - stream.pointee.avail_out)
    }
}

/// Deflates to gzip. No name and no time in the header: the same bytes give the same bytes.
package final class GzipTarget: ByteTarget {
    private let target: any ByteTarget
    private let stream = UnsafeMutablePointer<z_stream>.allocate(capacity: 1)
    private let output = UnsafeMutableRawBufferPointer.allocate(byteCount: 128 << 10, alignment: 16)

    package init(_ target: any ByteTarget, level: Int32 = 6) throws(ImageError) {
        self.target = target
        stream.initialize(to: z_stream())
        guard
            deflateInit2_(stream, level, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY, ZLIB_VERSION, Int32(MemoryLayout<z_stream>.size))
                == Z_OK
        else {
            throw ImageError(.system, "zlib: no memory")
        }
    }

    deinit {
        deflateEnd(stream)
        stream.deallocate()
        output.deallocate()
    }

    package func write(_ bytes: UnsafeRawBufferPointer) throws(ImageError) {
        guard !bytes.isEmpty else { return }
        stream.pointee.next_in = UnsafeMutablePointer(mutating: bytes.bindMemory(to: UInt8.self).baseAddress)
        stream.pointee.avail_in = UInt32(bytes.count)
        while stream.pointee.avail_in > 0 { _ = try run(Z_NO_FLUSH) }
    }

    package func finish() throws(ImageError) {
        stream.pointee.avail_in = 0
        while try run(Z_FINISH) != Z_STREAM_END {}
    }

    private func run(_ flush: Int32) throws(ImageError) -> Int32 {
        stream.pointee.next_out = output.bindMemory(to: UInt8.self).baseAddress
        stream.pointee.avail_out = UInt32(output.count)
        let result = deflate(stream, flush)
        guard result != Z_STREAM_ERROR else { throw ImageError(.system, "zlib: broken state") }
        try target.write(UnsafeRawBufferPointer(rebasing: output[..<(output.count - Int(stream.pointee.avail_out))]))
        return result
    }
}
