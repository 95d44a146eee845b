/// Makes nodes with fresh ids.
struct ExpressionFactory {
    private var last = 0

    mutating func make(_ kind: Expression.Kind, at offset: Int) -> Expression {
        last += 1
        return Expression(id: last, offset: offset, kind)
    }
    mutating func call(_ function: String, _ arguments: [Expression], at offset: Int) -> Expression {
        make(.call(target: nil, function: function, arguments: arguments), at: offset)
    }
    mutating func bool(_ value: Bool, at offset: Int) -> Expression { make(.literal(.bool(value)), at: offset) }
    mutating func int(_ value: Int64, at offset: Int) -> Expression { make(.literal(.int(value)), at: offset) }
    mutating func accumulator(at offset: Int) -> Expression { make(.ident(Operator.accumulator), at: offset) }
    mutating func list(_ items: [Expression], at offset: Int) -> Expression { make(.list(items, optional: []), at: offset) }
}

/// Calls that are loops in disguise.
enum Macros {
    enum Outcome {
        case notAMacro
        case expression(Expression)
        case failure(String, Int)
    }

    private struct Failure: Error {
        let message: String
        let offset: Int
    }

    static func expand(
        _ name: String, _ target: Expression?, _ arguments: [Expression], at offset: Int, binds: Bool, _ factory: inout ExpressionFactory
    ) -> Outcome {
        do {
            if binds, name == "bind", arguments.count == 3, case .ident("cel")? = target?.kind, let target {
                return .expression(try Loop(target: target, arguments: arguments, offset: offset).binding(&factory))
            }
            guard let expanded = try attempt(name, target, arguments, offset, &factory) else { return .notAMacro }
            return .expression(expanded)
        } catch {
            return .failure(error.message, error.offset)
        }
    }

    private static func attempt(
        _ name: String, _ target: Expression?, _ arguments: [Expression], _ offset: Int, _ factory: inout ExpressionFactory
    ) throws(Failure) -> Expression? {
        guard let target else {
            guard name == "has", arguments.count == 1 else { return nil }
            guard case .select(let operand, let field, false) = arguments[0].kind else {
                throw Failure(message: "invalid argument to has() macro", offset: arguments[0].offset)
            }
            return factory.make(.select(operand, field: field, isTest: true), at: offset)
        }
        let loop = Loop(target: target, arguments: arguments, offset: offset)
        switch (name, arguments.count) {
        case ("all", 2), ("exists", 2), ("exists_one", 2), ("existsOne", 2), ("all", 3), ("exists", 3), ("existsOne", 3):
            return try loop.quantifier(name, &factory)
        case ("map", 2), ("map", 3), ("filter", 2): return try loop.mapping(name, &factory)
        case ("transformList", 3), ("transformList", 4): return try loop.transformList(&factory)
        case ("transformMap", 3), ("transformMap", 4), ("transformMapEntry", 3), ("transformMapEntry", 4):
            return try loop.transformMap(isEntry: name == "transformMapEntry", &factory)
        case ("optMap", 2), ("optFlatMap", 2): return try loop.optional(isFlat: name == "optFlatMap", &factory)
        case ("sortBy", 2): return try loop.sortBy(&factory)
        default: return nil
        }
    }

    /// A macro's parts while it is expanded.
    private struct Loop {
        let target: Expression
        let arguments: [Expression]
        let offset: Int

        private func variable(_ index: Int, _ words: String) throws(Failure) -> String {
            guard case .ident(let name) = arguments[index].kind, !name.hasPrefix(".") else { throw Failure(message: words, offset: arguments[index].offset) }
            if name == Operator.accumulator || name == "__result__" {
                throw Failure(message: "iteration variable overwrites accumulator variable", offset: arguments[index].offset)
            }
            return name
        }

        private func variables(_ words: String) throws(Failure) -> (String, String?) {
            let first = try variable(0, words)
            let second = try variable(1, words)
            if first == second { throw Failure(message: "duplicate variable name: \(first)", offset: arguments[1].offset) }
            return (first, second)
        }

        func quantifier(_ name: String, _ factory: inout ExpressionFactory) throws(Failure) -> Expression {
            let words = "argument must be a simple name"
            let names = arguments.count == 3 ? try variables(words) : (try variable(0, words), nil)
            let predicate = arguments[arguments.count - 1]
            let initial: Expression
            let condition: Expression
            let step: Expression
            let result: Expression
            switch name {
            case "all":
                initial = factory.bool(true, at: offset)
                condition = factory.call(Operator.notStrictlyFalse, [factory.accumulator(at: offset)], at: offset)
                step = factory.call(Operator.and, [factory.accumulator(at: offset), predicate], at: offset)
                result = factory.accumulator(at: offset)
            case "exists":
                initial = factory.bool(false, at: offset)
                let negated = factory.call(Operator.not, [factory.accumulator(at: offset)], at: offset)
                condition = factory.call(Operator.notStrictlyFalse, [negated], at: offset)
                step = factory.call(Operator.or, [factory.accumulator(at: offset), predicate], at: offset)
                result = factory.accumulator(at: offset)
            default:
                initial = factory.int(0, at: offset)
                condition = factory.bool(true, at: offset)
                let more = factory.call(Operator.add, [factory.accumulator(at: offset), factory.int(1, at: offset)], at: offset)
                step = factory.call(Operator.conditional, [predicate, more, factory.accumulator(at: offset)], at: offset)
                result = factory.call(Operator.equals, [factory.accumulator(at: offset), factory.int(1, at: offset)], at: offset)
            }
            return fold(names, initial, condition, step, result, &factory)
        }

