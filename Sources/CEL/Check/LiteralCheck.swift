import Core

/// Arguments written in the expression that can never be read: durations, times and patterns.
enum LiteralCheck {
    static func run(_ checked: CheckedExpression, _ source: Source) throws(CompilationError) {
        var issues: [ExpressionIssue] = []
        walk(checked.root, source, &issues)
        if !issues.isEmpty { throw CompilationError(issues) }
    }

    private static func walk(_ expression: Expression, _ source: Source, _ issues: inout [ExpressionIssue]) {
        switch expression.kind {
        case .literal, .ident: break
        case .select(let operand, _, _): walk(operand, source, &issues)
        case .call(let target, let function, let arguments):
            if let target { walk(target, source, &issues) }
            for argument in arguments { walk(argument, source, &issues) }
            if let text = argument(of: function, target, arguments), case .literal(.string(let value)) = text.kind, !isReadable(function, value) {
                issues.append(ExpressionIssue("invalid \(function) argument", at: text.offset, in: source))
            }
        case .list(let items, _): for item in items { walk(item, source, &issues) }
        case .map(let entries):
            for entry in entries {
                walk(entry.key, source, &issues)
                walk(entry.value, source, &issues)
            }
        case .object(_, let fields): for field in fields { walk(field.value, source, &issues) }
        case .comprehension(let loop):
            for part in [loop.range, loop.initial, loop.condition, loop.step, loop.result] { walk(part, source, &issues) }
        }
    }

    private static func argument(of function: String, _ target: Expression?, _ arguments: [Expression]) -> Expression? {
        switch function {
        case "duration", "timestamp": arguments.count == 1 && target == nil ? arguments[0] : nil
        case "matches": target == nil ? (arguments.count == 2 ? arguments[1] : nil) : arguments.first
        default: nil
        }
    }

    private static func isReadable(_ function: String, _ text: String) -> Bool {
        switch function {
        case "duration": TimeText.duration(text) != nil
        case "timestamp": TimeText.timestamp(text) != nil
        default: (try? RegularExpression(text)) != nil
        }
    }
}
