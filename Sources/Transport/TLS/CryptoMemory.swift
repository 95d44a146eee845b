import CCrypto

/// Bytes in and out of libcrypto's BIOs.
enum CryptoMemory {
    /// Runs `body` over the bytes; nil where it gives nil.
    static func reading<T>(_ bytes: [UInt8], _ body: (OpaquePointer) -> T?) -> T? {
        bytes.withUnsafeBytes { raw -> T? in
            guard let bio = BIO_new_mem_buf(raw.baseAddress, Int32(raw.count)) else { return nil }
            defer { BIO_free(bio) }
            return body(bio)
        }
    }

    /// What `body` wrote; nil where it did not succeed.
    static func writing(_ body: (OpaquePointer) -> Int32) -> [UInt8]? {
        guard let bio = BIO_new(BIO_s_mem()) else { return nil }
        defer { BIO_free(bio) }
        guard body(bio) == 1 else { return nil }
        var out: [UInt8] = []
        var piece = [UInt8](repeating: 0, count: 4096)
        while true {
            let count = BIO_read(bio, &piece, Int32(piece.count))
            if count <= 0 { return out }
            out += piece[0..<Int(count)]
        }
    }

    /// DER by one of libcrypto's i2d functions.
    static func der(_ encode: (UnsafeMutablePointer<UnsafeMutablePointer<UInt8>?>?) -> Int32) -> [UInt8]? {
        let count = encode(nil)
        guard count > 0 else { return nil }
        var out = [UInt8](repeating: 0, count: Int(count))
        let written = out.withUnsafeMutableBufferPointer { buffer -> Int32 in
            var cursor = buffer.baseAddress
            return encode(&cursor)
        }
        return written == count ? out : nil
    }

    /// A number as big-endian bytes, padded on the left to `count` where given.
    static func bytes(_ number: OpaquePointer, padded count: Int? = nil) -> [UInt8] {
        let size = count ?? (Int(BN_num_bits(number)) + 7) / 8
        var out = [UInt8](repeating: 0, count: size)
        BN_bn2binpad(number, &out, Int32(size))
        return out
    }
}
