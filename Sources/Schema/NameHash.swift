/// The hash of names: fast, since names are looked up for every key of every object, and the same in every run.
///
/// It is not keyed: what clients send is only looked up, in tables at most half full. Who may define custom resources chooses
/// names that go into their table, and at worst slows down their own.
enum NameHash {
    /// Eight bytes a step.
    static func of(_ bytes: UnsafeRawBufferPointer, seed: UInt64) -> UInt64 {
        var hash = seed &* 0x9E37_79B9_7F4A_7C15 ^ UInt64(bytes.count)
        var index = 0
        while index + 8 <= bytes.count {
            hash = (hash ^ bytes.loadUnaligned(fromByteOffset: index, as: UInt64.self)) &* 0x9FB2_1C65_1E98_DF25
            hash ^= hash >> 32
            index += 8
        }
        var rest: UInt64 = 0
        while index < bytes.count {
            rest = rest << 8 | UInt64(bytes[index])
            index += 1
        }
        hash = (hash ^ rest) &* 0x9FB2_1C65_1E98_DF25
        return hash ^ (hash >> 29)
    }
}
