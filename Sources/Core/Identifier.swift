import CCrypto
import Synchronization

/// Random names and ids, from libcrypto's generator, which the kernel seeds.
package enum Identifier {
    package static func randomBytes(_ count: Int) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: count)
        precondition(RAND_bytes(&bytes, Int32(count)) == 1, "the random generator is not seeded")
        return bytes
    }

    /// Random bytes for what need not be secret: each request takes some, and the generator's price is for the call, not for the byte.
    private static func pooled(_ count: Int) -> ArraySlice<UInt8> {
        pool.withLock { pool in
            if pool.count < count { pool = randomBytes(max(4096, count))[...] }
            defer { pool.removeFirst(count) }
            return ArraySlice(Array(pool.prefix(count)))
        }
    }

    private static let pool = Mutex<ArraySlice<UInt8>>([])

    /// A version 4 UUID in lowercase, as `metadata.uid`.
    package static func uuid() -> String {
        var bytes = pooled(16)
        bytes[6] = bytes[6] & 0x0F | 0x40
        bytes[8] = bytes[8] & 0x3F | 0x80
        return String(unsafeUninitializedCapacity: 36) { out in
            var at = 0
            for (index, byte) in bytes.enumerated() {
                if index == 4 || index == 6 || index == 8 || index == 10 {
                    out[at] = 0x2D
                    at += 1
                }
                out[at] = digit(byte >> 4)
                out[at + 1] = digit(byte & 0x0F)
                at += 2
            }
            return at
        }
    }

    private static func digit(_ value: UInt8) -> UInt8 { value + (value < 10 ? 0x30 : 0x57) }

    /// The suffix that upstream appends to `generateName`: no vowels, so that no words arise.
    package static func suffix(_ length: Int = 5) -> String {
        String(decoding: pooled(length).map { alphabet[Int($0) % alphabet.count] }, as: UTF8.self)
    }

    private static let alphabet = Array("bcdfghjklmnpqrstvwxz2456789".utf8)
}
