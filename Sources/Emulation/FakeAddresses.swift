/// Addresses that lead nowhere, out of 100.64.0.0/10, which no cluster of this machine uses: each given once until it comes back.
struct FakeAddresses: Sendable {
    private static let base: UInt32 = 100 << 24 | 64 << 16
    private static let count: UInt32 = 1 << 22
    private var used: Set<UInt32> = []
    private var next: UInt32 = 1

    /// An address that somebody has already; others are of no concern.
    mutating func take(_ text: String) { if let offset = FakeAddresses.offset(text) { used.insert(offset) } }

    mutating func release(_ text: String) { if let offset = FakeAddresses.offset(text) { used.remove(offset) } }

    mutating func give() -> String {
        while used.contains(next), used.count < Int(FakeAddresses.count) - 1 { advance() }
        used.insert(next)
        let address = FakeAddresses.base + next
        advance()
        return [24, 16, 8, 0].map { String((address >> $0) & 255) }.joined(separator: ".")
    }

    private mutating func advance() { next = next + 1 < FakeAddresses.count ? next + 1 : 1 }

    private static func offset(_ text: String) -> UInt32? {
        let bytes = text.split(separator: ".", omittingEmptySubsequences: false).compactMap { UInt8($0) }
        guard bytes.count == 4 else { return nil }
        let address = bytes.reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
        return address > base && address < base + count ? address - base : nil
    }
}
