import Core

/// The operators on numbers, text, times and lists. Overflow is an error, never a wrong number.
enum Arithmetic {
    typealias Operation = @Sendable (Value, Value) throws(EvaluationError) -> Value

    static func add(_ a: Value, _ b: Value) throws(EvaluationError) -> Value {
        switch (a, b) {
        case (.int(let x), .int(let y)): return .int(try int(x.addingReportingOverflow(y)))
        case (.uint(let x), .uint(let y)): return .uint(try uint(x.addingReportingOverflow(y)))
        case (.double(let x), .double(let y)): return .double(x + y)
        case (.string(let x), .string(let y)): return .string(x + y)
        case (.bytes(let x), .bytes(let y)): return .bytes(x + y)
        case (.list(let x), .list(let y)): return .list(x.adding(y))
        case (.timestamp(let x), .duration(let y)): return .timestamp(try TimeText.adding(x, y))
        case (.duration(let x), .timestamp(let y)): return .timestamp(try TimeText.adding(y, x))
        case (.duration(let x), .duration(let y)): return .duration(try duration(x.addingReportingOverflow(y)))
        default: throw .noOverload
        }
    }

    static func subtract(_ a: Value, _ b: Value) throws(EvaluationError) -> Value {
        switch (a, b) {
        case (.int(let x), .int(let y)): return .int(try int(x.subtractingReportingOverflow(y)))
        case (.uint(let x), .uint(let y)): return .uint(try uint(x.subtractingReportingOverflow(y)))
        case (.double(let x), .double(let y)): return .double(x - y)
        case (.timestamp(let x), .timestamp(let y)): return .duration(try TimeText.difference(x, y))
        case (.timestamp(let x), .duration(let y)):
            guard y != .min else { throw .timestampOverflow }
            return .timestamp(try TimeText.adding(x, -y))
        case (.duration(let x), .duration(let y)): return .duration(try duration(x.subtractingReportingOverflow(y)))
        default: throw .noOverload
        }
    }

    static func multiply(_ a: Value, _ b: Value) throws(EvaluationError) -> Value {
        switch (a, b) {
        case (.int(let x), .int(let y)): return .int(try int(x.multipliedReportingOverflow(by: y)))
        case (.uint(let x), .uint(let y)): return .uint(try uint(x.multipliedReportingOverflow(by: y)))
        case (.double(let x), .double(let y)): return .double(x * y)
        default: throw .noOverload
        }
    }

    static func divide(_ a: Value, _ b: Value) throws(EvaluationError) -> Value {
        switch (a, b) {
        case (.int(let x), .int(let y)):
            if y == 0 { throw .divisionByZero }
            return .int(try int(x.dividedReportingOverflow(by: y)))
        case (.uint(let x), .uint(let y)):
            if y == 0 { throw .divisionByZero }
            return .uint(x / y)
        case (.double(let x), .double(let y)): return .double(x / y)
        default: throw .noOverload
        }
    }

    static func modulo(_ a: Value, _ b: Value) throws(EvaluationError) -> Value {
        switch (a, b) {
        case (.int(let x), .int(let y)):
            if y == 0 { throw .modulusByZero }
            return .int(try int(x.remainderReportingOverflow(dividingBy: y)))
        case (.uint(let x), .uint(let y)):
            if y == 0 { throw .modulusByZero }
            return .uint(x % y)
        default: throw .noOverload
        }
    }

    static func negate(_ a: Value) throws(EvaluationError) -> Value {
        switch a {
        case .int(let x): return .int(try int(Int64(0).subtractingReportingOverflow(x)))
        case .double(let x): return .double(-x)
        case .duration(let x): return .duration(try duration(Int64(0).subtractingReportingOverflow(x)))
        default: throw .noOverload
        }
    }

    static func contains(_ item: Value, _ container: Value) throws(EvaluationError) -> Value {
        switch container {
        case .list(let list):
            for index in 0..<list.count where list[index].equals(item) { return .true }
            return .false
        case .map(let map): return .bool(map.contains(item))
        default: throw .noOverload
        }
    }

    static func element(_ container: Value, _ key: Value) throws(EvaluationError) -> Value {
        switch container {
        case .list(let list):
            let index = try position(key)
            guard index >= 0, index < list.count else { throw EvaluationError("index out of bounds: \(index)") }
            return try Arithmetic.sound(list[Int(index)])
        case .map(let map):
            guard let found = map.find(key) else { throw .noSuchKey(Rendering.text(key)) }
            return try Arithmetic.sound(found)
        case .optional(let optional):
            guard let inner = optional.value else { return .none }
            return try optionalElement(inner, key)
        default: throw .noOverload
        }
    }

    static func optionalElement(_ container: Value, _ key: Value) throws(EvaluationError) -> Value {
        switch container {
        case .list(let list):
            let index = try position(key)
            return index >= 0 && index < list.count ? .some(try Arithmetic.sound(list[Int(index)])) : .none
        case .map(let map): return try map.find(key).map { value throws(EvaluationError) in .some(try Arithmetic.sound(value)) } ?? .none
        case .optional(let optional):
            guard let inner = optional.value else { return .none }
            return try optionalElement(inner, key)
        default: throw .noOverload
        }
    }

    static func sound(_ value: Value) throws(EvaluationError) -> Value {
        if case .failure(let error) = value { throw error }
        return value
    }

    private static func position(_ key: Value) throws(EvaluationError) -> Int64 {
        switch key {
        case .int(let index): return index
        case .uint(let index): return Int64(clamping: index)
        case .double(let index):
            guard let whole = Int64(exactly: index) else { throw EvaluationError("unsupported index value \(NumberText.general(index)) in list") }
            return whole
        default: throw EvaluationError("unsupported index type '\(key.type.name)' in list")
        }
    }

    private static func int(_ result: (partialValue: Int64, overflow: Bool)) throws(EvaluationError) -> Int64 {
        if result.overflow { throw .intOverflow }
        return result.partialValue
    }
    private static func uint(_ result: (partialValue: UInt64, overflow: Bool)) throws(EvaluationError) -> UInt64 {
        if result.overflow { throw .uintOverflow }
        return result.partialValue
    }
    private static func duration(_ result: (partialValue: Int64, overflow: Bool)) throws(EvaluationError) -> Int64 {
        if result.overflow { throw .durationOverflow }
        return result.partialValue
    }
}

/// Values as messages show them.
enum Rendering {
    static func text(_ value: Value) -> String {
        switch value {
        case .null: "null"
        case .bool(let value): value ? "true" : "false"
        case .int(let value): "\(value)"
        case .uint(let value): "\(value)"
        case .double(let value): NumberText.general(value)
        case .string(let value): value
        case .bytes(let value): String(decoding: value, as: UTF8.self)
        case .timestamp(let value): TimeText.text(value)
        case .duration(let value): TimeText.text(duration: value)
        case .list(let list): "[" + list.map(text).joined(separator: ", ") + "]"
        case .map(let map): "{" + map.map { "\(text($0.0)): \(text($0.1))" }.joined(separator: ", ") + "}"
        case .type(let type): type.name
        case .optional(let optional): optional.value.map { "optional(\(text($0)))" } ?? "optional.none()"
        case .opaque(let value): value.type.name
        case .failure(let error): error.message
        }
    }
}
