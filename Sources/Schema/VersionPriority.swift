/// The order in which the versions of a group are offered: released before beta before alpha, of each the newer first, and last,
/// by name, what is no version in Kubernetes' form. The smaller comes first.
package struct VersionPriority: Comparable, Sendable {
    private enum Stage: Int { case alpha, beta, released }

    private let name: String
    private let parsed: (stage: Stage, major: Int, minor: Int)?

    package init(_ version: String) {
        name = version
        parsed = VersionPriority.parse(version)
    }

    /// `v1`, `v2beta3`, `v1alpha1`.
    private static func parse(_ version: String) -> (Stage, Int, Int)? {
        guard let match = version.wholeMatch(of: /v([0-9]+)(?:(alpha|beta)([0-9]+))?/), let major = Int(match.1) else { return nil }
        guard let word = match.2 else { return (.released, major, 0) }
        guard let minor = match.3.flatMap({ Int($0) }) else { return nil }
        return (word == "beta" ? .beta : .alpha, major, minor)
    }

    package static func < (a: VersionPriority, b: VersionPriority) -> Bool {
        switch (a.parsed, b.parsed) {
        case (let x?, let y?): (y.stage.rawValue, y.major, y.minor) < (x.stage.rawValue, x.major, x.minor)
        case (.some, nil): true
        case (nil, .some): false
        case (nil, nil): a.name < b.name
        }
    }

    package static func == (a: VersionPriority, b: VersionPriority) -> Bool { a.name == b.name }
}
