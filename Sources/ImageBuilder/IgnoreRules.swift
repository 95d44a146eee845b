import OCI

/// `.dockerignore`: which paths of the context a build does not see. The last rule that matches decides; `!` takes back.
struct IgnoreRules: Sendable {
    private struct Rule: Sendable {
        let parts: [[UInt8]]
        let negated: Bool
    }
    private var rules: [Rule] = []

    init(_ text: String) {
        for line in text.split(whereSeparator: \.isNewline) {
            var rule = line.trimmed
            if rule.isEmpty || rule.hasPrefix("#") { continue }
            let negated = rule.hasPrefix("!")
            if negated { rule = rule.dropFirst().trimmed }
            let parts = rule.split(separator: "/").filter { $0 != "." }.map { Array($0.utf8) }
            if !parts.isEmpty { rules.append(Rule(parts: parts, negated: negated)) }
        }
    }

    /// A rule that matches a directory covers what is in it.
    func ignores(_ path: [String]) -> Bool {
        let bytes = path.map { Array($0.utf8) }
        var ignored = false
        for rule in rules where rule.negated == ignored {
            let hit = (1...max(1, bytes.count)).contains { IgnoreRules.matches(rule.parts[...], bytes.prefix($0)) }
            if hit { ignored = !rule.negated }
        }
        return ignored
    }

    /// Whether something below an ignored directory may be taken back.
    var hasExceptions: Bool { rules.contains(where: \.negated) }

    private static func matches(_ rule: ArraySlice<[UInt8]>, _ path: ArraySlice<[UInt8]>) -> Bool {
        guard let first = rule.first else { return path.isEmpty }
        if first == Array("**".utf8) {
            return matches(rule.dropFirst(), path) || (!path.isEmpty && matches(rule, path.dropFirst()))
        }
        guard let part = path.first else { return false }
        return Glob.matches(first, part) && matches(rule.dropFirst(), path.dropFirst())
    }
}
