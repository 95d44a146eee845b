import CZstd

/// Decompresses zstd frames one after another. A window larger than 128 MiB is refused.
final class ZstdSource: ByteSource {
    private let source: any ByteSource
    private let context: OpaquePointer
    private let input = UnsafeMutableRawBufferPointer.allocate(byteCount: 128 << 10, alignment: 16)
    private var pending = ZSTD_inBuffer()
    /// What the decoder still expects; 0 between frames.
    private var expects = 1
    private var ended = false

    init(_ source: any ByteSource) throws(ImageError) {
        self.source = source
        guard let context = ZSTD_createDStream() else { throw ImageError(.system, "zstd: no memory") }
        self.context = context
        ZSTD_DCtx_setParameter(context, ZSTD_d_windowLogMax, 27)
    }

    deinit {
        ZSTD_freeDStream(context)
        input.deallocate()
    }

    func read(into buffer: UnsafeMutableRawBufferPointer) throws(ImageError) -> Int {
        guard !buffer.isEmpty, !ended else { return 0 }
        var output = ZSTD_outBuffer(dst: buffer.baseAddress, size: buffer.count, pos: 0)
        while output.pos == 0 {
            if pending.pos == pending.size {
                let count = try source.read(into: input)
                if count == 0 { return try finish(&output) }
                pending = ZSTD_inBuffer(src: input.baseAddress, size: count, pos: 0)
            }
            try step(&output, &pending)
        }
        return output.pos
    }

    private func step(_ output: inout ZSTD_outBuffer, _ bytes: inout ZSTD_inBuffer) throws(ImageError) {
        let result = ZSTD_decompressStream(context, &output, &bytes)
        guard ZSTD_isError(result) == 0 else { throw ZstdSource.failure(result) }
        expects = result
    }

    /// After the last input, what the decoder still holds comes out.
    private func finish(_ output: inout ZSTD_outBuffer) throws(ImageError) -> Int {
        if expects != 0 {
            var nothing = ZSTD_inBuffer(src: input.baseAddress, size: 0, pos: 0)
            try step(&output, &nothing)
            if output.pos > 0 { return output.pos }
        }
        guard expects == 0 else { throw ImageError(.invalid, "zstd: unexpected end") }
        ended = true
        return 0
    }

    private static func failure(_ code: Int) -> ImageError {
        ImageError(.invalid, "zstd: " + String(cString: ZSTD_getErrorName(code)).lowercased())
    }
}
