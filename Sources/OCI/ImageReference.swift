/// A normalised image name: `docker.io/library/nginx:1.27`, `localhost:5000/a/b@sha256:…`.
///
/// Grammar, normalisation and errors are those of distribution/reference.
package struct ImageReference: Sendable, Hashable, CustomStringConvertible {
    /// `docker.io`, `localhost:5000`, `[::1]:5000`.
    package let domain: String
    /// `library/nginx`.
    package let path: String
    package let tag: String?
    package let digest: ContentDigest?

    package init(domain: String, path: String, tag: String? = nil, digest: ContentDigest? = nil) {
        self.domain = domain
        self.path = path
        self.tag = tag
        self.digest = digest
    }

    /// Parses what a user wrote, without adding a tag.
    package init(parsing text: String) throws(ImageError) {
        if text.utf8.count == 64, text.utf8.allSatisfy(Grammar.isLowerHex) {
            throw ImageError(.invalid, "invalid repository name (\(text)), cannot specify 64-byte hexadecimal strings")
        }
        let (domain, remainder) = ImageReference.splitDomain(text)
        let remote = remainder.prefix { $0 != ":" }
        guard !remote.utf8.contains(where: { (0x41...0x5A).contains($0) }) else {
            throw ImageError(.invalid, "invalid reference format: repository name (\(remote)) must be lowercase")
        }
        try self.init(domain: domain, remainder: remainder)
    }

    private init(domain: String, remainder: Substring) throws(ImageError) {
        var rest = remainder
        var digestText: Substring?
        if let at = rest.firstIndex(of: "@") {
            digestText = rest[rest.index(after: at)...]
            rest = rest[..<at]
        }
        var tag: Substring?
        if let colon = rest.firstIndex(of: ":") {
            tag = rest[rest.index(after: colon)...]
            rest = rest[..<colon]
        }
        guard Grammar.isDomain(domain), Grammar.isPath(rest), tag.map(Grammar.isTag) ?? true, digestText.map(Grammar.isDigest) ?? true
        else {
            throw ImageError(.invalid, "invalid reference format")
        }
        guard rest.utf8.count <= 255 else { throw ImageError(.invalid, "repository name must not be more than 255 characters") }
        self.domain = domain
        path = String(rest)
        self.tag = tag.map(String.init)
        if let digestText { digest = try ContentDigest(parsing: String(digestText)) } else { digest = nil }
    }

    private static func splitDomain(_ text: String) -> (domain: String, remainder: Substring) {
        var domain = defaultDomain
        var remainder = Substring(text)
        if let slash = text.firstIndex(of: "/") {
            let first = text[..<slash]
            let rest = text[text.index(after: slash)...]
            let upper = first.utf8.contains { (0x41...0x5A).contains($0) }
            if first == "index.docker.io" || first == "docker.io" {
                remainder = rest
            } else if first == "localhost" || first.contains(".") || first.contains(":") || upper {
                (domain, remainder) = (String(first), rest)
            }
        }
        if domain == defaultDomain, !remainder.contains("/") { remainder = Substring("library/" + remainder) }
        return (domain, remainder)
    }

    package static let defaultDomain = "docker.io"
}

extension ImageReference {
    /// Parses as kubelet does before a pull: its words when it fails, `latest` when there is neither tag nor digest.
    package init(image text: String) throws(ImageError) {
        do { self = try ImageReference(parsing: text).withDefaultTag } catch {
            throw ImageError(.invalid, "couldn't parse image name \"\(text)\": \(error.message)")
        }
    }

    package var withDefaultTag: ImageReference {
        tag == nil && digest == nil ? ImageReference(domain: domain, path: path, tag: "latest") : self
    }

    /// Without tag and digest.
    package var name: String { "\(domain)/\(path)" }
    package var description: String { name + (tag.map { ":" + $0 } ?? "") + (digest.map { "@\($0)" } ?? "") }

    /// As a user would write it: `nginx:1.27`, `me/app`, `localhost:5000/a`.
    package var familiar: String {
        var short = domain == Self.defaultDomain ? path : name
        if domain == Self.defaultDomain, path.hasPrefix("library/"), !path.dropFirst(8).contains("/") { short = String(path.dropFirst(8)) }
        return short + (tag.map { ":" + $0 } ?? "") + (digest.map { "@\($0)" } ?? "")
    }

