/// An IP address.
final class AddressValue: OpaqueValue {
    let type = CELType.opaque("net.IP", [])
    let bytes: [UInt8]
    var size: Int? { bytes.count }

    init(_ bytes: [UInt8]) { self.bytes = bytes }

    func equals(_ other: any OpaqueValue) -> Bool { (other as? AddressValue)?.bytes == bytes }

    var isIPv4: Bool { bytes.count == 4 }
    var isUnspecified: Bool { bytes.allSatisfy { $0 == 0 } }
    var isLoopback: Bool { isIPv4 ? bytes[0] == 127 : bytes.dropLast().allSatisfy { $0 == 0 } && bytes[15] == 1 }
    var isLinkLocalMulticast: Bool { isIPv4 ? bytes[0] == 224 && bytes[1] == 0 && bytes[2] == 0 : bytes[0] == 0xFF && bytes[1] & 0x0F == 2 }
    var isLinkLocalUnicast: Bool { isIPv4 ? bytes[0] == 169 && bytes[1] == 254 : bytes[0] == 0xFE && bytes[1] & 0xC0 == 0x80 }
    var isMulticast: Bool { isIPv4 ? bytes[0] & 0xF0 == 0xE0 : bytes[0] == 0xFF }
    var isGlobalUnicast: Bool {
        !(isUnspecified || isLoopback || isMulticast || isLinkLocalUnicast || (isIPv4 && bytes.allSatisfy { $0 == 255 }))
    }

    static func parse(_ text: String) throws(EvaluationError) -> AddressValue {
        func shown() -> String { StringsLibrary.quote(text) }
        if text.contains("%") { throw EvaluationError("IP address \(shown()) with zone value is not allowed") }
        guard let bytes = text.contains(":") ? IPText.v6(text) : IPText.v4(text[...]) else {
            throw EvaluationError("IP Address \(shown()) parse error during conversion from string: ParseAddr(\(shown())): unable to parse IP")
        }
        if bytes.count == 16, bytes.prefix(10).allSatisfy({ $0 == 0 }), bytes[10] == 0xFF, bytes[11] == 0xFF {
            throw EvaluationError("IPv4-mapped IPv6 address \(shown()) is not allowed")
        }
        return AddressValue(bytes)
    }

    var text: String { IPText.text(bytes) }
}

/// A range of addresses.
final class PrefixValue: OpaqueValue {
    let type = CELType.opaque("net.CIDR", [])
    let address: AddressValue
    let length: Int
    var size: Int? { (length + 7) / 8 }

    init(_ address: AddressValue, _ length: Int) {
        self.address = address
        self.length = length
    }

    func equals(_ other: any OpaqueValue) -> Bool {
        guard let other = other as? PrefixValue else { return false }
        return other.length == length && other.address.equals(address)
    }

    var masked: PrefixValue {
        var bytes = address.bytes
        for index in bytes.indices {
            let kept = max(0, min(8, length - index * 8))
            bytes[index] &= kept == 0 ? 0 : UInt8(truncatingIfNeeded: 0xFF00 >> kept)
        }
        return PrefixValue(AddressValue(bytes), length)
    }

    func contains(_ other: AddressValue) -> Bool {
        other.bytes.count == address.bytes.count && PrefixValue(other, length).masked.address.bytes == masked.address.bytes
    }
    func contains(_ other: PrefixValue) -> Bool { other.length >= length && contains(other.address) }

    static func parse(_ text: String) throws(EvaluationError) -> PrefixValue {
        let quoted = StringsLibrary.quote(text)
        func failure(_ why: String) -> EvaluationError {
            EvaluationError("network address parse error during conversion from string: netip.ParsePrefix(\(quoted)): \(why)")
        }
        let parts = text.split(separator: "/", omittingEmptySubsequences: false)
        guard parts.count == 2 else { throw failure("no '/'") }
        guard let bytes = parts[0].contains(":") ? IPText.v6(String(parts[0])) : IPText.v4(parts[0]) else {
            throw failure("ParseAddr(\(StringsLibrary.quote(String(parts[0])))): unable to parse IP")
        }
        guard parts[1].utf8.allSatisfy({ $0 >= 48 && $0 <= 57 }), parts[1].count < 4, !(parts[1].count > 1 && parts[1].hasPrefix("0")), let length = Int(parts[1]) else {
            throw failure("bad bits after slash: \(StringsLibrary.quote(String(parts[1])))")
        }
        guard length <= bytes.count * 8 else { throw failure("prefix length out of range") }
        if bytes.count == 16, bytes.prefix(10).allSatisfy({ $0 == 0 }), bytes[10] == 0xFF, bytes[11] == 0xFF {
            throw EvaluationError("IPv4-mapped IPv6 address \(quoted) is not allowed")
        }
        return PrefixValue(AddressValue(bytes), length)
    }
}

/// Addresses as text.
enum IPText {
    static func v4(_ text: Substring) -> [UInt8]? {
        let parts = text.split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count == 4 else { return nil }
        var out: [UInt8] = []
        for part in parts {
            guard (1...3).contains(part.utf8.count), part.utf8.allSatisfy({ $0 >= 48 && $0 <= 57 }), part.utf8.count == 1 || !part.hasPrefix("0"),
                let byte = UInt8(part)
            else { return nil }
            out.append(byte)
        }
        return out
    }

