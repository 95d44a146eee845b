extension FieldError {
    /// `acme.io/foo`: a domain, and what it calls its own.
    package static func domainPrefixedPath(_ text: String, at field: String) -> [FieldError] {
        if text.isEmpty { return [.required(field)] }
        let parts = text.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
        guard parts.count == 2, !parts[0].isEmpty, !parts[1].isEmpty else {
            return [.invalid(field, quoted: text, "must be a domain-prefixed path (such as \"acme.io/foo\")")]
        }
        var findings = NameFormat.dnsSubdomain(parts[0]).map { FieldError.invalid(field, quoted: parts[0], $0) }
        let isPath = parts[1].utf8.allSatisfy { byte in (byte | 0x20) &- 97 < 26 || byte &- 48 < 10 || "/-._~%!$&'()*+,;=:".utf8.contains(byte) }
        if !isPath { findings.append(.invalid(field, quoted: parts[1], "Invalid path (regex used for validation is '[A-Za-z0-9/\\-._~%!$&'()*+,;=:]+')")) }
        return findings
    }
}
