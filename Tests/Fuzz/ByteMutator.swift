/// Changes bytes so that they stay close to what a parser expects: pieces move, repeat and nest, numbers grow, words of the format
/// come where they do not belong.
struct ByteMutator {
    let corpus: [[UInt8]]
    let words: [[UInt8]]
    /// Repetition stops here.
    var largest = 48 << 10

    private static let numbers = [
        "0", "-0", "-1", "1e999", "-1e-999", "9223372036854775807", "9223372036854775808", "-9223372036854775809", "18446744073709551616", "2147483648", "65536",
        "0x7fffffffffffffff", "1_000", "0.00000000000000000001", "99999999999999999999999999999999999999999999", "NaN", "1E", "4294967295",
    ].map { Array($0.utf8) }
    private static let odd: [[UInt8]] = [
        [0], [0xFF], [0xC3, 0x28], [0xED, 0xA0, 0x80], [0xF0, 0x9F, 0x92, 0xA9], [0xEF, 0xBB, 0xBF], [0x0D, 0x0A], [0x0A], [0x20, 0x20], [0x09], [0x7F], [0x5C], [0x22], [0x25, 0x30, 0x30],
        [0xE2, 0x80, 0xA8], [0xCC, 0x81], [0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x7F], [0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01],
    ]

    func make(_ random: inout Random) -> [UInt8] {
        var bytes = random.pick(corpus, or: [])
        for _ in 0...random.below(4) { change(&bytes, &random) }
        return bytes
    }

    func change(_ bytes: inout [UInt8], _ random: inout Random) {
        let at = random.below(bytes.count + 1)
        let length = min(random.below(random.chance(1, of: 4) ? 64 : 8) + 1, bytes.count - at)
        switch random.below(13) {
        case 0: if at < bytes.count { bytes[at] ^= UInt8(1 << random.below(8)) }
        case 1: if at < bytes.count { bytes[at] = UInt8(random.below(256)) }
        case 2: bytes.removeSubrange(at..<at + length)
        case 3: bytes.insert(contentsOf: random.pick(words, or: [0]), at: at)
        case 4: bytes.replaceSubrange(at..<at + length, with: random.pick(words, or: [0]))
        case 5: bytes.insert(contentsOf: random.pick(Self.numbers, or: [0]), at: at)
        case 6: bytes.insert(contentsOf: random.pick(Self.odd, or: [0]), at: at)
        case 7: replaceNumber(&bytes, from: at, &random)
        case 8: bytes.removeSubrange(at...)
        case 9:
            // The end of another.
            let other = random.pick(corpus, or: [])
            bytes.replaceSubrange(at..., with: other[random.below(other.count + 1)...])
        case 10: bytes.insert(contentsOf: Array(bytes[at..<at + length]), at: random.below(bytes.count + 1))
        case 11: swap(&bytes, at, length, &random)
        default:
            let piece = random.chance(1, of: 2) ? Array(bytes[at..<at + length]) : random.pick(words, or: [0x5B])
            repeated(piece, in: &bytes, at, &random)
        }
    }

    private func swap(_ bytes: inout [UInt8], _ at: Int, _ length: Int, _ random: inout Random) {
        let other = random.below(bytes.count + 1)
        for offset in 0..<length where other + offset < bytes.count { bytes.swapAt(at + offset, other + offset) }
    }

    private func replaceNumber(_ bytes: inout [UInt8], from start: Int, _ random: inout Random) {
        guard let first = bytes[start...].firstIndex(where: { $0 &- 48 < 10 }) else { return }
        let end = bytes[first...].firstIndex { $0 &- 48 >= 10 } ?? bytes.count
        bytes.replaceSubrange(first..<end, with: random.pick(Self.numbers, or: []))
    }

    /// Depth and length: a few times often, thousands of times rarely.
    private func repeated(_ piece: [UInt8], in bytes: inout [UInt8], _ at: Int, _ random: inout Random) {
        guard !piece.isEmpty else { return }
        let times = random.chance(1, of: 24) ? largest / piece.count : random.below(40)
        var more: [UInt8] = []
        for _ in 0..<min(times, largest / piece.count) { more += piece }
        bytes.insert(contentsOf: more, at: at)
    }
}
