import Machinery
import Tree

/// How strict a namespace is about its pods.
enum PodSecurityLevel: String, Sendable, Comparable {
    case privileged, baseline, restricted

    private var rank: Int { self == .privileged ? 0 : self == .baseline ? 1 : 2 }
    static func < (a: PodSecurityLevel, b: PodSecurityLevel) -> Bool { a.rank < b.rank }
}

/// A level as it was defined in a minor version of Kubernetes 1; nil is the latest.
struct PodSecurityStandard: Sendable, Hashable, CustomStringConvertible {
    var level = PodSecurityLevel.privileged
    var minor: Int?

    var description: String { "\(level.rawValue):\(minor.map { "v1.\($0)" } ?? "latest")" }

    /// What of a pod violates it.
    func findings(_ metadata: Node, _ spec: Node) -> PodSecurityFindings {
        guard level != .privileged else { return PodSecurityFindings() }
        let minor = minor ?? .max
        var overridden: Set<String> = []
        if level == .restricted {
            for check in PodSecurityChecks.restricted where check.isPart(of: minor) { overridden.formUnion(check.overrides(at: minor)) }
        }
        var findings = PodSecurityFindings()
        for check in PodSecurityChecks.baseline where check.isPart(of: minor) && !overridden.contains(check.id) {
            if let found = check.run(metadata, spec, minor) { findings.all.append(found) }
        }
        guard level == .restricted else { return findings }
        for check in PodSecurityChecks.restricted where check.isPart(of: minor) {
            if let found = check.run(metadata, spec, minor) { findings.all.append(found) }
        }
        return findings
    }
}

/// What is wrong with a pod by a standard.
struct PodSecurityFindings: Sendable {
    struct Finding: Sendable {
        let reason: String
        let detail: String
    }

    var all: [Finding] = []

    var isEmpty: Bool { all.isEmpty }
    var reasons: String { all.map(\.reason).joined(separator: ", ") }
    var details: String { all.map { $0.detail.isEmpty ? $0.reason : "\($0.reason) (\($0.detail))" }.joined(separator: ", ") }
}

/// The three standards of a namespace, as its labels say.
struct PodSecurityPolicy: Sendable, Equatable {
    private static let prefix = "pod-security.kubernetes.io/"

    var enforce = PodSecurityStandard()
    var audit = PodSecurityStandard()
    var warn = PodSecurityStandard()

    var isPrivileged: Bool { enforce.level == .privileged && audit.level == .privileged && warn.level == .privileged }

    /// Reads the labels. What cannot be read is restricted for enforcement and privileged for the rest, and told in `errors`.
    init(_ labels: [String: String], errors: inout [FieldError]) {
        func level(_ mode: String, _ standard: inout PodSecurityStandard, failing: PodSecurityLevel) -> Bool? {
            guard let text = labels[PodSecurityPolicy.prefix + mode] else { return nil }
            if let known = PodSecurityLevel(rawValue: text) {
                standard.level = known
                return true
            }
            standard.level = failing
            errors.append(.invalid(PodSecurityPolicy.path(mode), quoted: text, "must be one of privileged, baseline, restricted"))
            return false
        }
        func version(_ mode: String, _ standard: inout PodSecurityStandard) -> Bool {
            guard let text = labels["\(PodSecurityPolicy.prefix)\(mode)-version"] else { return false }
            standard.minor = PodSecurityPolicy.minor(text)
            if standard.minor == nil, text != "latest" {
                errors.append(.invalid(PodSecurityPolicy.path("\(mode)-version"), quoted: text, "must be \"latest\" or \"v1.x\""))
            }
            return true
        }
        let enforces = level("enforce", &enforce, failing: .restricted)
        _ = version("enforce", &enforce)
        _ = level("audit", &audit, failing: .privileged)
        _ = version("audit", &audit)
        let warns = level("warn", &warn, failing: .privileged)
        let hasWarnVersion = version("warn", &warn)
        // Who enforces is warned of the same, unless they say otherwise.
        if warns == nil, enforces == true, enforce.level > warn.level {
            warn.level = enforce.level
            if !hasWarnVersion { warn.minor = enforce.minor }
        }
    }

    private static func path(_ mode: String) -> String { "metadata.labels[\(prefix)\(mode)]" }

    private static func minor(_ text: String) -> Int? {
        guard text.hasPrefix("v1."), let number = Int(text.dropFirst(3)), number >= 0, "v1.\(number)" == text else { return nil }
        return number
    }
}
