import Core
import Tree

/// What proves to a registry who asks: a user name and password, or a token to be exchanged or used as it is.
package struct RegistryAuth: Sendable, Hashable {
    package var username: String
    package var password: String
    /// An OAuth2 refresh token (`identitytoken`), exchanged at the token endpoint.
    package var identityToken: String
    /// Sent as it is (`registrytoken`).
    package var registryToken: String

    package init(username: String = "", password: String = "", identityToken: String = "", registryToken: String = "") {
        self.username = username
        self.password = password
        self.identityToken = identityToken
        self.registryToken = registryToken
    }

    var isEmpty: Bool { username.isEmpty && password.isEmpty && identityToken.isEmpty && registryToken.isEmpty }
    var basic: String { "Basic " + Encoding.base64(Array("\(username):\(password)".utf8)) }
}

/// Credentials by where they apply, from any number of docker config files and pull secrets. Matches as kubelet does:
/// hosts may hold globs part by part, ports must be equal, a path is a prefix; the most specific comes first.
package struct RegistryKeyring: Sendable {
    /// One that applies, and the number of the one who brought it (of a pull secret); nil for the machine's own.
    package struct Match: Sendable, Hashable {
        package let auth: RegistryAuth
        package let source: Int?
    }

    private var entries: [String: [Match]] = [:]
    private var index: [String] = []

    package init() {}

    /// `~/.docker/config.json` and `.dockerconfigjson` (with `auths`), or the older `.dockercfg` (without).
    package mutating func add(dockerConfig bytes: [UInt8], source: Int? = nil) throws(ImageError) {
        let node: Node
        do { node = try JSONText.parse(bytes) } catch { throw error.prefixed("docker config: ") }
        guard case .map = node else { throw ImageError(.invalid, "docker config: not an object") }
        let auths = node.has("auths") ? node["auths"] : node
        for (location, entry) in auths.fields {
            guard let auth = RegistryKeyring.auth(entry) else { continue }
            add(location, auth, source: source)
        }
    }

    package mutating func add(_ location: String, _ auth: RegistryAuth, source: Int? = nil) {
        guard let key = RegistryKeyring.key(location) else { return }
        let match = Match(auth: auth, source: source)
        if entries[key]?.contains(match) != true { entries[key, default: []].append(match) }
        index = entries.keys.sorted(by: >)
    }

    /// The credentials for an image, most specific first; empty where none applies.
    package func lookup(_ reference: ImageReference) -> [RegistryAuth] { lookup(reference.name) }

    package func lookup(_ image: String) -> [RegistryAuth] {
        var seen: Set<RegistryAuth> = []
        return matches(image).map(\.auth).filter { seen.insert($0).inserted }
    }

    /// As `lookup`, with whose each is: the same credential may come from several.
    package func matches(_ image: String) -> [Match] {
        var found: [Match] = []
        for key in index where RegistryKeyring.matches(key, image) { found += entries[key] ?? [] }
        if found.isEmpty, RegistryKeyring.isDefaultRegistry(image) { found = entries["index.docker.io"] ?? entries["docker.io"] ?? [] }
        return found
    }

    private static func auth(_ entry: Node) -> RegistryAuth? {
        var auth = RegistryAuth(
            username: entry["username"].string ?? "", password: entry["password"].string ?? "",
            identityToken: entry["identitytoken"].string ?? "",
            registryToken: entry["registrytoken"].string ?? "")
        if let packed = entry["auth"].string, !packed.isEmpty {
            guard let bytes = Encoding.decodeBase64(packed), let text = String(validating: bytes, as: UTF8.self),
                let colon = text.firstIndex(of: ":")
            else {
                return nil
            }
            auth.username = String(text[..<colon])
            // Docker pads the password with zeros in some versions.
            auth.password = String(text[text.index(after: colon)...].filter { $0 != "\0" })
        }
        return auth.isEmpty ? nil : auth
    }

    /// Host and path without scheme; `/v1/` and `/v2/` stand for the whole host.
    private static func key(_ location: String) -> String? {
        var rest = Substring(location)
        if let scheme = rest.range(of: "://") { rest = rest[scheme.upperBound...] }
        guard !rest.isEmpty, rest.first != "/" else { return nil }
        guard let slash = rest.firstIndex(of: "/") else { return String(rest) }
        let path = rest[slash...]
        if path == "/" { return String(rest[..<slash]) }
        if path.hasPrefix("/v2/") || path.hasPrefix("/v1/") { return String(rest[..<slash] + path.dropFirst(3)).trimmingEndSlash }
        return String(rest)
    }

    private static func matches(_ glob: String, _ target: String) -> Bool {
        let (globHost, globPort, globPath) = split(glob)
        let (targetHost, targetPort, targetPath) = split(target)
        let globParts = globHost.split(separator: ".", omittingEmptySubsequences: false)
        let targetParts = targetHost.split(separator: ".", omittingEmptySubsequences: false)
        guard globPort == targetPort, globParts.count == targetParts.count, targetPath.hasPrefix(globPath) else { return false }
        return zip(globParts, targetParts).allSatisfy { Glob.matches(Array($0.utf8), Array($1.utf8)) }
    }

    private static func split(_ text: String) -> (host: Substring, port: Substring, path: Substring) {
        let slash = text.firstIndex(of: "/") ?? text.endIndex
        let authority = text[..<slash]
        guard let colon = authority.lastIndex(of: ":"), !authority.hasSuffix("]") else { return (authority, "", text[slash...]) }
        return (authority[..<colon], authority[authority.index(after: colon)...], text[slash...])
    }

    private static func isDefaultRegistry(_ image: String) -> Bool {
        let parts = image.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false)
        guard let first = parts.first, !first.isEmpty else { return false }
        if parts.count == 1 || first == "docker.io" || first == "index.docker.io" { return true }
        return !first.contains(".") && !first.contains(":")
    }
}

