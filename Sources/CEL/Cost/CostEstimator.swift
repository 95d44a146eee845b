/// Walks a checked tree and bounds what running it can cost, by the sizes that schemas allow.
struct CostEstimator {
    /// What is known of a list's or map's entries.
    struct EntrySize {
        let isList: Bool
        var key: CostEstimate
        var value: CostEstimate

        func union(_ other: EntrySize) -> EntrySize { EntrySize(isList: isList, key: key.union(other.key), value: value.union(other.value)) }
    }

    private struct Local {
        let path: [String]
        let size: CostEstimate?
        let entry: EntrySize?
    }

    private let checked: CheckedExpression
    private let environment: Environment
    private var paths: [Int: [String]] = [:]
    private var sizes: [Int: CostEstimate] = [:]
    private var entrySizes: [Int: EntrySize] = [:]
    private var locals: [(name: String, local: Local)] = []

    static func estimate(_ checked: CheckedExpression, _ environment: Environment) -> CostEstimate {
        var estimator = CostEstimator(checked: checked, environment: environment)
        return estimator.cost(checked.root)
    }

    private init(checked: CheckedExpression, environment: Environment) {
        self.checked = checked
        self.environment = environment
    }

    // MARK: Walk

    private mutating func cost(_ expression: Expression) -> CostEstimate {
        switch expression.kind {
        case .literal: return .zero
        case .ident(let name):
            paths[expression.id] = local(name)?.path ?? [name]
            return CostEstimate(1)
        case .select(let operand, let field, let isTest): return select(expression, operand, field, isTest)
        case .call(let target, let function, let arguments): return call(expression, target, function, arguments)
        case .list(let items, _): return list(expression, items)
        case .map(let entries): return map(expression, entries)
        case .object(_, let fields):
            var sum = CostEstimate(Cost.objectBase)
            for field in fields { sum = sum + cost(field.value) }
            return sum
        case .comprehension(let loop): return comprehension(expression, loop)
        }
    }

    private mutating func select(_ expression: Expression, _ operand: Expression, _ field: String, _ isTest: Bool) -> CostEstimate {
        var sum = cost(operand)
        if isTest { return sum }
        switch checked.type(operand) {
        case .map, .object, .parameter: sum = sum + CostEstimate(1)
        default: break
        }
        paths[expression.id] = path(operand) + [field]
        return sum
    }

    private mutating func list(_ expression: Expression, _ items: [Expression]) -> CostEstimate {
        var sum = CostEstimate(Cost.listBase)
        var item = CostEstimate(items.isEmpty ? 0 : .max, 0)
        for part in items {
            sum = sum + cost(part)
            item = item.union(sizeOrUnknown(part))
        }
        entrySizes[expression.id] = EntrySize(isList: true, key: CostEstimate(1), value: item)
        return sum
    }

    private mutating func map(_ expression: Expression, _ entries: [Expression.Entry]) -> CostEstimate {
        var sum = CostEstimate(Cost.mapBase)
        var key = CostEstimate(entries.isEmpty ? 0 : .max, 0)
        var value = key
        for entry in entries {
            sum = sum + cost(entry.key) + cost(entry.value)
            key = key.union(sizeOrUnknown(entry.key))
            value = value.union(sizeOrUnknown(entry.value))
        }
        entrySizes[expression.id] = EntrySize(isList: false, key: key, value: value)
        return sum
    }

    private mutating func comprehension(_ expression: Expression, _ loop: Expression.Comprehension) -> CostEstimate {
        var sum = cost(loop.range) + cost(loop.initial)
        let accumulated = Local(path: path(loop.initial), size: size(loop.initial), entry: entrySize(loop.initial))
        if case .list(let items, _) = loop.range.kind, items.isEmpty, case .literal(.bool(false)) = loop.condition.kind,
            loop.accumulator != Operator.accumulator
        {
            locals.append((loop.accumulator, accumulated))
            sum = sum + cost(loop.result)
            locals.removeLast()
            if let known = size(loop.result) { sizes[expression.id] = known }
            if let known = entrySize(loop.result) { entrySizes[expression.id] = known }
            return sum
        }
        let before = locals.count
        locals.append((loop.accumulator, accumulated))
        pushVariables(loop)
        let turn = cost(loop.condition) + cost(loop.step)
        locals.removeLast(locals.count - before - 1)
        sum = sum + cost(loop.result)
        locals.removeLast()
        let count = sizeOrUnknown(loop.range)
        sum = sum + count * turn
        switch loop.initial.kind {
        case .literal: if let known = size(loop.initial) { sizes[expression.id] = known }
        case .list, .map:
            sizes[expression.id] = count
            if let known = entrySize(loop.step) { entrySizes[expression.id] = known }
        default: break
        }
        return sum
    }

    private mutating func pushVariables(_ loop: Expression.Comprehension) {
        let entry = entrySize(loop.range)
        let base = path(loop.range)
        let isList = entry?.isList ?? { if case .list = checked.type(loop.range) { true } else { false } }()
        let items = Local(path: base + [isList ? "@items" : "@values"], size: entry?.value, entry: nil)
        let keys = Local(path: base + [isList ? "@indices" : "@keys"], size: entry?.key, entry: nil)
        if let second = loop.secondVariable {
            locals.append((loop.variable, keys))
            locals.append((second, items))
        } else {
            locals.append((loop.variable, isList ? items : keys))
        }
    }

