/// An IPv4 or IPv6 address as the number it is, so that comparing, hashing and counting on are cheap.
package struct IPAddress: Sendable, Hashable, Comparable {
    package let isIPv6: Bool
    let high: UInt64
    let low: UInt64

    package init(v4: UInt32) {
        isIPv6 = false
        high = 0
        low = UInt64(v4)
    }

    package init(v6High: UInt64, v6Low: UInt64) {
        isIPv6 = true
        high = v6High
        low = v6Low
    }

    package init(_ a: UInt8, _ b: UInt8, _ c: UInt8, _ d: UInt8) {
        self.init(v4: UInt32(a) << 24 | UInt32(b) << 16 | UInt32(c) << 8 | UInt32(d))
    }

    /// From 4 or 16 bytes in network order; nil for any other count.
    package init?(bytes: some Collection<UInt8>) {
        switch bytes.count {
        case 4: self.init(v4: bytes.reduce(0) { $0 << 8 | UInt32($1) })
        case 16:
            self.init(
                v6High: bytes.prefix(8).reduce(0) { $0 << 8 | UInt64($1) }, v6Low: bytes.dropFirst(8).reduce(0) { $0 << 8 | UInt64($1) })
        default: return nil
        }
    }

    /// The value of an IPv4 address; the last 32 bits of an IPv6 one.
    package var v4: UInt32 { UInt32(truncatingIfNeeded: low) }
    package var bits: Int { isIPv6 ? 128 : 32 }
    package var byteCount: Int { isIPv6 ? 16 : 4 }

    package var bytes: [UInt8] {
        if isIPv6 {
            return (0..<8).map { UInt8(truncatingIfNeeded: high >> (56 - 8 * UInt64($0))) }
                + (0..<8).map { UInt8(truncatingIfNeeded: low >> (56 - 8 * UInt64($0))) }
        }
        return (0..<4).map { UInt8(truncatingIfNeeded: low >> (24 - 8 * UInt64($0))) }
    }

    package var isLoopback: Bool { isIPv6 ? high == 0 && low == 1 : v4 >> 24 == 127 }
    package var isUnspecified: Bool { high == 0 && low == 0 }

    /// The address `count` further on; wraps within the last 64 bits (32 for IPv4).
    package func advanced(by count: UInt64) -> IPAddress {
        isIPv6 ? IPAddress(v6High: high, v6Low: low &+ count) : IPAddress(v4: v4 &+ UInt32(truncatingIfNeeded: count))
    }

    package static func < (a: IPAddress, b: IPAddress) -> Bool {
        (a.isIPv6 ? 1 : 0, a.high, a.low) < (b.isIPv6 ? 1 : 0, b.high, b.low)
    }
}

// MARK: - Text

extension IPAddress: CustomStringConvertible {
    /// Dotted decimal, or RFC 5952 for IPv6.
    package var description: String {
        guard isIPv6 else {
            let value = v4
            return "\(value >> 24).\(value >> 16 & 255).\(value >> 8 & 255).\(value & 255)"
        }
        let groups = (0..<8).map { index -> UInt16 in
            UInt16(truncatingIfNeeded: (index < 4 ? high : low) >> (48 - 16 * UInt64(index & 3)))
        }
        let run = IPAddress.longestZeroRun(groups)
        var text = ""
        var index = 0
        while index < 8 {
            if index == run.lowerBound, run.count > 1 {
                text += "::"
                index = run.upperBound
                continue
            }
            if !text.isEmpty, !text.hasSuffix("::") { text += ":" }
            text += String(groups[index], radix: 16)
            index += 1
        }
        return text
    }

    private static func longestZeroRun(_ groups: [UInt16]) -> Range<Int> {
        var best = 0..<0
        var start = 0
        for index in 0...groups.count {
            if index < groups.count, groups[index] == 0 { continue }
            if index - start > best.count { best = start..<index }
            start = index + 1
        }
        return best
    }

    /// Strict: no leading zeros in IPv4, no zone in IPv6; nil for anything else.
    package init?(_ text: String) {
        if text.utf8.contains(UInt8(ascii: ":")) {
            guard let value = IPAddress.parseV6(text) else { return nil }
            self = value
        } else {
            guard let value = IPAddress.parseV4(text.utf8) else { return nil }
            self.init(v4: value)
        }
    }

