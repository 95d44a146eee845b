/// A compiled expression: run it as often as there are values for its variables, from any thread.
package final class Program: Sendable {
    /// The type of the result.
    package let type: CELType
    /// What a run may cost at most, by the sizes that the variables' schemas allow.
    package let estimatedCost: CostEstimate
    /// The names of the variables it uses.
    package let usedVariables: Set<String>
    private let root: Step
    private let slotCount: Int
    private let variableCount: Int

    /// The cost of one run at most, as upstream's `PerCallLimit`.
    package static let callLimit: UInt64 = 1_000_000

    package struct Outcome: Sendable {
        package let result: Result<Value, EvaluationError>
        package let cost: UInt64
    }

    package static func compile(_ text: String, in environment: Environment) throws(CompilationError) -> Program {
        let (root, source) = try Parser.parse(text, binds: environment.bindsNames)
        let checked = try Checker.check(root, in: environment, source)
        try LiteralCheck.run(checked, source)
        let estimate = CostEstimator.estimate(checked, environment)
        var planner = Planner(checked, environment)
        let step = planner.plan(root)
        return Program(checked.type(root), estimate, planner.used, step, planner.slotCount, environment.variables.count)
    }

    private init(_ type: CELType, _ estimate: CostEstimate, _ used: Set<String>, _ root: Step, _ slotCount: Int, _ variableCount: Int) {
        self.type = type
        estimatedCost = estimate
        usedVariables = used
        self.root = root
        self.slotCount = slotCount
        self.variableCount = variableCount
    }

    /// Runs with the variables' values in the order the environment declares them.
    package func run(_ values: [Value], limit: UInt64 = Program.callLimit) -> Outcome {
        precondition(values.count == variableCount, "a value for each declared variable")
        var slots = values
        slots.append(contentsOf: repeatElement(.null, count: slotCount - values.count))
        let evaluation = Evaluation(slots: slots, limit: limit)
        do {
            return Outcome(result: .success(try root.run(evaluation)), cost: evaluation.cost)
        } catch {
            return Outcome(result: .failure(error), cost: evaluation.cost)
        }
    }
}
