// The nodes of programs. All are immutable after planning.

final class ConstantStep: Step, @unchecked Sendable {
    let value: Value
    init(_ value: Value) { self.value = value }
    override func run(_ evaluation: Evaluation) throws(EvaluationError) -> Value { value }
}

final class SlotStep: Step, @unchecked Sendable {
    let slot: Int
    init(_ slot: Int) { self.slot = slot }
    override var isAttribute: Bool { true }
    override func run(_ evaluation: Evaluation) throws(EvaluationError) -> Value {
        try evaluation.charge(1)
        return try Arithmetic.sound(evaluation.slots[slot])
    }
}

/// A value that gives its fields when asked, such as a policy's variables.
package protocol FieldSource: OpaqueValue {
    func field(_ name: String) throws(EvaluationError) -> Value
    func has(_ name: String) -> Bool
}

final class SelectStep: Step, @unchecked Sendable {
    let operand: Step
    let field: String
    let isTest: Bool
    let isOptional: Bool
    private let price: UInt64

    init(_ operand: Step, _ field: String, isTest: Bool = false, isOptional: Bool = false) {
        self.operand = operand
        self.field = field
        self.isTest = isTest
        self.isOptional = isOptional
        // A part of what is no variable counts as an attribute of its own.
        price = (isTest ? 0 : 1) + (operand.isAttribute ? 0 : 1)
    }
    override var isAttribute: Bool { true }

    override func run(_ evaluation: Evaluation) throws(EvaluationError) -> Value {
        let value = try operand.run(evaluation)
        try evaluation.charge(price)
        return try read(value)
    }

    private func read(_ value: Value) throws(EvaluationError) -> Value {
        switch value {
        case .map(let map):
            let found = map.find(field)
            if isTest { return .bool(found != nil) }
            if let found {
                let sound = try Arithmetic.sound(found)
                return isOptional ? .some(sound) : sound
            }
            if isOptional { return .none }
            throw .noSuchKey(field)
        case .optional(let optional):
            guard let inner = optional.value else { return isTest ? .false : .none }
            guard case .map(let map) = inner else { throw .noOverload }
            let found = map.find(field)
            if isTest { return .bool(found != nil) }
            guard let found else { return .none }
            return .some(try Arithmetic.sound(found))
        case .opaque(let source as any FieldSource):
            if isTest { return .bool(source.has(field)) }
            if isOptional { return source.has(field) ? .some(try source.field(field)) : .none }
            return try source.field(field)
        default:
            throw isTest || isOptional ? .noOverload : EvaluationError("no such overload")
        }
    }
}

final class IndexStep: Step, @unchecked Sendable {
    let operand: Step
    let key: Step
    let isOptional: Bool
    private let price: UInt64
    init(_ operand: Step, _ key: Step, isOptional: Bool) {
        self.operand = operand
        self.key = key
        self.isOptional = isOptional
        // A variable as the key counts once, as the variable.
        price = (operand.isAttribute ? 0 : 1) + (key.isAttribute ? 0 : 1)
    }
    override var isAttribute: Bool { true }
    override func run(_ evaluation: Evaluation) throws(EvaluationError) -> Value {
        let container = try operand.run(evaluation)
        let key = try key.run(evaluation)
        try evaluation.charge(price)
        return isOptional ? try Arithmetic.optionalElement(container, key) : try Arithmetic.element(container, key)
    }
}

/// `&&` and `||`: either side alone may decide, even when the other fails.
final class LogicStep: Step, @unchecked Sendable {
    let left: Step
    let right: Step
    /// The value that decides: false for `&&`, true for `||`.
    let decisive: Bool
    init(_ left: Step, _ right: Step, decisive: Bool) {
        self.left = left
        self.right = right
        self.decisive = decisive
    }

    override func run(_ evaluation: Evaluation) throws(EvaluationError) -> Value {
        var failure: EvaluationError?
        for side in [left, right] {
            do throws(EvaluationError) {
                guard case .bool(let value) = try side.run(evaluation) else { throw EvaluationError.noOverload }
                if value == decisive { return .bool(decisive) }
            } catch {
                if error.isOverBudget { throw error }
                failure = failure ?? error
            }
        }
        if let failure { throw failure }
        return .bool(!decisive)
    }
}

