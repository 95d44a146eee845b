/// What the checker found out of a tree: each node's type, and the overloads that may serve a call.
struct CheckedExpression {
    let root: Expression
    var types: [Int: CELType]
    var overloads: [Int: [Overload]]
    /// Names that stand for types.
    var typeNames: [Int: CELType]

    func type(_ expression: Expression) -> CELType { types[expression.id] ?? .dyn }
}

/// Gives each node its type, and says where types do not fit.
struct Checker {
    private let environment: Environment
    private var mapping = TypeMapping()
    private var types: [Int: CELType] = [:]
    private var overloads: [Int: [Overload]] = [:]
    private var typeNames: [Int: CELType] = [:]
    private var scopes: [[String: CELType]] = []
    private var issues: ExpressionIssues

    static func check(_ root: Expression, in environment: Environment, _ source: Source) throws(CompilationError) -> CheckedExpression {
        var checker = Checker(environment: environment, source: source)
        checker.visit(root)
        guard checker.issues.isEmpty else { throw checker.issues.error }
        let mapping = checker.mapping
        return CheckedExpression(
            root: root, types: checker.types.mapValues { mapping.substitute($0, toDyn: true) }, overloads: checker.overloads, typeNames: checker.typeNames)
    }

    private init(environment: Environment, source: Source) {
        self.environment = environment
        issues = ExpressionIssues(in: source)
    }

    private mutating func report(_ message: String, _ offset: Int) { issues.report(message, at: offset) }
    private func type(_ expression: Expression) -> CELType { types[expression.id] ?? .error }
    private mutating func undeclared(_ name: String, _ expression: Expression) {
        types[expression.id] = .error
        report("undeclared reference to '\(name)' (in container '')", expression.offset)
    }

    // MARK: Walk

    private mutating func visit(_ expression: Expression) {
        switch expression.kind {
        case .literal(let value): types[expression.id] = value.type
        case .ident(let name): ident(expression, name)
        case .select(let operand, let field, let isTest): select(expression, operand, field, isTest)
        case .call(let target, let function, let arguments): call(expression, target, function, arguments)
        case .list(let items, let optional): list(expression, items, optional)
        case .map(let entries): map(expression, entries)
        case .object(let type, let fields): object(expression, type, fields)
        case .comprehension(let loop): comprehension(expression, loop)
        }
    }

    /// The type of a name: a loop's variable, a declared one, or a type.
    private mutating func resolve(_ name: String, _ expression: Expression) -> Bool {
        let plain = name.hasPrefix(".") ? String(name.dropFirst()) : name
        if !name.hasPrefix(".") {
            for scope in scopes.reversed() {
                if let type = scope[plain] {
                    types[expression.id] = type
                    return true
                }
            }
        }
        if let (_, type) = environment.variable(plain) {
            types[expression.id] = type
            expression.kind = .ident(plain)
            return true
        }
        if let named = environment.typeNamed(plain) {
            types[expression.id] = .type(named)
            typeNames[expression.id] = named
            expression.kind = .ident(plain)
            return true
        }
        return false
    }

    private mutating func ident(_ expression: Expression, _ name: String) {
        if !resolve(name, expression) { undeclared(name, expression) }
    }

    private mutating func select(_ expression: Expression, _ operand: Expression, _ field: String, _ isTest: Bool) {
        if !isTest, let name = expression.qualifiedName, !isLocal(name), resolve(name, expression) { return }
        let result = selection(expression, operand, field, isOptional: false)
        types[expression.id] = isTest ? .bool : mapping.substitute(result)
    }

    /// A chain that begins with a loop's variable is never a declared name.
    private func isLocal(_ name: String) -> Bool {
        let first = String(name.prefix { $0 != "." })
        return scopes.contains { $0[first] != nil }
    }

    private mutating func selection(_ expression: Expression, _ operand: Expression, _ field: String, isOptional: Bool) -> CELType {
        visit(operand)
        let whole = mapping.substitute(type(operand))
        let target = whole.optionalValue ?? whole
        var result = CELType.dyn
        switch target {
        case .map(_, let value): result = value
        case .object(let name):
            if let found = environment.fieldType(name, field) {
                result = found
            } else {
                result = .error
                report("undefined field '\(field)'", expression.offset)
            }
        case .parameter: _ = mapping.fit(.dyn, target)
        case .dyn, .error: break
        default: report("type '\(target)' does not support field selection", expression.offset)
        }
        return isOptional || whole.optionalValue != nil ? .optional(result) : result
    }

    // MARK: Calls

    private mutating func call(_ expression: Expression, _ target: Expression?, _ function: String, _ arguments: [Expression]) {
        if function == Operator.optionalSelect {
            guard case .literal(.string(let field)) = arguments[1].kind else { return }
            types[arguments[1].id] = .string
            types[expression.id] = mapping.substitute(selection(expression, arguments[0], field, isOptional: true))
            return
        }
        for argument in arguments { visit(argument) }
        guard let target else {
            let name = function.hasPrefix(".") ? String(function.dropFirst()) : function
            guard let candidates = environment.functions.overloads[name] else { return undeclared(function, expression) }
            return resolve(expression, name, candidates, nil, arguments)
        }
        // `a.b.f(x)` may be a function of that whole name.
        if let prefix = target.qualifiedName, !isLocal(prefix) {
            let whole = "\(prefix).\(function)"
            if let candidates = environment.functions.overloads[whole] {
                expression.kind = .call(target: nil, function: whole, arguments: arguments)
                return resolve(expression, whole, candidates, nil, arguments)
            }
        }
        visit(target)
        guard let candidates = environment.functions.overloads[function] else { return undeclared(function, expression) }
        resolve(expression, function, candidates, target, arguments)
    }

