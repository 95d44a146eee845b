import Core

/// What literals get wrong that types do not say: arguments that can never be read (durations, times, patterns), and elements of
/// several types.
struct LiteralCheck {
    private let checked: CheckedExpression
    private var issues: ExpressionIssues
    /// Within arguments of `format`, which may be of any types.
    private var isFormatted = false

    static func run(_ checked: CheckedExpression, _ source: Source) throws(CompilationError) {
        var check = LiteralCheck(checked: checked, source: source)
        check.walk(checked.root)
        if !check.issues.isEmpty { throw check.issues.error }
    }

    private init(checked: CheckedExpression, source: Source) {
        self.checked = checked
        issues = ExpressionIssues(in: source)
    }

    private mutating func walk(_ expression: Expression) {
        switch expression.kind {
        case .literal, .ident: break
        case .select(let operand, _, _): walk(operand)
        case .call(let target, let function, let arguments):
            let outer = isFormatted
            if function == "format" { isFormatted = true }
            if let target { walk(target) }
            for argument in arguments { walk(argument) }
            isFormatted = outer
            if let text = LiteralCheck.argument(of: function, target, arguments), case .literal(.string(let value)) = text.kind,
                !LiteralCheck.isReadable(function, value)
            {
                issues.report("invalid \(function) argument", at: text.offset)
            }
        case .list(let items, let optional):
            for item in items { walk(item) }
            same(items.enumerated().map { ($0.element, optional.contains($0.offset)) })
        case .map(let entries):
            for entry in entries {
                walk(entry.key)
                walk(entry.value)
            }
            same(entries.map { ($0.key, false) })
            same(entries.map { ($0.value, $0.isOptional) })
        case .object(_, let fields): for field in fields { walk(field.value) }
        case .comprehension(let loop): for part in [loop.range, loop.initial, loop.condition, loop.step, loop.result] { walk(part) }
        }
    }

    private mutating func same(_ items: [(Expression, isOptional: Bool)]) {
        if isFormatted { return }
        func type(_ item: (Expression, isOptional: Bool)) -> CELType {
            let found = checked.type(item.0)
            return item.isOptional ? found.optionalValue ?? found : found
        }
        guard let first = items.first.map(type), let other = items.first(where: { type($0) != first }) else { return }
        issues.report("expected type '\(first)' but found '\(type(other))'", at: other.0.offset)
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
