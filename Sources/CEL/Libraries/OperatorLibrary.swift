/// The operators and what they take. Most are run without overloads; their bodies serve values whose types are known late.
enum OperatorLibrary: FunctionLibrary {
    private static let a = CELType.parameter("A")
    private static let b = CELType.parameter("B")

    static func declare(_ table: inout FunctionTable) {
        table.global(Operator.conditional, "conditional", [.bool, a, a], a) { _ in .null }
        table.global(Operator.and, "logical_and", [.bool, .bool], .bool) { _ in .null }
        table.global(Operator.or, "logical_or", [.bool, .bool], .bool) { _ in .null }
        table.global(Operator.notStrictlyFalse, "not_strictly_false", [.bool], .bool) { _ in .true }
        table.global(Operator.not, "logical_not", [.bool], .bool) {
            guard case .bool(let value) = $0[0] else { throw EvaluationError.noOverload }
            return .bool(!value)
        }
        table.global(Operator.equals, "equals", [a, a], .bool) { .bool($0[0].equals($0[1])) }
        table.global(Operator.notEquals, "not_equals", [a, a], .bool) { .bool(!$0[0].equals($0[1])) }
        arithmetic(&table)
        comparisons(&table)
        containers(&table)
    }

    private static func arithmetic(_ table: inout FunctionTable) {
        let add: [(String, CELType, CELType, CELType)] = [
            ("add_bytes", .bytes, .bytes, .bytes), ("add_double", .double, .double, .double), ("add_duration_duration", .duration, .duration, .duration),
            ("add_duration_timestamp", .duration, .timestamp, .timestamp), ("add_timestamp_duration", .timestamp, .duration, .timestamp),
            ("add_int64", .int, .int, .int), ("add_list", .list(a), .list(a), .list(a)), ("add_string", .string, .string, .string),
            ("add_uint64", .uint, .uint, .uint),
        ]
        for (id, left, right, result) in add { table.global(Operator.add, id, [left, right], result) { try Arithmetic.add($0[0], $0[1]) } }
        let subtract: [(String, CELType, CELType, CELType)] = [
            ("subtract_double", .double, .double, .double), ("subtract_duration_duration", .duration, .duration, .duration), ("subtract_int64", .int, .int, .int),
            ("subtract_timestamp_duration", .timestamp, .duration, .timestamp), ("subtract_timestamp_timestamp", .timestamp, .timestamp, .duration),
            ("subtract_uint64", .uint, .uint, .uint),
        ]
        for (id, left, right, result) in subtract { table.global(Operator.subtract, id, [left, right], result) { try Arithmetic.subtract($0[0], $0[1]) } }
        for (name, type) in [("double", CELType.double), ("int64", .int), ("uint64", .uint)] {
            table.global(Operator.multiply, "multiply_\(name)", [type, type], type) { try Arithmetic.multiply($0[0], $0[1]) }
            table.global(Operator.divide, "divide_\(name)", [type, type], type) { try Arithmetic.divide($0[0], $0[1]) }
            if type != .double { table.global(Operator.modulo, "modulo_\(name)", [type, type], type) { try Arithmetic.modulo($0[0], $0[1]) } }
            if type != .uint { table.global(Operator.negate, "negate_\(name)", [type], type) { try Arithmetic.negate($0[0]) } }
        }
    }

    private static func comparisons(_ table: inout FunctionTable) {
        let numbers: [(String, CELType)] = [("int64", .int), ("uint64", .uint), ("double", .double)]
        var pairs: [(String, CELType, CELType)] = [("bool", .bool, .bool), ("string", .string, .string), ("bytes", .bytes, .bytes)]
        pairs += [("timestamp", .timestamp, .timestamp), ("duration", .duration, .duration)]
        for (name, type) in numbers {
            for (other, second) in numbers { pairs.append((name == other ? name : "\(name)_\(other)", type, second)) }
        }
        for (name, left, right) in pairs {
            table.global(Operator.less, "less_\(name)", [left, right], .bool) { .bool(try $0[0].order($0[1]) < 0) }
            table.global(Operator.lessEquals, "less_equals_\(name)", [left, right], .bool) { .bool(try $0[0].order($0[1]) <= 0) }
            table.global(Operator.greater, "greater_\(name)", [left, right], .bool) { .bool(try $0[0].order($0[1]) > 0) }
            table.global(Operator.greaterEquals, "greater_equals_\(name)", [left, right], .bool) { .bool(try $0[0].order($0[1]) >= 0) }
        }
    }

    private static func containers(_ table: inout FunctionTable) {
        table.global(Operator.isIn, "in_list", [a, .list(a)], .bool) { try Arithmetic.contains($0[0], $0[1]) }
        table.global(Operator.isIn, "in_map", [a, .map(a, b)], .bool) { try Arithmetic.contains($0[0], $0[1]) }
        table.global(Operator.index, "index_list", [.list(a), .int], a) { try Arithmetic.element($0[0], $0[1]) }
        table.global(Operator.index, "index_map", [.map(a, b), a], b) { try Arithmetic.element($0[0], $0[1]) }
        table.global(Operator.index, "optional_list_index_int", [.optional(.list(a)), .int], .optional(a)) { try Arithmetic.element($0[0], $0[1]) }
        table.global(Operator.index, "optional_map_index_value", [.optional(.map(a, b)), a], .optional(b)) { try Arithmetic.element($0[0], $0[1]) }
        let optional: [(String, CELType, CELType, CELType)] = [
            ("list_optindex_optional_int", .list(a), .int, .optional(a)), ("optional_list_optindex_optional_int", .optional(.list(a)), .int, .optional(a)),
            ("map_optindex_optional_value", .map(a, b), a, .optional(b)), ("optional_map_optindex_optional_value", .optional(.map(a, b)), a, .optional(b)),
        ]
        for (id, container, key, result) in optional {
            table.global(Operator.optionalIndex, id, [container, key], result) { try Arithmetic.optionalElement($0[0], $0[1]) }
        }
        table.global(Operator.mapInsert, "cel_@mapInsert_map_key_value", [.map(a, b), a, b], .map(a, b)) { _ in .null }
        table.global(Operator.mapInsert, "cel_@mapInsert_map_map", [.map(a, b), .map(a, b)], .map(a, b)) { _ in .null }
        for (name, type) in [("bytes", CELType.bytes), ("list", .list(a)), ("map", .map(a, b)), ("string", .string)] {
            let body: Overload.Body = { .int(Int64($0[0].size)) }
            table.global("size", "size_\(name)", [type], .int, body)
            table.member("size", "\(name)_size", [type], .int, body)
        }
    }
}