extension String {
    fileprivate var trimmingEndSlash: String { hasSuffix("/") ? String(dropLast()) : self }
}

extension Substring {
    fileprivate func range(of text: String) -> Range<Index>? {
        var at = startIndex
        while at < endIndex {
            if self[at...].hasPrefix(text) { return at..<index(at, offsetBy: text.count) }
            at = index(after: at)
        }
        return nil
    }
}

/// Go's `path.Match` on one part: `*`, `?`, `[a-z]`, `\`.
package enum Glob {
    package static func matches(_ pattern: [UInt8], _ text: [UInt8]) -> Bool { matches(pattern[...], text[...]) }

    private static func matches(_ pattern: ArraySlice<UInt8>, _ text: ArraySlice<UInt8>) -> Bool {
        var pattern = pattern
        var text = text
        while let head = pattern.first {
            switch head {
            case UInt8(ascii: "*"):
                pattern = pattern.drop { $0 == UInt8(ascii: "*") }
                if pattern.isEmpty { return !text.contains(UInt8(ascii: "/")) }
                for start in text.startIndex...text.endIndex {
                    if matches(pattern, text[start...]) { return true }
                    if start < text.endIndex, text[start] == UInt8(ascii: "/") { return false }
                }
                return false
            case UInt8(ascii: "?"):
                guard let byte = text.first, byte != UInt8(ascii: "/") else { return false }
                pattern.removeFirst()
                text.removeFirst()
            case UInt8(ascii: "["):
                guard let byte = text.first, let (rest, hit) = set(pattern.dropFirst(), byte), hit else { return false }
                pattern = rest
                text.removeFirst()
            default:
                pattern.removeFirst()
                var wanted = head
                if head == UInt8(ascii: "\\"), let escaped = pattern.first {
                    wanted = escaped
                    pattern.removeFirst()
                }
                guard text.first == wanted else { return false }
                text.removeFirst()
            }
        }
        return text.isEmpty
    }

    private static func set(_ start: ArraySlice<UInt8>, _ byte: UInt8) -> (ArraySlice<UInt8>, Bool)? {
        var rest = start
        let negated = rest.first == UInt8(ascii: "^")
        if negated { rest.removeFirst() }
        var hit = false
        var first = true
        while let low = rest.first, first || low != UInt8(ascii: "]") {
            first = false
            rest.removeFirst()
            var high = low
            if rest.first == UInt8(ascii: "-"), let end = rest.dropFirst().first, end != UInt8(ascii: "]") {
                high = end
                rest.removeFirst(2)
            }
            if low <= byte, byte <= high { hit = true }
        }
        guard rest.first == UInt8(ascii: "]") else { return nil }
        return (rest.dropFirst(), hit != negated)
    }
}
