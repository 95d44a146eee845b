import Core

/// What the language itself does with strings.
enum TextLibrary: FunctionLibrary {
    static func declare(_ table: inout FunctionTable) {
        table.member("contains", "contains_string", [.string, .string], .bool) { .bool(Text.contains(try $0.string(0), try $0.string(1))) }
        table.member("startsWith", "starts_with_string", [.string, .string], .bool) { .bool(try $0.string(0).utf8.starts(with: try $0.string(1).utf8)) }
        table.member("endsWith", "ends_with_string", [.string, .string], .bool) {
            .bool(try $0.string(0).utf8.reversed().starts(with: try $0.string(1).utf8.reversed()))
        }
    }
}

/// Regular expressions of RE2's language.
enum PatternLibrary: FunctionLibrary {
    static func declare(_ table: inout FunctionTable) {
        table.global("matches", "matches", [.string, .string], .bool, matches)
        table.member("matches", "matches_string", [.string, .string], .bool, matches)
        table.member("find", "string_find_string", [.string, .string], .string) {
            .string(try read(try $0.string(1)).first(in: try $0.string(0)) ?? "")
        }
        let all: Overload.Body = { .strings(try read(try $0.string(1)).all(in: try $0.string(0), limit: try limit($0))) }
        table.member("findAll", "string_find_all_string", [.string, .string], .list(.string), all)
        table.member("findAll", "string_find_all_string_int", [.string, .string, .int], .list(.string), all)
    }

    /// The overloads of a function for a pattern known beforehand; nil for a pattern that cannot be read.
    static func overloads(_ function: String, compiled pattern: String) -> [Overload]? {
        guard let pattern = try? RegularExpression(pattern) else { return nil }
        switch function {
        case "matches":
            return [Overload("matches_string", [.string, .string], .bool) { .bool(pattern.matches(try $0.string(0))) }]
        case "find":
            return [Overload("string_find_string", [.string, .string], .string) { .string(pattern.first(in: try $0.string(0)) ?? "") }]
        default:
            let all: Overload.Body = { .strings(pattern.all(in: try $0.string(0), limit: try limit($0))) }
            return [
                Overload("string_find_all_string", [.string, .string], .list(.string), all),
                Overload("string_find_all_string_int", [.string, .string, .int], .list(.string), all),
            ]
        }
    }

    private static let matches: Overload.Body = { arguments in
        do {
            return .bool(try RegularExpression(try arguments.string(1)).matches(try arguments.string(0)))
        } catch let failure as RegularExpression.Failure {
            throw EvaluationError(failure.description)
        }
    }

    private static func read(_ pattern: String) throws(EvaluationError) -> RegularExpression {
        do { return try RegularExpression(pattern) } catch { throw EvaluationError("Illegal regex: \(error)") }
    }

    private static func limit(_ arguments: [Value]) throws(EvaluationError) -> Int? {
        guard arguments.count == 3 else { return nil }
        let count = try arguments.int(2)
        return count < 0 ? nil : Int(count)
    }
}
