import CCrypto

/// SHA-256 over bytes given at once or in pieces; `finish` may be called once.
package struct SHA256: ~Copyable {
    private let context: OpaquePointer

    package init() {
        guard let context = EVP_MD_CTX_new(), EVP_DigestInit_ex(context, EVP_sha256(), nil) == 1 else {
            preconditionFailure("libcrypto has no SHA-256")
        }
        self.context = context
    }

    deinit { EVP_MD_CTX_free(context) }

    package mutating func update(_ bytes: UnsafeRawBufferPointer) {
        guard let base = bytes.baseAddress else { return }
        EVP_DigestUpdate(context, base, bytes.count)
    }

    package mutating func update(_ bytes: [UInt8]) { bytes.withUnsafeBytes { update($0) } }

    package mutating func finish() -> [UInt8] {
        var out = [UInt8](repeating: 0, count: 32)
        var count: UInt32 = 32
        EVP_DigestFinal_ex(context, &out, &count)
        return out
    }

    package static func hash(_ bytes: [UInt8]) -> [UInt8] {
        var digest = SHA256()
        digest.update(bytes)
        return digest.finish()
    }
}

/// Lowercase hexadecimal and the two base64 alphabets (RFC 4648).
package enum Encoding {
    package static func hex(_ bytes: some Sequence<UInt8>) -> String {
        var out: [UInt8] = []
        for byte in bytes {
            out.append(hexDigits[Int(byte >> 4)])
            out.append(hexDigits[Int(byte & 15)])
        }
        return String(decoding: out, as: UTF8.self)
    }

    package static func base64(_ bytes: some Sequence<UInt8>) -> String { encode(bytes, standard, padded: true) }
    /// Without padding, as JWTs and continue tokens use it.
    package static func base64URL(_ bytes: some Sequence<UInt8>) -> String { encode(bytes, urlSafe, padded: false) }

    /// Which text a base64 decoder takes. Line breaks are always skipped, as Go's does.
    package struct Base64Form: Sendable {
        fileprivate let takesStandard: Bool
        fileprivate let takesURLSafe: Bool
        /// Nil where it may be there or not.
        fileprivate let isPadded: Bool?

        /// How JSON carries bytes.
        package static let standard = Base64Form(takesStandard: true, takesURLSafe: false, isPadded: true)
        /// How tokens carry bytes.
        package static let urlSafe = Base64Form(takesStandard: false, takesURLSafe: true, isPadded: false)
        /// Either alphabet, padded or not.
        package static let any = Base64Form(takesStandard: true, takesURLSafe: true, isPadded: nil)
    }

    /// Nil on any byte that does not belong there.
    package static func decodeBase64(_ text: String, _ form: Base64Form = .any) -> [UInt8]? {
        var out: [UInt8] = []
        out.reserveCapacity(text.utf8.count * 3 / 4)
        var bits: UInt32 = 0
        var count = 0
        var padding = 0
        for byte in text.utf8 {
            let value: UInt32
            switch byte {
            case 65...90: value = UInt32(byte - 65)
            case 97...122: value = UInt32(byte - 71)
            case 48...57: value = UInt32(byte + 4)
            case 0x2B where form.takesStandard, 0x2D where form.takesURLSafe: value = 62
            case 0x2F where form.takesStandard, 0x5F where form.takesURLSafe: value = 63
            case 0x3D where form.isPadded != false:
                padding += 1
                continue
            case 0x0A, 0x0D: continue
            default: return nil
            }
            guard padding == 0 else { return nil }
            bits = bits << 6 | value
            count += 1
            if count == 4 {
                for shift in [16, 8, 0] as [UInt32] { out.append(UInt8(truncatingIfNeeded: bits >> shift)) }
                bits = 0
                count = 0
            }
        }
        switch count {
        case 0: return padding == 0 ? out : nil
        case 2: out.append(UInt8(truncatingIfNeeded: bits >> 4))
        case 3:
            out.append(UInt8(truncatingIfNeeded: bits >> 10))
            out.append(UInt8(truncatingIfNeeded: bits >> 2))
        default: return nil
        }
        if padding == 0 { return form.isPadded == true ? nil : out }
        return count + padding == 4 ? out : nil
    }

    private static let hexDigits = Array("0123456789abcdef".utf8)
    private static let standard = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)
    private static let urlSafe = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_".utf8)

    private static func encode(_ bytes: some Sequence<UInt8>, _ alphabet: [UInt8], padded: Bool) -> String {
        var out: [UInt8] = []
        out.reserveCapacity((bytes.underestimatedCount + 2) / 3 * 4)
        var pending: UInt32 = 0
        var held = 0
        for byte in bytes {
            pending = pending << 8 | UInt32(byte)
            held += 1
            if held == 3 {
                for shift in [18, 12, 6, 0] as [UInt32] { out.append(alphabet[Int(pending >> shift & 63)]) }
                pending = 0
                held = 0
            }
        }
        if held > 0 {
            pending <<= UInt32(8 * (3 - held))
            for index in 0...held { out.append(alphabet[Int(pending >> UInt32(18 - 6 * index) & 63)]) }
            if padded { for _ in held..<3 { out.append(0x3D) } }
        }
        return String(decoding: out, as: UTF8.self)
    }
}