    /// The reference that names exactly these bytes.
    package func pinned(to digest: ContentDigest) -> ImageReference { ImageReference(domain: domain, path: path, tag: nil, digest: digest) }
    package func tagged(_ tag: String) -> ImageReference { ImageReference(domain: domain, path: path, tag: tag) }

    /// What stands behind `/manifests/`: the digest where there is one.
    package var manifestName: String { digest?.description ?? tag ?? "latest" }
    /// The host that serves it: Docker Hub's API has another name than its images.
    package var host: String { domain == Self.defaultDomain ? "registry-1.docker.io" : domain }
}

/// The grammar of distribution/reference, one predicate a production.
package enum Grammar {
    static func isLowerHex(_ byte: UInt8) -> Bool { (0x30...0x39).contains(byte) || (0x61...0x66).contains(byte) }
    private static func isHex(_ byte: UInt8) -> Bool { isLowerHex(byte) || (0x41...0x46).contains(byte) }
    private static func isLowerOrDigit(_ byte: UInt8) -> Bool { (0x30...0x39).contains(byte) || (0x61...0x7A).contains(byte) }
    private static func isLetter(_ byte: UInt8) -> Bool { (0x41...0x5A).contains(byte) || (0x61...0x7A).contains(byte) }
    private static func isAlphanumeric(_ byte: UInt8) -> Bool { isLowerOrDigit(byte) || (0x41...0x5A).contains(byte) }

    static func isDomain(_ text: String) -> Bool {
        var host = Substring(text)
        if text.hasPrefix("[") {
            guard let end = text.firstIndex(of: "]") else { return false }
            let inner = text[text.index(after: text.startIndex)..<end]
            guard !inner.isEmpty, inner.utf8.allSatisfy({ isHex($0) || $0 == 0x3A }) else { return false }
            let rest = text[text.index(after: end)...]
            return rest.isEmpty || (rest.hasPrefix(":") && isPort(rest.dropFirst()))
        }
        if let colon = text.firstIndex(of: ":") {
            guard isPort(text[text.index(after: colon)...]) else { return false }
            host = text[..<colon]
        }
        return host.split(separator: ".", omittingEmptySubsequences: false).allSatisfy { label in
            guard let first = label.utf8.first, let last = label.utf8.last else { return false }
            return isAlphanumeric(first) && isAlphanumeric(last) && label.utf8.allSatisfy { isAlphanumeric($0) || $0 == 0x2D }
        }
    }

    private static func isPort(_ text: Substring) -> Bool { !text.isEmpty && text.utf8.allSatisfy { (0x30...0x39).contains($0) } }

    /// `a/b-c/d__e`: lowercase words joined by one of `.`, `_`, `__` or any number of `-`.
    package static func isPath(_ text: Substring) -> Bool {
        !text.isEmpty && text.split(separator: "/", omittingEmptySubsequences: false).allSatisfy(isPathComponent)
    }

    package static func isPathComponent(_ text: Substring) -> Bool {
        let bytes = Array(text.utf8)
        guard let first = bytes.first, let last = bytes.last, isLowerOrDigit(first), isLowerOrDigit(last) else { return false }
        var at = 0
        while at < bytes.count {
            if isLowerOrDigit(bytes[at]) {
                at += 1
                continue
            }
            let start = at
            while at < bytes.count, !isLowerOrDigit(bytes[at]) { at += 1 }
            let separator = bytes[start..<at]
            guard separator == [0x2E] || separator == [0x5F] || separator == [0x5F, 0x5F] || separator.allSatisfy({ $0 == 0x2D }) else {
                return false
            }
        }
        return true
    }

    package static func isTag(_ text: Substring) -> Bool {
        guard let first = text.utf8.first, text.utf8.count <= 128, isAlphanumeric(first) || first == 0x5F else { return false }
        return text.utf8.allSatisfy { isAlphanumeric($0) || $0 == 0x5F || $0 == 0x2E || $0 == 0x2D }
    }

    static func isDigest(_ text: Substring) -> Bool {
        guard let colon = text.firstIndex(of: ":") else { return false }
        let hex = text[text.index(after: colon)...]
        guard hex.utf8.count >= 32, hex.utf8.allSatisfy(isHex) else { return false }
        var wordStarts = true
        for byte in text[..<colon].utf8 {
            if wordStarts {
                guard isLetter(byte) else { return false }
                wordStarts = false
            } else if byte == 0x2D || byte == 0x5F || byte == 0x2B || byte == 0x2E {
                wordStarts = true
            } else if !isAlphanumeric(byte) {
                return false
            }
        }
        return !wordStarts
    }
}
