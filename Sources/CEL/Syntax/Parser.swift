/// Reads an expression into its tree, macros expanded. Depth is bounded, since expressions come from clients.
struct Parser {
    private let source: Source
    private var tokens: [Token] = []
    private var at = 0
    private var depth = 0
    private var issues: ExpressionIssues
    private var factory = ExpressionFactory()

    private static let deepest = 250
    /// Of the tree: long chains of operators and selections nest without brackets.
    private static let tallest = 800
    package static let longest = 100_000
    private static let reserved: Set<String> = [
        "as", "break", "const", "continue", "else", "false", "for", "function", "if", "import", "in", "let", "loop", "package", "namespace", "null", "return",
        "true", "var", "void", "while",
    ]

    /// Ends the reading: the issue is recorded.
    private struct Stop: Error {}
    private let binds: Bool

    /// `binds` knows the macro `cel.bind`.
    static func parse(_ text: String, binds: Bool = false) throws(CompilationError) -> (Expression, Source) {
        let source = Source(text)
        var parser = Parser(source: source, binds: binds)
        if source.scalars.count > longest {
            parser.report("expression code point size exceeds limit: size: \(source.scalars.count), limit \(longest)", -1)
            throw parser.issues.error
        }
        do {
            var lexer = Lexer(source)
            parser.tokens = try lexer.tokens()
        } catch {
            parser.report(error.message, error.offset)
            throw parser.issues.error
        }
        let expression = try? parser.whole()
        guard let expression, parser.issues.isEmpty else { throw parser.issues.error }
        return (expression, source)
    }

    private init(source: Source, binds: Bool) {
        self.source = source
        issues = ExpressionIssues(in: source)
        self.binds = binds
    }

    // MARK: Words

    private var token: Token { tokens[at] }

    private func isNext(_ symbol: String) -> Bool { token.kind == .symbol(symbol) }

    private mutating func take(_ symbol: String) -> Bool {
        guard isNext(symbol) else { return false }
        at += 1
        return true
    }

    private mutating func expect(_ symbol: String) throws(Stop) {
        if !take(symbol) { throw unexpected(expecting: "'\(symbol)'") }
    }

    private mutating func report(_ message: String, _ offset: Int) { issues.report(message, at: offset) }

    private mutating func fail(_ message: String, _ offset: Int) -> Stop {
        report(message, offset)
        return Stop()
    }

    private var shownToken: String {
        if token.kind == .end { return "<EOF>" }
        var out = String.UnicodeScalarView()
        out.append(contentsOf: source.scalars[token.offset..<token.end])
        return String(out)
    }

    private static let starters = "{'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}"

    private mutating func unexpected(expecting: String) -> Stop {
        fail("Syntax error: mismatched input '\(shownToken)' expecting \(expecting)", token.offset)
    }

    // MARK: Levels

    private mutating func whole() throws(Stop) -> Expression {
        let expression = try conditional()
        if token.kind != .end {
            throw fail("Syntax error: extraneous input '\(shownToken)' expecting <EOF>", token.offset)
        }
        return try bounded(expression)
    }

    private mutating func conditional() throws(Stop) -> Expression {
        depth += 1
        defer { depth -= 1 }
        if depth > Parser.deepest { throw fail("expression recursion limit exceeded: \(Parser.deepest)", -1) }
        let condition = try chain("||", Operator.or) { parser throws(Stop) in
            try parser.chain("&&", Operator.and) { inner throws(Stop) in try inner.relation() }
        }
        guard isNext("?") else { return condition }
        let offset = token.offset
        at += 1
        let yes = try conditional()
        try expect(":")
        let no = try conditional()
        return factory.call(Operator.conditional, [condition, yes, no], at: offset)
    }

    /// A chain of `&&` or `||` becomes a balanced tree, so that long chains do not nest deeply.
    private mutating func chain(_ symbol: String, _ function: String, _ part: (inout Parser) throws(Stop) -> Expression) throws(Stop) -> Expression {
        var terms = [try part(&self)]
        var offsets: [Int] = []
        while isNext(symbol) {
            offsets.append(token.offset)
            at += 1
            terms.append(try part(&self))
        }
        return balanced(terms[...], offsets[...], function)
    }

    private mutating func balanced(_ terms: ArraySlice<Expression>, _ offsets: ArraySlice<Int>, _ function: String) -> Expression {
        guard terms.count > 1 else { return terms[terms.startIndex] }
        let middle = offsets.count / 2
        let left = balanced(terms.prefix(middle + 1), offsets.prefix(middle), function)
        let right = balanced(terms.dropFirst(middle + 1), offsets.dropFirst(middle + 1), function)
        return factory.call(function, [left, right], at: offsets[offsets.startIndex + middle])
    }