        func mapping(_ name: String, _ factory: inout ExpressionFactory) throws(Failure) -> Expression {
            let variable = try variable(0, "argument is not an identifier")
            let filter = name == "filter" ? arguments[1] : (arguments.count == 3 ? arguments[1] : nil)
            let item = name == "filter" ? arguments[0] : arguments[arguments.count - 1]
            return list((variable, nil), filter, item, &factory)
        }

        func transformList(_ factory: inout ExpressionFactory) throws(Failure) -> Expression {
            let names = try variables("argument must be a simple name")
            return list(names, arguments.count == 4 ? arguments[2] : nil, arguments[arguments.count - 1], &factory)
        }

        private func list(_ names: (String, String?), _ filter: Expression?, _ item: Expression, _ factory: inout ExpressionFactory) -> Expression {
            let initial = factory.list([], at: offset)
            var step = factory.call(Operator.add, [factory.accumulator(at: offset), factory.list([item], at: offset)], at: offset)
            if let filter { step = factory.call(Operator.conditional, [filter, step, factory.accumulator(at: offset)], at: offset) }
            return fold(names, initial, factory.bool(true, at: offset), step, factory.accumulator(at: offset), &factory)
        }

        func transformMap(isEntry: Bool, _ factory: inout ExpressionFactory) throws(Failure) -> Expression {
            let names = try variables("argument must be a simple name")
            let item = arguments[arguments.count - 1]
            let accumulator = factory.accumulator(at: offset)
            let added: [Expression] = isEntry ? [accumulator, item] : [accumulator, factory.make(.ident(names.0), at: offset), item]
            var step = factory.call(Operator.mapInsert, added, at: offset)
            if arguments.count == 4 { step = factory.call(Operator.conditional, [arguments[2], step, factory.accumulator(at: offset)], at: offset) }
            return fold(names, factory.make(.map([]), at: offset), factory.bool(true, at: offset), step, factory.accumulator(at: offset), &factory)
        }

        /// `x.optMap(v, e)`: `x.hasValue() ? optional.of(e with v bound to x.value()) : optional.none()`.
        func optional(isFlat: Bool, _ factory: inout ExpressionFactory) throws(Failure) -> Expression {
            let name = try variable(0, "optMap() variable name must be a simple identifier")
            func method(_ target: Expression, _ name: String) -> Expression { factory.make(.call(target: target, function: name, arguments: []), at: offset) }
            let isSet = method(target, "hasValue")
            let value = method(target, "value")
            let bound = bind(name, value, arguments[1], &factory)
            let yes = isFlat ? bound : factory.call("optional.of", [bound], at: offset)
            return factory.call(Operator.conditional, [isSet, yes, factory.call("optional.none", [], at: offset)], at: offset)
        }

        /// `cel.bind(v, x, e)`: e with v bound to x.
        func binding(_ factory: inout ExpressionFactory) throws(Failure) -> Expression {
            guard case .ident(let name) = arguments[0].kind else {
                throw Failure(message: "cel.bind() variable names must be simple identifiers", offset: arguments[0].offset)
            }
            return bind(name, arguments[1], arguments[2], &factory)
        }

        func sortBy(_ factory: inout ExpressionFactory) throws(Failure) -> Expression {
            let name = try variable(0, "sortBy can only be applied to a list, identifier, comprehension, call or select expression")
            let keys = list((name, nil), nil, arguments[1], &factory)
            return factory.make(.call(target: target, function: "@sortByAssociatedKeys", arguments: [keys]), at: offset)
        }

        /// A loop that runs no time: its accumulator is the variable.
        private func bind(_ name: String, _ value: Expression, _ body: Expression, _ factory: inout ExpressionFactory) -> Expression {
            factory.make(
                .comprehension(
                    .init(
                        range: factory.list([], at: offset), variable: "#unused", secondVariable: nil, accumulator: name, initial: value,
                        condition: factory.bool(false, at: offset), step: factory.make(.ident(name), at: offset), result: body)), at: offset)
        }

        private func fold(
            _ names: (String, String?), _ initial: Expression, _ condition: Expression, _ step: Expression, _ result: Expression,
            _ factory: inout ExpressionFactory
        ) -> Expression {
            factory.make(
                .comprehension(
                    .init(
                        range: target, variable: names.0, secondVariable: names.1, accumulator: Operator.accumulator, initial: initial, condition: condition,
                        step: step, result: result)), at: offset)
        }
    }
}
