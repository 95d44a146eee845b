import Core

/// An IPv4 address as services have them: parsed and printed without a socket library.
struct ServiceAddress: Sendable, Hashable {
    let value: UInt32

    init(_ value: UInt32) { self.value = value }

    init?(_ text: String) {
        let parts = text.split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count == 4 else { return nil }
        var value: UInt32 = 0
        for part in parts {
            guard (1...3).contains(part.count), part.utf8.allSatisfy({ (48...57).contains($0) }), let byte = UInt8(part), part.count == 1 || part.first != "0"
            else { return nil }
            value = value << 8 | UInt32(byte)
        }
        self.value = value
    }

    var text: String { "\(value >> 24).\(value >> 16 & 255).\(value >> 8 & 255).\(value & 255)" }
}

/// Numbers of which each is somebody's.
protocol NumberSource {
    mutating func take(_ number: UInt32) throws(NumberPool.Failure)
    mutating func takeAny() throws(NumberPool.Failure) -> UInt32
}

/// The addresses or ports of one range, as numbers: which are taken. Static requests come from anywhere in the range, others
/// from its upper part first, so that the two rarely meet.
struct NumberPool: NumberSource, Sendable {
    enum Failure: Error { case full, taken, outside }

    let range: ClosedRange<UInt32>
    /// The first number of the upper part.
    let dynamicStart: UInt32
    private(set) var taken: Set<UInt32> = []

    init(_ range: ClosedRange<UInt32>, staticCount: UInt32) {
        self.range = range
        dynamicStart = min(range.upperBound, range.lowerBound + staticCount)
    }

    mutating func take(_ number: UInt32) throws(Failure) {
        guard range.contains(number) else { throw .outside }
        guard taken.insert(number).inserted else { throw .taken }
    }

    /// Takes any, from a random place on.
    mutating func takeAny() throws(Failure) -> UInt32 {
        for part in [dynamicStart...range.upperBound, range.lowerBound...max(range.lowerBound, dynamicStart &- 1)] {
            let first = UInt32.random(in: part)
            for number in first...part.upperBound where taken.insert(number).inserted { return number }
            guard first > part.lowerBound else { continue }
            for number in part.lowerBound...(first - 1) where taken.insert(number).inserted { return number }
        }
        throw .full
    }

    mutating func release(_ number: UInt32) { taken.remove(number) }
}

/// The range of service addresses as upstream splits it: no network address, no broadcast address.
struct ServiceRange: Sendable {
    let text: String
    /// The address that names the range and that nobody has.
    let network: String
    let pool: NumberPool

    init?(_ cidr: String) {
        let parts = cidr.split(separator: "/")
        guard parts.count == 2, let base = ServiceAddress(String(parts[0])), let length = UInt32(parts[1]), (8...30).contains(length) else { return nil }
        let mask = UInt32.max << (32 - length)
        let network = base.value & mask
        let count = ~mask - 1
        self.network = ServiceAddress(network).text
        text = "\(self.network)/\(length)"
        // Upstream's formula: min(max(16, range/16), 256) are kept for static requests.
        let reserved = count <= 16 ? 0 : min(max(16, (count + 2) / 16), 256)
        pool = NumberPool((network + 1)...(network + count), staticCount: reserved)
    }

    /// What the cluster's own service has.
    var first: String { ServiceAddress(pool.range.lowerBound).text }
}