    private mutating func resolve(_ expression: Expression, _ name: String, _ candidates: [Overload], _ target: Expression?, _ arguments: [Expression]) {
        let given = ((target.map { [$0] } ?? []) + arguments).map { type($0) }
        if name == Operator.and || name == Operator.or { return logical(expression, candidates, arguments) }
        var result: CELType?
        var chosen: [Overload] = []
        for overload in candidates where overload.isMember == (target != nil) {
            let instance = mapping.instantiate(overload)
            guard mapping.fit(given, instance.arguments) else { continue }
            chosen.append(overload)
            let returned = mapping.substitute(instance.result)
            if let before = result {
                if before != .dyn, before != returned { result = .dyn }
            } else {
                result = returned
            }
        }
        guard let result else {
            let shown = given.map { mapping.substitute($0, toDyn: true).description }
            let text = target == nil ? "(\(shown.joined(separator: ", ")))" : "\(shown[0]).(\(shown.dropFirst().joined(separator: ", ")))"
            types[expression.id] = .error
            report("found no matching overload for '\(name)' applied to '\(text)'", expression.offset)
            return
        }
        types[expression.id] = result
        overloads[expression.id] = chosen
    }

    private mutating func logical(_ expression: Expression, _ candidates: [Overload], _ arguments: [Expression]) {
        var isWrong = false
        for argument in arguments where !mapping.fit(type(argument), .bool) {
            report("expected type 'bool' but found '\(mapping.substitute(type(argument), toDyn: true))'", argument.offset)
            isWrong = true
        }
        types[expression.id] = isWrong ? .error : .bool
        overloads[expression.id] = candidates
    }

    // MARK: Aggregates

    private mutating func list(_ expression: Expression, _ items: [Expression], _ optional: Set<Int>) {
        var element: CELType?
        for (index, item) in items.enumerated() {
            visit(item)
            element = join(element, unwrapped(item, isOptional: optional.contains(index)))
        }
        types[expression.id] = .list(element ?? mapping.fresh())
    }

    private mutating func map(_ expression: Expression, _ entries: [Expression.Entry]) {
        var key: CELType?
        var value: CELType?
        for entry in entries {
            visit(entry.key)
            key = join(key, type(entry.key))
            visit(entry.value)
            value = join(value, unwrapped(entry.value, isOptional: entry.isOptional))
        }
        types[expression.id] = .map(key ?? mapping.fresh(), value ?? mapping.fresh())
    }

    private mutating func unwrapped(_ item: Expression, isOptional: Bool) -> CELType {
        let found = mapping.substitute(type(item))
        guard isOptional else { return found }
        if let inner = found.optionalValue { return inner }
        if found != .dyn { report("expected type '\(CELType.optional(found))' but found '\(found)'", item.offset) }
        return found
    }

    private mutating func join(_ before: CELType?, _ now: CELType) -> CELType {
        guard let before else { return now }
        // Literals of several types are refused later, but for those that are formatted.
        return mapping.fit(before, now) ? TypeMapping.mostGeneral(before, now) : .dyn
    }

    private mutating func object(_ expression: Expression, _ name: String, _ fields: [Expression.Field]) {
        let plain = name.hasPrefix(".") ? String(name.dropFirst()) : name
        guard let named = environment.typeNamed(plain) else { return undeclared(name, expression) }
        guard case .object = named else {
            types[expression.id] = .error
            return report("'\(named.name)' is not a message type", expression.offset)
        }
        if plain != name { expression.kind = .object(type: plain, fields) }
        types[expression.id] = named
        for field in fields {
            visit(field.value)
            let given = unwrapped(field.value, isOptional: field.isOptional)
            guard let wanted = environment.fieldType(plain, field.name) else {
                report("undefined field '\(field.name)'", field.offset)
                continue
            }
            if !mapping.fit(wanted, given) {
                report("expected type of field '\(field.name)' is '\(wanted)' but provided type is '\(mapping.substitute(given))'", field.offset)
            }
        }
    }

    // MARK: Loops

    private mutating func comprehension(_ expression: Expression, _ loop: Expression.Comprehension) {
        visit(loop.range)
        visit(loop.initial)
        let range = mapping.substitute(type(loop.range))
        let accumulated = type(loop.initial)
        scopes.append([loop.accumulator: accumulated])
        var first = CELType.dyn
        var second = CELType.dyn
        switch range {
        case .list(let element):
            first = loop.secondVariable == nil ? element : .int
            second = element
        case .map(let key, let value):
            first = key
            second = value
        case .dyn, .error: break
        case .parameter: _ = mapping.fit(.dyn, range)
        default:
            report("expression of type '\(range)' cannot be range of a comprehension (must be list, map, or dynamic)", loop.range.offset)
            first = .error
            second = .error
        }
        var variables = [loop.variable: first]
        if let name = loop.secondVariable { variables[name] = second }
        scopes.append(variables)
        visit(loop.condition)
        require(loop.condition, .bool)
        visit(loop.step)
        require(loop.step, accumulated)
        scopes.removeLast()
        visit(loop.result)
        scopes.removeLast()
        types[expression.id] = mapping.substitute(type(loop.result))
    }

    private mutating func require(_ expression: Expression, _ wanted: CELType) {
        let found = type(expression)
        if !mapping.fit(wanted, found) {
            report("expected type '\(mapping.substitute(wanted, toDyn: true))' but found '\(mapping.substitute(found, toDyn: true))'", expression.offset)
        }
    }
}
