/// One node of an expression's tree. The checker renames what it resolves; after planning the tree may go.
final class Expression {
    let id: Int
    /// Where it begins in the source, in code points.
    let offset: Int
    var kind: Kind
    /// How many nodes are above the deepest leaf: what walks need of the stack.
    let depth: Int

    indirect enum Kind {
        case literal(Value)
        case ident(String)
        case select(Expression, field: String, isTest: Bool)
        case call(target: Expression?, function: String, arguments: [Expression])
        case list([Expression], optional: Set<Int>)
        case map([Entry])
        case object(type: String, [Field])
        case comprehension(Comprehension)
    }

    struct Entry {
        let key: Expression
        let value: Expression
        let isOptional: Bool
    }

    struct Field {
        let name: String
        let offset: Int
        let value: Expression
        let isOptional: Bool
    }

    /// A loop over a range that folds into an accumulator: what all macros become.
    struct Comprehension {
        let range: Expression
        let variable: String
        /// With it, `variable` is the index or key and this the value.
        let secondVariable: String?
        let accumulator: String
        let initial: Expression
        let condition: Expression
        let step: Expression
        let result: Expression
    }

    init(id: Int, offset: Int, _ kind: Kind) {
        self.id = id
        self.offset = offset
        self.kind = kind
        depth = 1 + (Expression.parts(kind).map(\.depth).max() ?? 0)
    }

    private static func parts(_ kind: Kind) -> [Expression] {
        switch kind {
        case .literal, .ident: []
        case .select(let operand, _, _): [operand]
        case .call(let target, _, let arguments): arguments + (target.map { [$0] } ?? [])
        case .list(let items, _): items
        case .map(let entries): entries.flatMap { [$0.key, $0.value] }
        case .object(_, let fields): fields.map(\.value)
        case .comprehension(let loop): [loop.range, loop.initial, loop.condition, loop.step, loop.result]
        }
    }

    /// `a.b.c` of a plain chain; nil for anything else.
    var qualifiedName: String? {
        switch kind {
        case .ident(let name): name
        case .select(let operand, let field, false): operand.qualifiedName.map { "\($0).\(field)" }
        default: nil
        }
    }
}

/// Names of operators as functions, which reach messages.
enum Operator {
    static let conditional = "_?_:_"
    static let and = "_&&_"
    static let or = "_||_"
    static let not = "!_"
    static let negate = "-_"
    static let equals = "_==_"
    static let notEquals = "_!=_"
    static let less = "_<_"
    static let lessEquals = "_<=_"
    static let greater = "_>_"
    static let greaterEquals = "_>=_"
    static let add = "_+_"
    static let subtract = "_-_"
    static let multiply = "_*_"
    static let divide = "_/_"
    static let modulo = "_%_"
    static let index = "_[_]"
    static let isIn = "@in"
    static let notStrictlyFalse = "@not_strictly_false"
    static let optionalSelect = "_?._"
    static let optionalIndex = "_[?_]"
    static let mapInsert = "cel.@mapInsert"
    static let accumulator = "@result"
}
