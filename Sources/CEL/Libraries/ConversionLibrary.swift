import Core

/// Conversions between types, by the name of the type.
enum ConversionLibrary: FunctionLibrary {
    private static let a = CELType.parameter("A")

    static func declare(_ table: inout FunctionTable) {
        table.global("type", "type", [a], .type(a)) { .type($0[0].type) }
        table.global("dyn", "to_dyn", [a], .dyn) { $0[0] }
        numbers(&table)
        texts(&table)
        times(&table)
    }

    private static func failure(_ from: CELType, _ to: String) -> EvaluationError { EvaluationError("type conversion error from '\(from.name)' to '\(to)'") }

    private static func numbers(_ table: inout FunctionTable) {
        let ints: [(String, CELType)] = [
            ("int64_to_int64", .int), ("double_to_int64", .double), ("duration_to_int64", .duration), ("string_to_int64", .string),
            ("timestamp_to_int64", .timestamp), ("uint64_to_int64", .uint),
        ]
        for (id, type) in ints { table.global("int", id, [type], .int) { .int(try int($0[0])) } }
        let uints: [(String, CELType)] = [("uint64_to_uint64", .uint), ("double_to_uint64", .double), ("int64_to_uint64", .int), ("string_to_uint64", .string)]
        for (id, type) in uints { table.global("uint", id, [type], .uint) { .uint(try uint($0[0])) } }
        let doubles: [(String, CELType)] = [("double_to_double", .double), ("int64_to_double", .int), ("string_to_double", .string), ("uint64_to_double", .uint)]
        for (id, type) in doubles { table.global("double", id, [type], .double) { .double(try double($0[0])) } }
    }

    private static func int(_ value: Value) throws(EvaluationError) -> Int64 {
        switch value {
        case .int(let number): return number
        case .uint(let number):
            guard let out = Int64(exactly: number) else { throw .intOverflow }
            return out
        case .double(let number):
            // Both bounds are excluded, as cel-go's are.
            guard number > -9223372036854775808.0, number < 9223372036854775807.0 else { throw .intOverflow }
            return Int64(number)
        case .string(let text):
            guard let out = Int64(text) else { throw failure(.string, "int") }
            return out
        case .timestamp(let time): return time.seconds
        case .duration(let nanoseconds): return nanoseconds
        default: throw .noOverload
        }
    }

    private static func uint(_ value: Value) throws(EvaluationError) -> UInt64 {
        switch value {
        case .uint(let number): return number
        case .int(let number):
            guard number >= 0 else { throw .uintOverflow }
            return UInt64(number)
        case .double(let number):
            guard number >= 0, number < 18446744073709551615.0 else { throw .uintOverflow }
            return UInt64(number)
        case .string(let text):
            guard let out = UInt64(text) else { throw failure(.string, "uint") }
            return out
        default: throw .noOverload
        }
    }

    private static func double(_ value: Value) throws(EvaluationError) -> Double {
        switch value {
        case .double(let number): return number
        case .int(let number): return Double(number)
        case .uint(let number): return Double(number)
        case .string(let text):
            guard let out = Double(text) else { throw failure(.string, "double") }
            return out
        default: throw .noOverload
        }
    }

    private static func texts(_ table: inout FunctionTable) {
        table.global("bool", "bool_to_bool", [.bool], .bool) { $0[0] }
        table.global("bool", "string_to_bool", [.string], .bool) {
            switch try $0.string(0) {
            case "1", "t", "T", "TRUE", "true", "True": return .true
            case "0", "f", "F", "FALSE", "false", "False": return .false
            default: throw failure(.string, "bool")
            }
        }
        table.global("bytes", "bytes_to_bytes", [.bytes], .bytes) { $0[0] }
        table.global("bytes", "string_to_bytes", [.string], .bytes) { .bytes(Array(try $0.string(0).utf8)) }
        let types: [(String, CELType)] = [
            ("string_to_string", .string), ("bool_to_string", .bool), ("bytes_to_string", .bytes), ("double_to_string", .double),
            ("duration_to_string", .duration), ("int64_to_string", .int), ("timestamp_to_string", .timestamp), ("uint64_to_string", .uint),
        ]
        for (id, type) in types {
            table.global("string", id, [type], .string) { arguments in
                if case .bytes(let bytes) = arguments[0] {
                    guard let text = String(validating: bytes, as: UTF8.self) else {
                        throw EvaluationError("invalid UTF-8 in bytes, cannot convert to string")
                    }
                    return .string(text)
                }
                return .string(Rendering.text(arguments[0]))
            }
        }
    }

    private static func times(_ table: inout FunctionTable) {
        table.global("timestamp", "timestamp_to_timestamp", [.timestamp], .timestamp) { $0[0] }
        table.global("timestamp", "int64_to_timestamp", [.int], .timestamp) { .timestamp(try TimeText.checked(Timestamp(seconds: try $0.int(0)))) }
        table.global("timestamp", "string_to_timestamp", [.string], .timestamp) {
            guard let time = TimeText.timestamp(try $0.string(0)) else { throw failure(.string, "google.protobuf.Timestamp") }
            return .timestamp(try TimeText.checked(time))
        }
        table.global("duration", "duration_to_duration", [.duration], .duration) { $0[0] }
        table.global("duration", "int64_to_duration", [.int], .duration) { .duration(try $0.int(0)) }
        table.global("duration", "string_to_duration", [.string], .duration) {
            guard let length = TimeText.duration(try $0.string(0)) else { throw failure(.string, "google.protobuf.Duration") }
            return .duration(length)
        }
    }
}