    private mutating func relation() throws(Stop) -> Expression {
        var left = try sum()
        while case .symbol(let symbol) = token.kind, let function = Parser.relations[symbol] {
            let offset = token.offset
            at += 1
            left = try bounded(factory.call(function, [left, try sum()], at: offset))
        }
        return left
    }

    private static let relations = [
        "<": Operator.less, "<=": Operator.lessEquals, ">": Operator.greater, ">=": Operator.greaterEquals, "==": Operator.equals, "!=": Operator.notEquals,
        "in": Operator.isIn,
    ]

    private mutating func sum() throws(Stop) -> Expression {
        var left = try product()
        while isNext("+") || isNext("-") {
            let function = isNext("+") ? Operator.add : Operator.subtract
            let offset = token.offset
            at += 1
            left = try bounded(factory.call(function, [left, try product()], at: offset))
        }
        return left
    }

    private mutating func product() throws(Stop) -> Expression {
        var left = try unary()
        while isNext("*") || isNext("/") || isNext("%") {
            let function = isNext("*") ? Operator.multiply : isNext("/") ? Operator.divide : Operator.modulo
            let offset = token.offset
            at += 1
            left = try bounded(factory.call(function, [left, try unary()], at: offset))
        }
        return left
    }

    private mutating func unary() throws(Stop) -> Expression {
        let offset = token.offset
        if isNext("!") {
            var count = 0
            while take("!") { count += 1 }
            let operand = try member()
            return count % 2 == 0 ? operand : factory.call(Operator.not, [operand], at: offset)
        }
        guard isNext("-") else { return try member() }
        var count = 0
        while isNext("-") {
            // The last minus before a number belongs to it, so that the smallest integer can be written.
            if isNumber(tokens[at + 1].kind) {
                let literal = try member()
                return count % 2 == 0 ? literal : factory.call(Operator.negate, [literal], at: offset)
            }
            at += 1
            count += 1
        }
        let operand = try member()
        return count % 2 == 0 ? operand : factory.call(Operator.negate, [operand], at: offset)
    }

    private func isNumber(_ kind: Token.Kind) -> Bool {
        switch kind {
        case .int, .double: true
        default: false
        }
    }

    private mutating func member() throws(Stop) -> Expression {
        var operand = try primary()
        while true {
            let offset = token.offset
            if take(".") {
                operand = try selection(of: operand, offset)
            } else if take("[") {
                let isOptional = take("?")
                let index = try conditional()
                try expect("]")
                operand = factory.call(isOptional ? Operator.optionalIndex : Operator.index, [operand, index], at: offset)
            } else {
                return operand
            }
            operand = try bounded(operand)
        }
    }

    private mutating func bounded(_ expression: Expression) throws(Stop) -> Expression {
        if expression.depth > Parser.tallest { throw fail("expression recursion limit exceeded: \(Parser.tallest)", -1) }
        return expression
    }

    private mutating func selection(of operand: Expression, _ offset: Int) throws(Stop) -> Expression {
        if take("?") {
            let at = token.offset
            let name = try fieldName()
            return factory.call(Operator.optionalSelect, [operand, factory.make(.literal(.string(name)), at: at)], at: offset)
        }
        let isEscaped = if case .escapedIdentifier = token.kind { true } else { false }
        let name = try fieldName()
        guard !isEscaped, isNext("(") else { return factory.make(.select(operand, field: name, isTest: false), at: offset) }
        let open = token.offset
        at += 1
        return try call(operand, name, try arguments(), at: open)
    }

    private mutating func fieldName() throws(Stop) -> String {
        switch token.kind {
        case .identifier(let name):
            if name == "true" || name == "false" || name == "null" { break }
            at += 1
            return name
        case .escapedIdentifier(let name):
            at += 1
            return name
        default: break
        }
        throw fail("Syntax error: no viable alternative at input '.\(shownToken)'", token.offset)
    }

    private mutating func arguments() throws(Stop) -> [Expression] {
        var out: [Expression] = []
        if take(")") { return out }
        repeat { out.append(try conditional()) } while take(",")
        try expect(")")
        return out
    }

    private mutating func call(_ target: Expression?, _ name: String, _ arguments: [Expression], at offset: Int) throws(Stop) -> Expression {
        switch Macros.expand(name, target, arguments, at: offset, binds: binds, &factory) {
        case .expression(let expanded): return expanded
        case .failure(let message, let place): throw fail(message, place)
        case .notAMacro:
            return factory.make(.call(target: target, function: name, arguments: arguments), at: offset)
        }
    }