    static func v6(_ text: String) -> [UInt8]? {
        var halves: [[UInt8]] = []
        let parts = text.split(separator: "::", maxSplits: 1, omittingEmptySubsequences: false)
        for (index, part) in parts.enumerated() {
            guard let bytes = groups(part, isLast: index == parts.count - 1) else { return nil }
            halves.append(bytes)
        }
        if halves.count == 1 { return halves[0].count == 16 ? halves[0] : nil }
        let missing = 16 - halves[0].count - halves[1].count
        return missing >= 2 ? halves[0] + Array(repeating: 0, count: missing) + halves[1] : nil
    }

    private static func groups(_ text: Substring, isLast: Bool) -> [UInt8]? {
        if text.isEmpty { return [] }
        var out: [UInt8] = []
        let parts = text.split(separator: ":", omittingEmptySubsequences: false)
        for (index, part) in parts.enumerated() {
            if part.contains(".") {
                guard isLast, index == parts.count - 1, let tail = v4(part) else { return nil }
                out += tail
                continue
            }
            guard (1...4).contains(part.utf8.count), !part.hasPrefix("+"), !part.hasPrefix("-"), let value = UInt16(part, radix: 16) else { return nil }
            out += [UInt8(value >> 8), UInt8(value & 0xFF)]
        }
        return out
    }

    /// The canonical form: the longest run of zero groups is `::`.
    static func text(_ bytes: [UInt8]) -> String {
        if bytes.count == 4 { return bytes.map { "\($0)" }.joined(separator: ".") }
        let groups = stride(from: 0, to: 16, by: 2).map { UInt16(bytes[$0]) << 8 | UInt16(bytes[$0 + 1]) }
        var best = 0..<0
        var start = 0
        while start < 8 {
            var end = start
            while end < 8, groups[end] == 0 { end += 1 }
            if end - start > best.count, end - start > 1 { best = start..<end }
            start = max(end, start + 1)
        }
        func hex(_ part: ArraySlice<UInt16>) -> String { part.map { String($0, radix: 16) }.joined(separator: ":") }
        return best.isEmpty ? hex(groups[...]) : hex(groups[..<best.lowerBound]) + "::" + hex(groups[best.upperBound...])
    }
}

/// Functions of addresses and ranges.
enum AddressLibrary: FunctionLibrary {
    private static let ip = CELType.opaque("net.IP", [])
    private static let cidr = CELType.opaque("net.CIDR", [])

    static func declare(_ table: inout FunctionTable) {
        table.global("ip", "string_to_ip", [.string], ip) { .opaque(try AddressValue.parse(try $0.string(0))) }
        table.global("isIP", "is_ip", [.string], .bool) { .bool((try? AddressValue.parse(try $0.string(0))) != nil) }
        table.global("ip.isCanonical", "ip_is_canonical", [.string], .bool) {
            let text = try $0.string(0)
            return .bool(try AddressValue.parse(text).text == text)
        }
        table.global("string", "ip_to_string", [ip], .string) { .string(try $0.opaque(0, AddressValue.self).text) }
        table.member("family", "ip_family", [ip], .int) { .int(try $0.opaque(0, AddressValue.self).isIPv4 ? 4 : 6) }
        let tests: [(String, String, @Sendable (AddressValue) -> Bool)] = [
            ("isUnspecified", "ip_is_unspecified", { $0.isUnspecified }), ("isLoopback", "ip_is_loopback", { $0.isLoopback }),
            ("isLinkLocalMulticast", "ip_is_link_local_multicast", { $0.isLinkLocalMulticast }),
            ("isLinkLocalUnicast", "ip_is_link_local_unicast", { $0.isLinkLocalUnicast }),
            ("isGlobalUnicast", "ip_is_global_unicast", { $0.isGlobalUnicast }),
        ]
        for (name, id, test) in tests { table.member(name, id, [ip], .bool) { .bool(test(try $0.opaque(0))) } }
        ranges(&table)
    }

    private static func ranges(_ table: inout FunctionTable) {
        table.global("cidr", "string_to_cidr", [.string], cidr) { .opaque(try PrefixValue.parse(try $0.string(0))) }
        table.global("isCIDR", "is_cidr", [.string], .bool) { .bool((try? PrefixValue.parse(try $0.string(0))) != nil) }
        table.global("string", "cidr_to_string", [cidr], .string) {
            let prefix = try $0.opaque(0, PrefixValue.self)
            return .string("\(prefix.address.text)/\(prefix.length)")
        }
        table.member("containsIP", "cidr_contains_ip_string", [cidr, .string], .bool) {
            .bool(try $0.opaque(0, PrefixValue.self).contains(try AddressValue.parse(try $0.string(1))))
        }
        table.member("containsIP", "cidr_contains_ip_ip", [cidr, ip], .bool) {
            .bool(try $0.opaque(0, PrefixValue.self).contains(try $0.opaque(1, AddressValue.self)))
        }
        table.member("containsCIDR", "cidr_contains_cidr_string", [cidr, .string], .bool) {
            .bool(try $0.opaque(0, PrefixValue.self).contains(try PrefixValue.parse(try $0.string(1))))
        }
        table.member("containsCIDR", "cidr_contains_cidr", [cidr, cidr], .bool) {
            .bool(try $0.opaque(0, PrefixValue.self).contains(try $0.opaque(1, PrefixValue.self)))
        }
        table.member("ip", "cidr_ip", [cidr], ip) { .opaque(try $0.opaque(0, PrefixValue.self).address) }
        table.member("prefixLength", "cidr_prefix_length", [cidr], .int) { .int(Int64(try $0.opaque(0, PrefixValue.self).length)) }
        table.member("masked", "cidr_masked", [cidr], cidr) { .opaque(try $0.opaque(0, PrefixValue.self).masked) }
    }
}
