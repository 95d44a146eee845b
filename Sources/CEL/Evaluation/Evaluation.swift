/// One run of a program: what variables hold, and what the run has cost.
final class Evaluation {
    var slots: [Value]
    private(set) var cost: UInt64 = 0
    private let limit: UInt64

    init(slots: [Value], limit: UInt64) {
        self.slots = slots
        self.limit = limit
    }

    func refund(_ amount: UInt64) { cost -= min(amount, cost) }

    func charge(_ amount: UInt64) throws(EvaluationError) {
        let (sum, over) = cost.addingReportingOverflow(amount)
        cost = over ? .max : sum
        if cost > limit { throw .overBudget }
    }
}

/// A node of a program. Subclasses know their parts' places; running one costs no lookup by name.
class Step: @unchecked Sendable {
    func run(_ evaluation: Evaluation) throws(EvaluationError) -> Value { .null }
    /// Whether it stands for a variable or a part of one, which estimates count together.
    var isAttribute: Bool { false }
}