/// `c ? a : b`. A branch that is a variable, or a part of one, is counted without the variable itself.
final class ConditionalStep: Step, @unchecked Sendable {
    let condition: Step
    let yes: Step
    let no: Step
    override var isAttribute: Bool { true }
    init(_ condition: Step, _ yes: Step, _ no: Step) {
        self.condition = condition
        self.yes = yes
        self.no = no
    }
    override func run(_ evaluation: Evaluation) throws(EvaluationError) -> Value {
        guard case .bool(let value) = try condition.run(evaluation) else { throw .noOverload }
        let branch = value ? yes : no
        if branch.isAttribute, !(branch is ConditionalStep) { evaluation.refund(1) }
        return try branch.run(evaluation)
    }
}

/// True unless its operand is false: failures of a loop's accumulator do not end the loop.
final class NotStrictlyFalseStep: Step, @unchecked Sendable {
    let operand: Step
    init(_ operand: Step) { self.operand = operand }
    override func run(_ evaluation: Evaluation) throws(EvaluationError) -> Value {
        try evaluation.charge(1)
        do {
            if case .bool(false) = try operand.run(evaluation) { return .false }
        } catch {
            if error.isOverBudget { throw error }
        }
        return .true
    }
}

/// An operator that works on two values without a choice among overloads.
final class BinaryStep: Step, @unchecked Sendable {
    let left: Step
    let right: Step
    let function: String
    let operation: Arithmetic.Operation
    let price: RuntimePrice
    init(_ left: Step, _ right: Step, _ function: String, _ price: RuntimePrice, _ operation: @escaping Arithmetic.Operation) {
        self.left = left
        self.right = right
        self.function = function
        self.operation = operation
        self.price = price
    }
    override func run(_ evaluation: Evaluation) throws(EvaluationError) -> Value {
        let a: Value
        let b: Value
        do throws(EvaluationError) { a = try left.run(evaluation) } catch { throw try failed(error, evaluation) }
        do throws(EvaluationError) { b = try right.run(evaluation) } catch {
            try evaluation.charge(price.cost(a, .failure(error)))
            throw error
        }
        do throws(EvaluationError) {
            let result = try operation(a, b)
            try evaluation.charge(price.cost(a, b))
            return result
        } catch {
            if error.message == EvaluationError.noOverload.message { throw CallStep.noSuchOverload(function, [a, b]) }
            throw error
        }
    }

    /// A left side that failed: the right one is run and counted all the same.
    private func failed(_ error: EvaluationError, _ evaluation: Evaluation) throws(EvaluationError) -> EvaluationError {
        if error.isOverBudget { return error }
        var b = Value.failure(error)
        do throws(EvaluationError) { b = try right.run(evaluation) } catch { if error.isOverBudget { return error } }
        try evaluation.charge(price.cost(.failure(error), b))
        return error
    }
}

final class CallStep: Step, @unchecked Sendable {
    let function: String
    let overloads: [Overload]
    let arguments: [Step]
    let price: RuntimePrice
    init(_ function: String, _ overloads: [Overload], _ arguments: [Step], _ price: RuntimePrice) {
        self.function = function
        self.overloads = overloads
        self.arguments = arguments
        self.price = price
    }

    override func run(_ evaluation: Evaluation) throws(EvaluationError) -> Value {
        var values: [Value] = []
        values.reserveCapacity(arguments.count)
        var failure: EvaluationError?
        for argument in arguments {
            do throws(EvaluationError) { values.append(try argument.run(evaluation)) } catch {
                if error.isOverBudget || arguments.count > 2 { throw error }
                failure = failure ?? error
                values.append(.failure(error))
            }
        }
        if let failure {
            // Calls with one or two arguments are counted even when these fail.
            try evaluation.charge(price.cost(values, .failure(failure)))
            throw failure
        }
        guard let overload = overloads.first(where: { $0.accepts(values) }) else { throw CallStep.noSuchOverload(function, values) }
        do {
            let result = try overload.body(values)
            try evaluation.charge(price.cost(values, result))
            return result
        } catch let error as EvaluationError {
            if error.message == EvaluationError.noOverload.message { throw CallStep.noSuchOverload(function, values) }
            throw error
        } catch {
            throw EvaluationError("\(error)")
        }
    }

    static func noSuchOverload(_ function: String, _ values: [Value]) -> EvaluationError {
        EvaluationError("no such overload: \(function)(\(values.map(\.type.name).joined(separator: ", ")))")
    }
}

