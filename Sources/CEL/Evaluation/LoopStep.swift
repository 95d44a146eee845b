/// Folds a range into an accumulator.
final class LoopStep: Step, @unchecked Sendable {
    struct Parts {
        let range: Step
        let variable: Int
        let second: Int?
        let accumulator: Int
        let initial: Step
        /// Nil where the loop runs to its end whatever happens.
        let condition: Step?
        /// Whether failures of the step are kept for later steps to overrule.
        let keepsFailures: Bool
        let body: Step
        let result: Step
    }
    private let parts: Parts
    init(_ parts: Parts) { self.parts = parts }

    override func run(_ evaluation: Evaluation) throws(EvaluationError) -> Value {
        let range = try parts.range.run(evaluation)
        evaluation.slots[parts.accumulator] = try parts.initial.run(evaluation)
        switch range {
        case .list(let list):
            for index in 0..<list.count {
                if let second = parts.second {
                    evaluation.slots[parts.variable] = .int(Int64(index))
                    evaluation.slots[second] = list[index]
                } else {
                    evaluation.slots[parts.variable] = list[index]
                }
                if try !turn(evaluation) { break }
            }
        case .map(let map):
            for (key, value) in map {
                evaluation.slots[parts.variable] = key
                if let second = parts.second { evaluation.slots[second] = value }
                if try !turn(evaluation) { break }
            }
        default: throw EvaluationError("unsupported comprehension range type: \(range.type.name)")
        }
        return try parts.result.run(evaluation)
    }

    /// False when the loop is over.
    private func turn(_ evaluation: Evaluation) throws(EvaluationError) -> Bool {
        if let condition = parts.condition, case .bool(false) = try condition.run(evaluation) { return false }
        do {
            evaluation.slots[parts.accumulator] = try parts.body.run(evaluation)
        } catch {
            guard parts.keepsFailures, !error.isOverBudget else { throw error }
            evaluation.slots[parts.accumulator] = .failure(error)
        }
        return true
    }
}

/// A name bound to a value once.
final class BindStep: Step, @unchecked Sendable {
    let slot: Int
    let value: Step
    let body: Step
    init(slot: Int, value: Step, body: Step) {
        self.slot = slot
        self.value = value
        self.body = body
    }
    override func run(_ evaluation: Evaluation) throws(EvaluationError) -> Value {
        try evaluation.charge(Cost.listBase)
        evaluation.slots[slot] = try value.run(evaluation)
        return try body.run(evaluation)
    }
}
