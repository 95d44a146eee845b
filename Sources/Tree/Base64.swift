/// Standard base64 with padding, which is how JSON carries bytes.
package enum Base64 {
    private static let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)
    private static let urlAlphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_".utf8)

    package static func encode(_ bytes: some Sequence<UInt8>) -> String { encode(bytes, alphabet, padded: true) }
    /// The URL-safe alphabet without padding, as tokens use it.
    package static func encodeURL(_ bytes: some Sequence<UInt8>) -> String { encode(bytes, urlAlphabet, padded: false) }

    private static func encode(_ bytes: some Sequence<UInt8>, _ alphabet: [UInt8], padded: Bool) -> String {
        var out: [UInt8] = []
        out.reserveCapacity(bytes.underestimatedCount * 4 / 3 + 4)
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
            if padded { for _ in held..<3 { out.append(UInt8(ascii: "=")) } }
        }
        return String(decoding: out, as: UTF8.self)
    }

    /// Nil where the text is no padded base64; line breaks are skipped, as Go's decoder does.
    package static func decode(_ text: String) -> [UInt8]? { decode(text.utf8, plus: 43, slash: 47, padded: true) }
    package static func decodeURL(_ text: String) -> [UInt8]? { decode(text.utf8, plus: 45, slash: 95, padded: false) }

    private static func decode(_ text: String.UTF8View, plus: UInt8, slash: UInt8, padded: Bool) -> [UInt8]? {
        var out: [UInt8] = []
        out.reserveCapacity(text.count * 3 / 4)
        var pending: UInt32 = 0
        var held = 0
        var padding = 0
        for byte in text {
            let value: UInt8
            switch byte {
            case 65...90: value = byte - 65
            case 97...122: value = byte - 71
            case 48...57: value = byte + 4
            case plus: value = 62
            case slash: value = 63
            case 10, 13: continue
            case UInt8(ascii: "=") where padded:
                padding += 1
                continue
            default: return nil
            }
            guard padding == 0 else { return nil }
            pending = pending << 6 | UInt32(value)
            held += 1
            if held == 4 {
                out.append(UInt8(truncatingIfNeeded: pending >> 16))
                out.append(UInt8(truncatingIfNeeded: pending >> 8))
                out.append(UInt8(truncatingIfNeeded: pending))
                pending = 0
                held = 0
            }
        }
        switch held {
        case 0: return padding == 0 ? out : nil
        case 2: out.append(UInt8(truncatingIfNeeded: pending >> 4))
        case 3:
            out.append(UInt8(truncatingIfNeeded: pending >> 10))
            out.append(UInt8(truncatingIfNeeded: pending >> 2))
        default: return nil
        }
        return !padded || held + padding == 4 ? out : nil
    }
}
