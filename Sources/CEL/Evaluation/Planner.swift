/// Turns a checked tree into steps: names become places, calls become what they call.
struct Planner {
    private let checked: CheckedExpression
    private let environment: Environment
    private var scopes: [(name: String, slot: Int)] = []
    private(set) var slotCount: Int
    private(set) var used: Set<String> = []

    init(_ checked: CheckedExpression, _ environment: Environment) {
        self.checked = checked
        self.environment = environment
        slotCount = environment.variables.count
    }

    mutating func plan(_ expression: Expression) -> Step {
        switch expression.kind {
        case .literal(let value): return ConstantStep(value)
        case .ident(let name): return ident(expression, name)
        case .select(let operand, let field, let isTest): return SelectStep(plan(operand), field, isTest: isTest)
        case .call(let target, let function, let arguments): return call(expression, target, function, arguments)
        case .list(let items, let optional):
            var steps: [Step] = []
            for item in items { steps.append(plan(item)) }
            return folded(ListStep(steps, optional: optional), of: steps)
        case .map(let entries):
            var steps: [(key: Step, value: Step, isOptional: Bool)] = []
            for entry in entries { steps.append((plan(entry.key), plan(entry.value), entry.isOptional)) }
            return folded(MapStep(steps), of: steps.flatMap { [$0.key, $0.value] })
        case .object(let type, let fields): return object(type, fields)
        case .comprehension(let loop): return comprehension(loop)
        }
    }

    /// The value in place of a step whose parts are all known: a literal costs nothing, however often it is met.
    private func folded(_ step: Step, of parts: [Step]) -> Step {
        guard parts.allSatisfy({ $0 is ConstantStep }), let value = try? step.run(Evaluation(slots: [], limit: .max)) else { return step }
        return ConstantStep(value)
    }

    private static let conversions: Set<String> = ["bool", "bytes", "double", "dyn", "duration", "int", "string", "timestamp", "uint"]

    private mutating func ident(_ expression: Expression, _ name: String) -> Step {
        if let slot = local(name) { return SlotStep(slot) }
        if let type = checked.typeNames[expression.id] { return ConstantStep(.type(type)) }
        guard let (index, _) = environment.variable(name) else { return ConstantStep(.failure(EvaluationError("no such attribute(s): \(name)"))) }
        used.insert(name)
        return SlotStep(index)
    }

    private func local(_ name: String) -> Int? { scopes.last { $0.name == name }?.slot }

    private mutating func object(_ type: String, _ fields: [Expression.Field]) -> Step {
        var steps: [(name: String, value: Step, isOptional: Bool)] = []
        for field in fields { steps.append((field.name, plan(field.value), field.isOptional)) }
        guard let maker = environment.maker(type) else { return ConstantStep(.failure(EvaluationError("unknown type: \(type)"))) }
        return ObjectStep(maker, steps)
    }

    // MARK: Calls

    private mutating func call(_ expression: Expression, _ target: Expression?, _ function: String, _ arguments: [Expression]) -> Step {
        let parts = (target.map { [$0] } ?? []) + arguments
        switch function {
        case Operator.and: return LogicStep(plan(parts[0]), plan(parts[1]), decisive: false)
        case Operator.or: return LogicStep(plan(parts[0]), plan(parts[1]), decisive: true)
        case Operator.conditional: return ConditionalStep(plan(parts[0]), plan(parts[1]), plan(parts[2]))
        case Operator.notStrictlyFalse: return NotStrictlyFalseStep(plan(parts[0]))
        case Operator.index: return IndexStep(plan(parts[0]), plan(parts[1]), isOptional: false)
        case Operator.optionalIndex: return IndexStep(plan(parts[0]), plan(parts[1]), isOptional: true)
        case Operator.optionalSelect:
            guard case .literal(.string(let field)) = parts[1].kind else { break }
            return SelectStep(plan(parts[0]), field, isOptional: true)
        case Operator.add:
            if case .ident(Operator.accumulator) = parts[0].kind, let slot = local(Operator.accumulator), case .list(let items, let optional) = parts[1].kind,
                optional.isEmpty
            {
                var steps: [Step] = []
                for item in items { steps.append(plan(item)) }
                return AppendStep(slot: slot, items: steps)
            }
        case Operator.mapInsert:
            if case .ident(Operator.accumulator) = parts[0].kind, let slot = local(Operator.accumulator) {
                var steps: [Step] = []
                for part in parts.dropFirst() { steps.append(plan(part)) }
                return InsertStep(slot: slot, entry: steps)
            }
        default: break
        }
        let overloads = checked.overloads[expression.id] ?? []
        let price = RuntimePrice(function, overloads.count == 1 ? overloads[0].id : "")
        if parts.count == 2, target == nil, let operation = Planner.operations[function] {
            let (left, right) = (plan(parts[0]), plan(parts[1]))
            // Membership in a list that is known is not counted.
            let isFree = function == Operator.isIn && right is ConstantStep && overloads.count == 1 && overloads[0].id == "in_list"
            return BinaryStep(left, right, function, isFree ? .fixed(0) : price, operation)
        }
        if let step = pattern(function, parts, price) { return step }
        var steps: [Step] = []
        for part in parts { steps.append(plan(part)) }
        let step = CallStep(function, overloads, steps, price)
        return Planner.conversions.contains(function) && steps.count == 1 ? folded(step, of: steps) : step
    }