    // MARK: Primaries

    private mutating func primary() throws(Stop) -> Expression {
        let offset = token.offset
        switch token.kind {
        case .int, .uint, .double, .string, .bytes: return try constant(offset, isNegative: false)
        case .symbol("-"):
            at += 1
            return try constant(offset, isNegative: true)
        case .symbol("("):
            at += 1
            let inside = try conditional()
            try expect(")")
            return inside
        case .symbol("["):
            at += 1
            return try list(offset)
        case .symbol("{"):
            at += 1
            return try map(offset)
        case .symbol("."):
            at += 1
            return try name(prefix: ".", offset)
        case .identifier: return try name(prefix: "", offset)
        default: throw unexpected(expecting: Parser.starters)
        }
    }

    private mutating func name(prefix: String, _ offset: Int) throws(Stop) -> Expression {
        guard case .identifier(let word) = token.kind else { throw unexpected(expecting: "IDENTIFIER") }
        at += 1
        if prefix.isEmpty {
            switch word {
            case "true": return factory.make(.literal(.bool(true)), at: offset)
            case "false": return factory.make(.literal(.bool(false)), at: offset)
            case "null": return factory.make(.literal(.null), at: offset)
            default: break
            }
        }
        if let (type, brace) = objectName(word) { return try object(prefix + type, brace) }
        if Parser.reserved.contains(word) { throw fail("reserved identifier: \(word)", offset) }
        if isNext("(") {
            let open = token.offset
            at += 1
            return try call(nil, prefix + word, try arguments(), at: open)
        }
        return factory.make(.ident(prefix + word), at: offset)
    }

    /// `a.b.C{`: the whole name when a brace follows it.
    private mutating func objectName(_ first: String) -> (String, Int)? {
        var name = first
        var ahead = at
        while tokens[ahead].kind == .symbol("."), case .identifier(let part) = tokens[ahead + 1].kind {
            name += ".\(part)"
            ahead += 2
        }
        guard tokens[ahead].kind == .symbol("{") else { return nil }
        at = ahead + 1
        return (name, tokens[ahead].offset)
    }

    private mutating func object(_ type: String, _ offset: Int) throws(Stop) -> Expression {
        var fields: [Expression.Field] = []
        while !isNext("}") {
            let isOptional = take("?")
            let name = try fieldName()
            let colon = token.offset
            try expect(":")
            fields.append(.init(name: name, offset: colon, value: try conditional(), isOptional: isOptional))
            if !take(",") { break }
        }
        try expect("}")
        return factory.make(.object(type: type, fields), at: offset)
    }

    private mutating func list(_ offset: Int) throws(Stop) -> Expression {
        var items: [Expression] = []
        var optional: Set<Int> = []
        while !isNext("]") {
            if take("?") { optional.insert(items.count) }
            items.append(try conditional())
            if !take(",") { break }
        }
        try expect("]")
        return factory.make(.list(items, optional: optional), at: offset)
    }

    private mutating func map(_ offset: Int) throws(Stop) -> Expression {
        var entries: [Expression.Entry] = []
        while !isNext("}") {
            let isOptional = take("?")
            let key = try conditional()
            try expect(":")
            entries.append(.init(key: key, value: try conditional(), isOptional: isOptional))
            if !take(",") { break }
        }
        try expect("}")
        return factory.make(.map(entries), at: offset)
    }

    private mutating func constant(_ offset: Int, isNegative: Bool) throws(Stop) -> Expression {
        let sign = isNegative ? "-" : ""
        let value: Value
        switch token.kind {
        case .int(let digits):
            let isHex = digits.hasPrefix("0x")
            guard let number = Int64(sign + (isHex ? digits.dropFirst(2) : digits[...]), radix: isHex ? 16 : 10) else {
                throw fail("invalid int literal", offset)
            }
            value = .int(number)
        case .uint(let digits):
            let isHex = digits.hasPrefix("0x")
            guard let number = UInt64(isHex ? digits.dropFirst(2) : digits[...], radix: isHex ? 16 : 10) else { throw fail("invalid uint literal", offset) }
            value = .uint(number)
        case .double(let digits):
            guard let number = Double(sign + digits), number.isFinite else { throw fail("invalid double literal", offset) }
            value = .double(number)
        case .string(let text): value = .string(text)
        case .bytes(let bytes): value = .bytes(bytes)
        default: throw unexpected(expecting: Parser.starters)
        }
        at += 1
        return factory.make(.literal(value), at: offset)
    }
}