/// A loop's accumulator and what is added to it: the list grows in place.
final class AppendStep: Step, @unchecked Sendable {
    let slot: Int
    let items: [Step]
    init(slot: Int, items: [Step]) {
        self.slot = slot
        self.items = items
    }
    override func run(_ evaluation: Evaluation) throws(EvaluationError) -> Value {
        var added: [Value] = []
        for item in items { added.append(try item.run(evaluation)) }
        // The accumulator's variable, the list of one, the sum.
        try evaluation.charge(1 + Cost.listBase + 1)
        guard case .list(var list) = evaluation.slots[slot] else { throw .noOverload }
        evaluation.slots[slot] = .null
        list.append(added)
        return .list(list)
    }
}

/// A loop's accumulator and an entry for it: the map grows in place.
final class InsertStep: Step, @unchecked Sendable {
    let slot: Int
    let entry: [Step]
    init(slot: Int, entry: [Step]) {
        self.slot = slot
        self.entry = entry
    }
    override func run(_ evaluation: Evaluation) throws(EvaluationError) -> Value {
        var values: [Value] = []
        for step in entry { values.append(try step.run(evaluation)) }
        try evaluation.charge(2)
        guard case .map(let map) = evaluation.slots[slot], case .table(var table) = map.storage else { throw .noOverload }
        evaluation.slots[slot] = .null
        var entries = [(values[0], values[values.count - 1])]
        if values.count == 1 {
            guard case .map(let added) = values[0] else { throw .noOverload }
            entries = Array(added)
        }
        for (key, value) in entries where !table.insert(key, value) {
            throw EvaluationError("insert failed: key \(Rendering.text(key)) already exists")
        }
        return .map(MapValue(table))
    }
}

final class ListStep: Step, @unchecked Sendable {
    let items: [Step]
    let optional: Set<Int>
    init(_ items: [Step], optional: Set<Int>) {
        self.items = items
        self.optional = optional
    }
    override func run(_ evaluation: Evaluation) throws(EvaluationError) -> Value {
        var values: [Value] = []
        values.reserveCapacity(items.count)
        for (index, item) in items.enumerated() {
            let value = try item.run(evaluation)
            guard optional.contains(index) else {
                values.append(value)
                continue
            }
            guard case .optional(let inner) = value else {
                throw EvaluationError("cannot initialize optional list element from non-optional value \(Rendering.text(value))")
            }
            if let present = inner.value { values.append(present) }
        }
        try evaluation.charge(Cost.listBase)
        return .list(ListValue(values))
    }
}

final class MapStep: Step, @unchecked Sendable {
    let entries: [(key: Step, value: Step, isOptional: Bool)]
    init(_ entries: [(key: Step, value: Step, isOptional: Bool)]) { self.entries = entries }
    override func run(_ evaluation: Evaluation) throws(EvaluationError) -> Value {
        var table = MapTable()
        for entry in entries {
            let key = try entry.key.run(evaluation)
            var value = try entry.value.run(evaluation)
            if case .other = MapKey(key) { throw EvaluationError("unsupported key type") }
            if entry.isOptional {
                guard case .optional(let inner) = value else {
                    throw EvaluationError("cannot initialize optional entry '\(Rendering.text(key))' from non-optional value \(Rendering.text(value))")
                }
                guard let present = inner.value else { continue }
                value = present
            }
            if !table.insert(key, value) { throw EvaluationError("insert failed: key \(Rendering.text(key)) already exists") }
        }
        try evaluation.charge(Cost.mapBase)
        return .map(MapValue(table))
    }
}

final class ObjectStep: Step, @unchecked Sendable {
    let maker: any ObjectMaker
    let fields: [(name: String, value: Step, isOptional: Bool)]
    init(_ maker: any ObjectMaker, _ fields: [(name: String, value: Step, isOptional: Bool)]) {
        self.maker = maker
        self.fields = fields
    }
    override func run(_ evaluation: Evaluation) throws(EvaluationError) -> Value {
        var values: [(String, Value)] = []
        for field in fields {
            var value = try field.value.run(evaluation)
            if field.isOptional {
                guard case .optional(let inner) = value else {
                    throw EvaluationError("cannot initialize optional entry '\(field.name)' from non-optional value \(Rendering.text(value))")
                }
                guard let present = inner.value else { continue }
                value = present
            }
            values.append((field.name, value))
        }
        try evaluation.charge(Cost.objectBase)
        do { return try maker.make(values) } catch { throw (error as? EvaluationError) ?? EvaluationError("\(error)") }
    }
}