    /// Patterns that are written in the expression are compiled once.
    private mutating func pattern(_ function: String, _ parts: [Expression], _ price: RuntimePrice) -> Step? {
        guard ["matches", "find", "findAll"].contains(function), parts.count >= 2, case .literal(.string(let pattern)) = parts[1].kind,
            let overloads = PatternLibrary.overloads(function, compiled: pattern)
        else { return nil }
        var steps: [Step] = []
        for part in parts { steps.append(plan(part)) }
        return CallStep(function, overloads, steps, price)
    }

    private static let operations: [String: Arithmetic.Operation] = [
        Operator.equals: { a, b in .bool(a.equals(b)) }, Operator.notEquals: { a, b in .bool(!a.equals(b)) },
        Operator.less: { (a: Value, b: Value) throws(EvaluationError) -> Value in .bool(try a.order(b) < 0) },
        Operator.lessEquals: { (a: Value, b: Value) throws(EvaluationError) -> Value in .bool(try a.order(b) <= 0) },
        Operator.greater: { (a: Value, b: Value) throws(EvaluationError) -> Value in .bool(try a.order(b) > 0) },
        Operator.greaterEquals: { (a: Value, b: Value) throws(EvaluationError) -> Value in .bool(try a.order(b) >= 0) },
        Operator.add: Arithmetic.add, Operator.subtract: Arithmetic.subtract, Operator.multiply: Arithmetic.multiply, Operator.divide: Arithmetic.divide,
        Operator.modulo: Arithmetic.modulo, Operator.isIn: Arithmetic.contains,
    ]

    // MARK: Loops

    private mutating func comprehension(_ loop: Expression.Comprehension) -> Step {
        if case .list(let items, _) = loop.range.kind, items.isEmpty, case .literal(.bool(false)) = loop.condition.kind,
            loop.accumulator != Operator.accumulator
        {
            let value = plan(loop.initial)
            let slot = push(loop.accumulator)
            let body = plan(loop.result)
            scopes.removeLast()
            return BindStep(slot: slot, value: value, body: body)
        }
        let range = plan(loop.range)
        let initial = plan(loop.initial)
        let accumulator = push(loop.accumulator)
        let variable = push(loop.variable)
        let second = loop.secondVariable.map { push($0) }
        var condition: Step?
        var keepsFailures = false
        if case .literal(.bool(true)) = loop.condition.kind {} else {
            keepsFailures = true
            condition = plan(loop.condition)
        }
        let body = plan(loop.step)
        scopes.removeLast(second == nil ? 1 : 2)
        let result = plan(loop.result)
        scopes.removeLast()
        return LoopStep(
            .init(
                range: range, variable: variable, second: second, accumulator: accumulator, initial: initial, condition: condition, keepsFailures: keepsFailures,
                body: body, result: result))
    }

    private mutating func push(_ name: String) -> Int {
        scopes.append((name, slotCount))
        slotCount += 1
        return slotCount - 1
    }
}
