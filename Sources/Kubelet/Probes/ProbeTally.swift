import Tree

/// Counts a probe's successes and failures and says when its verdict changes. Pure.
struct ProbeTally: Sendable, Equatable {
    let failureThreshold: Int
    let successThreshold: Int
    private(set) var verdict: Bool?
    private var last: Bool?
    private var run = 0

    init(_ probe: Node, initial: Bool? = nil) {
        failureThreshold = max(1, Int(probe["failureThreshold"].int ?? 3))
        successThreshold = max(1, Int(probe["successThreshold"].int ?? 1))
        verdict = initial
    }

    /// The new verdict, where this result changes it.
    mutating func add(_ succeeded: Bool) -> Bool? {
        if last == succeeded { run += 1 } else {
            last = succeeded
            run = 1
        }
        guard run >= (succeeded ? successThreshold : failureThreshold), verdict != succeeded else { return nil }
        verdict = succeeded
        return succeeded
    }
}