    private static func parseV4(_ text: some Sequence<UInt8>) -> UInt32? {
        var value: UInt32 = 0
        var part: UInt32 = 0
        var digits = 0
        var parts = 1
        for byte in text {
            if byte == UInt8(ascii: ".") {
                guard digits > 0, parts < 4 else { return nil }
                value = value << 8 | part
                (part, digits, parts) = (0, 0, parts + 1)
            } else {
                guard byte >= 48, byte <= 57, !(digits > 0 && part == 0) else { return nil }
                part = part * 10 + UInt32(byte - 48)
                digits += 1
                guard part < 256 else { return nil }
            }
        }
        return parts == 4 && digits > 0 ? value << 8 | part : nil
    }

    private static func parseV6(_ text: String) -> IPAddress? {
        var halves: [[UInt16]] = [[]]
        var pieces = text.split(separator: ":", omittingEmptySubsequences: false)
        if text.hasPrefix("::") { pieces.removeFirst() } else if text.hasPrefix(":") { return nil }
        if text.hasSuffix("::") { pieces.removeLast() } else if text.hasSuffix(":") { return nil }
        for (index, piece) in pieces.enumerated() {
            if piece.isEmpty {
                guard halves.count == 1 else { return nil }
                halves.append([])
            } else if index == pieces.count - 1, piece.utf8.contains(UInt8(ascii: ".")) {
                guard let value = parseV4(piece.utf8) else { return nil }
                halves[halves.count - 1] += [UInt16(value >> 16), UInt16(value & 0xFFFF)]
            } else {
                guard piece.utf8.count <= 4, piece.first?.isHexDigit == true, let value = UInt16(piece, radix: 16) else { return nil }
                halves[halves.count - 1].append(value)
            }
        }
        let count = halves.reduce(0) { $0 + $1.count }
        guard halves.count == 1 ? count == 8 : count < 8 else { return nil }
        let groups = halves[0] + (halves.count == 2 ? [UInt16](repeating: 0, count: 8 - count) + halves[1] : [])
        return IPAddress(
            v6High: groups[..<4].reduce(0) { $0 << 16 | UInt64($1) }, v6Low: groups[4...].reduce(0) { $0 << 16 | UInt64($1) })
    }
}

/// A CIDR block whose base has no bit set beyond its length.
package struct IPPrefix: Sendable, Hashable, CustomStringConvertible {
    package let base: IPAddress
    package let length: Int

    /// Clears the bits beyond `length`, which is cut to the family's width.
    package init(_ address: IPAddress, length: Int) {
        let length = max(0, min(length, address.bits))
        self.length = length
        if address.isIPv6 {
            base = IPAddress(
                v6High: length >= 64 ? address.high : address.high & ~(UInt64.max >> UInt64(length)),
                v6Low: length <= 64 ? 0 : length == 128 ? address.low : address.low & ~(UInt64.max >> UInt64(length - 64)))
        } else {
            base = IPAddress(v4: length == 0 ? 0 : address.v4 & ~UInt32(truncatingIfNeeded: UInt64(UInt32.max) >> UInt64(length)))
        }
    }

    package init?(_ text: String) {
        let parts = text.split(separator: "/", omittingEmptySubsequences: false)
        guard parts.count == 2, let address = IPAddress(String(parts[0])), let length = Int(parts[1]), length >= 0, length <= address.bits
        else { return nil }
        self.init(address, length: length)
    }

    package var description: String { "\(base)/\(length)" }

    package func contains(_ address: IPAddress) -> Bool {
        address.isIPv6 == base.isIPv6 && IPPrefix(address, length: length).base == base
    }

    package func overlaps(_ other: IPPrefix) -> Bool { contains(other.base) || other.contains(base) }

    /// How many addresses it holds, at most 2^63.
    package var count: UInt64 { 1 << UInt64(min(63, base.bits - length)) }

    package func address(_ index: UInt64) -> IPAddress { base.advanced(by: index) }

    /// The position of an address in the block; nil outside.
    package func index(of address: IPAddress) -> UInt64? { contains(address) ? address.low &- base.low : nil }

    /// The `index`th block of `length` bits inside this one.
    package func subnet(_ index: UInt64, length: Int) -> IPPrefix {
        IPPrefix(base.advanced(by: index << UInt64(base.bits - length)), length: length)
    }
}
