import Core

/// OpenAPI's string formats, as far as upstream's validator knows them, and the declarative ones of built-in types.
package enum StringFormat {
    /// Formats nobody knows accept everything.
    package static func accepts(_ format: String, _ text: String) -> Bool {
        switch format {
        case "date-time", "datetime": Timestamp(rfc3339: text) != nil
        case "date": text.utf8.count == 10 && Timestamp(rfc3339: text + "T00:00:00Z") != nil
        case "duration": GoDuration.parse(text) != nil
        case "ipv4": isIPv4(text)
        case "ipv6": isIPv6(text)
        case "ip": isIPv4(text) || isIPv6(text)
        case "cidr": isCIDR(text)
        case "hostname": text.utf8.count <= 253 && NameFormat.dnsSubdomain(text.lowercased()).isEmpty
        case "email": text.split(separator: "@", omittingEmptySubsequences: false).count == 2 && !text.hasPrefix("@") && !text.hasSuffix("@")
        case "uri": text.contains(":") && !text.contains(" ")
        case "uuid", "uuid3", "uuid4", "uuid5": isUUID(text)
        case "byte": isBase64(text)
        case "mac": isMAC(text)
        default: true
        }
    }

    static func declarativeErrors(_ format: String, _ text: String) -> [String] {
        switch format {
        case "k8s-short-name": NameFormat.dnsLabel(text)
        case "k8s-long-name": NameFormat.dnsSubdomain(text)
        case "k8s-label-key": NameFormat.qualifiedName(text)
        case "k8s-label-value": NameFormat.labelValue(text)
        case "k8s-path-segment-name": NameFormat.pathSegment(text)
        case "k8s-uuid": isUUID(text) ? [] : ["must be a lowercase UUID in xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx format"]
        default: []
        }
    }

    package static func isIPv4(_ text: String) -> Bool {
        let parts = text.utf8.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
        return parts.count == 4
            && parts.allSatisfy { part in
                (1...3).contains(part.count) && part.allSatisfy { $0 &- 48 < 10 } && (part.count == 1 || part.first != 48)
                    && part.reduce(0) { $0 * 10 + Int($1) - 48 } < 256
            }
    }

    package static func isIPv6(_ text: String) -> Bool {
        let halves = text.ranges(of: "::")
        guard text.contains(":"), halves.count <= 1, !text.contains(":::") else { return false }
        var groups = 0
        let sides = halves.isEmpty ? [Substring(text)] : [text[..<halves[0].lowerBound], text[halves[0].upperBound...]]
        for (index, side) in sides.enumerated() where !side.isEmpty {
            let parts = side.split(separator: ":", omittingEmptySubsequences: false)
            for (at, part) in parts.enumerated() {
                if at == parts.count - 1, index == sides.count - 1, part.contains(".") {
                    guard isIPv4(String(part)) else { return false }
                    groups += 2
                } else {
                    guard (1...4).contains(part.utf8.count), part.utf8.allSatisfy({ $0 &- 48 < 10 || ($0 | 0x20) &- 97 < 6 }) else { return false }
                    groups += 1
                }
            }
        }
        return halves.isEmpty ? groups == 8 : groups < 8
    }

    package static func isCIDR(_ text: String) -> Bool {
        let parts = text.split(separator: "/", omittingEmptySubsequences: false)
        guard parts.count == 2, let bits = Int(parts[1]), bits >= 0, parts[1].utf8.count <= 3, parts[1].first != "+" else { return false }
        let address = String(parts[0])
        return isIPv4(address) ? bits <= 32 : isIPv6(address) && bits <= 128
    }

    package static func isUUID(_ text: String) -> Bool {
        let parts = text.utf8.split(separator: UInt8(ascii: "-"), omittingEmptySubsequences: false)
        return parts.map(\.count) == [8, 4, 4, 4, 12] && parts.allSatisfy { $0.allSatisfy { $0 &- 48 < 10 || ($0 | 0x20) &- 97 < 6 } }
    }

    private static func isMAC(_ text: String) -> Bool {
        let parts = text.utf8.split { $0 == UInt8(ascii: ":") || $0 == UInt8(ascii: "-") }
        return parts.count == 6 && parts.allSatisfy { $0.count == 2 && $0.allSatisfy { $0 &- 48 < 10 || ($0 | 0x20) &- 97 < 6 } }
    }

    private static func isBase64(_ text: String) -> Bool {
        text.utf8.count % 4 == 0 && text.utf8.allSatisfy { $0 &- 48 < 10 || ($0 | 0x20) &- 97 < 26 || $0 == 43 || $0 == 47 || $0 == 61 }
    }
}
