import CCrypto

/// Random names and ids, from libcrypto's generator, which the kernel seeds.
package enum Identifier {
    package static func randomBytes(_ count: Int) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: count)
        precondition(RAND_bytes(&bytes, Int32(count)) == 1, "the random generator is not seeded")
        return bytes
    }

    /// A version 4 UUID in lowercase, as `metadata.uid`.
    package static func uuid() -> String {
        var bytes = randomBytes(16)
        bytes[6] = bytes[6] & 0x0F | 0x40
        bytes[8] = bytes[8] & 0x3F | 0x80
        let hex = Array(Encoding.hex(bytes).utf8)
        var out: [UInt8] = []
        for (index, byte) in hex.enumerated() {
            if index == 8 || index == 12 || index == 16 || index == 20 { out.append(0x2D) }
            out.append(byte)
        }
        return String(decoding: out, as: UTF8.self)
    }

    /// The suffix that upstream appends to `generateName`: no vowels, so that no words arise.
    package static func suffix(_ length: Int = 5) -> String {
        String(decoding: randomBytes(length).map { alphabet[Int($0) % alphabet.count] }, as: UTF8.self)
    }

    private static let alphabet = Array("bcdfghjklmnpqrstvwxz2456789".utf8)
}