    // MARK: Calls

    private mutating func call(_ expression: Expression, _ target: Expression?, _ function: String, _ arguments: [Expression]) -> CostEstimate {
        if function == "dyn", arguments.count == 1 {
            let sum = cost(arguments[0]) + CostEstimate(1)
            if let known = size(arguments[0]) { sizes[expression.id] = known }
            if let known = entrySize(arguments[0]) { entrySizes[expression.id] = known }
            return sum
        }
        var costs: [CostEstimate] = []
        for argument in arguments { costs.append(cost(argument)) }
        let overloads = checked.overloads[expression.id] ?? []
        if overloads.isEmpty { return .zero }
        var sum = CostEstimate.zero
        if let target { sum = cost(target) }
        var own = CostEstimate(.max, 0)
        var result: CostEstimate?
        for overload in overloads {
            let call = Call(expression: expression, function: function, overload: overload.id, target: target, arguments: arguments, costs: costs)
            let (price, size) = estimate(call)
            own = own.union(price)
            if let size { result = result?.union(size) ?? size }
            if function == Operator.index {
                result = entrySize(arguments[0])?.value
                paths[expression.id] = path(arguments[0]) + [overload.id == "index_list" ? "@items" : "@values"]
            }
            if result == nil { result = self.size(expression) }
        }
        if let result { sizes[expression.id] = result }
        return sum + own
    }

    struct Call {
        let expression: Expression
        let function: String
        let overload: String
        let target: Expression?
        let arguments: [Expression]
        let costs: [CostEstimate]
        var argumentCost: CostEstimate { costs.reduce(.zero, +) }
    }

    private mutating func estimate(_ call: Call) -> (CostEstimate, CostEstimate?) {
        if let (price, size) = libraryEstimate(call) { return (price + call.argumentCost, size) }
        let arguments = call.arguments
        switch call.overload {
        case "logical_and", "logical_or":
            return (CostEstimate(call.costs[0].min, (call.costs[0] + call.costs[1]).max), nil)
        case "conditional":
            if let yes = entrySize(arguments[1]), let no = entrySize(arguments[2]) { entrySizes[call.expression.id] = yes.union(no) }
            return (call.costs[0] + call.costs[1].union(call.costs[2]), sizeOrUnknown(arguments[1]).union(sizeOrUnknown(arguments[2])))
        case "add_string", "add_bytes", "add_list":
            let size = sizeOrUnknown(arguments[0]) + sizeOrUnknown(arguments[1])
            if let left = entrySize(arguments[0]), let right = entrySize(arguments[1]) { entrySizes[call.expression.id] = left.union(right) }
            return ((call.overload == "add_list" ? CostEstimate(1) : size.scaled(Cost.traversal)) + call.argumentCost, size)
        default:
            let (price, size) = standardEstimate(call) ?? (CostEstimate(1), nil)
            return (price + call.argumentCost, size)
        }
    }

    // MARK: Sizes

    private func local(_ name: String) -> Local? { locals.last { $0.name == name }?.local }

    func path(_ expression: Expression) -> [String] {
        if case .ident(let name) = expression.kind, let local = local(name) { return local.path }
        return paths[expression.id] ?? []
    }

    func type(_ expression: Expression) -> CELType { checked.type(expression) }

    func sizeOrUnknown(_ expression: Expression) -> CostEstimate { size(expression) ?? .unknown }

    func size(_ expression: Expression) -> CostEstimate? {
        if let known = sizes[expression.id] { return known }
        switch expression.kind {
        case .literal(let value): return CostEstimate(value.size)
        case .list(let items, _): return CostEstimate(UInt64(items.count))
        case .map(let entries): return CostEstimate(UInt64(entries.count))
        default: break
        }
        if let size = declaredSize(path(expression)) { return size }
        if CostEstimator.isScalar(checked.type(expression)) { return CostEstimate(1) }
        if case .ident(let name) = expression.kind { return local(name)?.size }
        return nil
    }

    private func entrySize(_ expression: Expression) -> EntrySize? {
        if let known = entrySizes[expression.id] { return known }
        if case .ident(let name) = expression.kind { return local(name)?.entry }
        return nil
    }

    private static func isScalar(_ type: CELType) -> Bool {
        switch type {
        case .bool, .double, .duration, .int, .timestamp, .uint: true
        default: type.optionalValue.map(isScalar) ?? false
        }
    }

    /// By the schema of the variable that a path begins with; nil for what no schema describes.
    func declaredSize(_ path: [String]) -> CostEstimate? {
        guard let first = path.first, var schema = environment.variableSchemas[first] else { return nil }
        for step in path.dropFirst() {
            switch (step, schema.form) {
            case ("@items", .list(let element, _)): schema = element
            case ("@values", .map(let value)): schema = value
            case ("@keys", .map): return CostEstimate(0, schema.largestKey)
            case (_, .map(let value)) where schema.boundsEntries: schema = value
            case (_, .object):
                guard let property = schema.property(FieldEscape.unescape(step)) else { return nil }
                schema = property
            default: return nil
            }
        }
        return CostEstimate(0, schema.largestSize)
    }
}
