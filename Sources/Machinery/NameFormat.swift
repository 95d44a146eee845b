/// The formats of names, labels and keys, each a function from a text to what is wrong with it, in upstream's words.
package enum NameFormat {
    package static let labelMax = 63
    package static let subdomainMax = 253

    static func regexError(_ what: String, _ regex: String, _ examples: [String]) -> String {
        if examples.isEmpty { return what + " (regex used for validation is '\(regex)')" }
        return what + " (e.g. " + examples.map { "'\($0)', " }.joined(separator: " or ") + "regex used for validation is '\(regex)')"
    }
    /// Both wordings exist upstream: older checks count characters, newer ones bytes; all count bytes.
    static func maxLength(_ limit: Int, _ unit: String = "bytes") -> String { "must be no more than \(limit) \(unit)" }
    package static let empty = "must be non-empty"

    private static let labelRegex = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"

    // MARK: DNS

    /// RFC 1123 label: most names that become host names.
    package static func dnsLabel(_ value: String) -> [String] {
        var errors: [String] = []
        if value.utf8.count > labelMax { errors.append(maxLength(labelMax, "characters")) }
        if !isDNSLabel(value.utf8[...]) {
            errors.append(
                isDNSSubdomain(value)
                    ? "must not contain dots"
                    : regexError(
                        "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character",
                        labelRegex, ["my-name", "123-abc"]))
        }
        return errors
    }

    /// RFC 1123 subdomain: most other names.
    package static func dnsSubdomain(_ value: String) -> [String] { dnsSubdomain(value, unit: "characters") }

    private static func dnsSubdomain(_ value: String, unit: String) -> [String] {
        var errors: [String] = []
        if value.utf8.count > subdomainMax { errors.append(maxLength(subdomainMax, unit)) }
        if !isDNSSubdomain(value) {
            errors.append(
                regexError(
                    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character",
                    "\(labelRegex)(\\.\(labelRegex))*", ["example.com"]))
        }
        return errors
    }

    /// A search path, which may have underscores.
    package static func searchPath(_ value: String) -> [String] {
        var errors: [String] = []
        if value.utf8.count > subdomainMax { errors.append(maxLength(subdomainMax, "characters")) }
        let plain = value.split(separator: ".", omittingEmptySubsequences: false).map { part in
            String((part.hasPrefix("_") ? part.dropFirst() : part).map { $0 == "_" ? "-" : $0 })
        }
        if !isDNSSubdomain(plain.joined(separator: ".")) || value.contains("_.") || value.hasSuffix("_") {
            let part = "_?[a-z0-9]([-_a-z0-9]*[a-z0-9])?"
            errors.append(
                regexError(
                    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '_', '-' or '.', and must start and end with an alphanumeric character",
                    "\(part)(\\.\(part))*", ["example.com"]))
        }
        return errors
    }

    /// RFC 1035 label: names of Services.
    package static func dns1035Label(_ value: String) -> [String] {
        var errors: [String] = []
        if value.utf8.count > labelMax { errors.append(maxLength(labelMax, "characters")) }
        if !isDNSLabel(value.utf8[...]) || value.utf8.first.map(isDigit) != false {
            errors.append(
                regexError(
                    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character",
                    "[a-z]([-a-z0-9]*[a-z0-9])?", ["my-name", "abc-123"]))
        }
        return errors
    }

    package static func wildcardSubdomain(_ value: String) -> [String] {
        var errors: [String] = []
        if value.utf8.count > subdomainMax { errors.append(maxLength(subdomainMax, "characters")) }
        if !value.hasPrefix("*.") || !isDNSSubdomain(String(value.dropFirst(2))) {
            errors.append(
                regexError(
                    "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which must consist of lower case alphanumeric characters, '-' or '.' and end with an alphanumeric character",
                    "\\*\\.\(labelRegex)(\\.\(labelRegex))*", ["*.example.com"]))
        }
        return errors
    }

    // MARK: Labels

    /// A label's key, a finalizer's name, a resource's name: an optional prefix, a slash, a name.
    package static func qualifiedName(_ value: String) -> [String] {
        let parts = value.utf8.split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false)
        let words = "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character"
        var pattern: String { regexError(words, "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]", ["MyName", "my.name", "123-abc"]) }
        guard let name = parts.last, parts.count <= 2 else {
            return ["a valid label key " + pattern + " with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"]
        }
        var errors: [String] = []
        if parts.count == 2 {
            let prefix = String(Substring(parts[0]))
            if prefix.isEmpty {
                errors.append("prefix part " + empty)
            } else {
                errors += dnsSubdomain(prefix, unit: "bytes").map { "prefix part " + $0 }
            }
        }
        if name.isEmpty {
            errors.append("name part " + empty)
        } else if name.count > labelMax {
            errors.append("name part " + maxLength(labelMax))
        }
        if !isLabelText(name) { errors.append("name part " + pattern) }
        return errors
    }

    package static func labelValue(_ value: String) -> [String] {
        var errors: [String] = []
        if value.utf8.count > labelMax { errors.append(maxLength(labelMax)) }
        if !value.isEmpty, !isLabelText(value.utf8[...]) {
            errors.append(
                regexError(
                    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character",
                    "(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?", ["MyValue", "my_value", "12345"]))
        }
        return errors
    }

    // MARK: Others

    package static func cIdentifier(_ value: String) -> [String] {
        let fits = value.utf8.first.map { isLetter($0) || $0 == UInt8(ascii: "_") } == true
            && value.utf8.allSatisfy { isLetter($0) || isDigit($0) || $0 == UInt8(ascii: "_") }
        return fits
            ? []
            : [
                regexError(
                    "a valid C identifier must start with alphabetic character or '_', followed by a string of alphanumeric characters or '_'",
                    "[A-Za-z_][A-Za-z0-9_]*", ["my_name", "MY_NAME", "MyName"])
            ]
    }

    /// A name that becomes a path segment: RBAC objects and the like.
    package static func pathSegment(_ value: String, prefix: Bool = false) -> [String] {
        if !prefix, value == "." || value == ".." { return ["may not be '\(value)'"] }
        return ["/", "%"].filter { value.contains($0) }.map { "may not contain '\($0)'" }
    }

    package static func portName(_ value: String) -> [String] {
        var errors: [String] = []
        if value.utf8.count > 15 { errors.append(maxLength(15, "characters")) }
        if value.isEmpty || !value.utf8.allSatisfy({ isLower($0) || isDigit($0) || $0 == UInt8(ascii: "-") }) {
            errors.append("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)")
        }
        if !value.utf8.contains(where: isLower) { errors.append("must contain at least one letter (a-z)") }
        if value.contains("--") { errors.append("must not contain consecutive hyphens") }
        if value.hasPrefix("-") || value.hasSuffix("-") { errors.append("must not begin or end with a hyphen") }
        return errors
    }

    package static func configMapKey(_ value: String) -> [String] {
        var errors: [String] = []
        if value.utf8.count > subdomainMax { errors.append(maxLength(subdomainMax, "characters")) }
        if value.isEmpty || !value.utf8.allSatisfy(isLabelByte) {
            errors.append(
                regexError("a valid config key must consist of alphanumeric characters, '-', '_' or '.'", "[-._a-zA-Z0-9]+", ["key.name", "KEY_NAME", "key-name"]))
        }
        return errors + changesDirectory(value)
    }

    package static func environmentName(_ value: String) -> [String] {
        var errors = value.isEmpty ? ["environment variable name " + empty] : []
        if !value.utf8.allSatisfy({ $0 >= 0x20 && $0 < 0x7F && $0 != UInt8(ascii: "=") }) {
            errors.append("a valid environment variable name must consist only of printable ASCII characters other than '='")
        }
        return errors
    }

    package static func percent(_ value: String) -> [String] {
        if value.hasSuffix("%"), value.utf8.count > 1, value.utf8.dropLast().allSatisfy(isDigit) { return [] }
        return [regexError("a valid percent string must be a numeric string followed by an ending '%'", "[0-9]+%", ["1%", "93%"])]
    }

    package static func httpHeaderName(_ value: String) -> [String] {
        if !value.isEmpty, value.utf8.allSatisfy({ isLetter($0) || isDigit($0) || $0 == UInt8(ascii: "-") }) { return [] }
        return [regexError("a valid HTTP header must consist of alphanumeric characters or '-'", "[-A-Za-z0-9]+", ["X-Header-Name"])]
    }

    package static func inRange(_ value: Int64, _ range: ClosedRange<Int64>) -> [String] {
        range.contains(value) ? [] : ["must be between \(range.lowerBound) and \(range.upperBound), inclusive"]
    }
    package static func portNumber(_ value: Int64) -> [String] { inRange(value, 1...65535) }
    package static func userID(_ value: Int64) -> [String] { inRange(value, 0...Int64(Int32.max)) }

    private static func changesDirectory(_ value: String) -> [String] {
        if value == "." { return ["must not be '.'"] }
        if value == ".." { return ["must not be '..'"] }
        return value.hasPrefix("..") ? ["must not start with '..'"] : []
    }

    // MARK: Bytes

    private static func isLower(_ byte: UInt8) -> Bool { byte >= 97 && byte <= 122 }
    private static func isLetter(_ byte: UInt8) -> Bool { isLower(byte | 0x20) && byte >= 65 }
    private static func isDigit(_ byte: UInt8) -> Bool { byte &- 48 < 10 }
    private static func isLabelByte(_ byte: UInt8) -> Bool { isLetter(byte) || isDigit(byte) || byte == 45 || byte == 46 || byte == 95 }

    private static func isDNSLabel(_ bytes: Substring.UTF8View) -> Bool {
        guard let first = bytes.first, let last = bytes.last, first != 45, last != 45 else { return false }
        return bytes.allSatisfy { isLower($0) || isDigit($0) || $0 == 45 }
    }

    private static func isDNSSubdomain(_ value: String) -> Bool {
        value.utf8.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false).allSatisfy { isDNSLabel($0) }
    }

    private static func isLabelText(_ bytes: Substring.UTF8View) -> Bool {
        guard let first = bytes.first, let last = bytes.last else { return false }
        return (isLetter(first) || isDigit(first)) && (isLetter(last) || isDigit(last)) && bytes.allSatisfy(isLabelByte)
    }
}

/// How a kind's names are checked.
package enum NameRule: String, Sendable {
    case dnsSubdomain, dnsLabel, dns1035Label, pathSegment, ipAddress, any
    /// A subdomain, whose length upstream counts in bytes when it says so.
    case longName

    /// `prefix`: the name will have a generated suffix, so a trailing dash is fine.
    package func errors(_ name: String, prefix: Bool = false) -> [String] {
        var name = name
        if prefix, self != .pathSegment, name.utf8.count > 1, name.hasSuffix("-") { name = name.dropLast(2) + "a" }
        switch self {
        case .dnsSubdomain: return NameFormat.dnsSubdomain(name)
        case .longName: return NameFormat.dnsSubdomain(name).map { $0.hasSuffix(" characters") ? String($0.dropLast(10)) + "bytes" : $0 }
        case .dnsLabel: return NameFormat.dnsLabel(name)
        case .dns1035Label: return NameFormat.dns1035Label(name)
        case .pathSegment: return NameFormat.pathSegment(name, prefix: prefix)
        case .ipAddress: return StringFormat.isIPv4(name) || StringFormat.isIPv6(name) ? [] : ["must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"]
        case .any: return []
        }
    }
}
