import CEL
import Machinery
import Tree

/// Expressions over the claims of a token, or over the user that was made of them.
struct ClaimExpression: Sendable {
    /// Why an expression cannot be used.
    struct Problem: Error { let detail: String }

    let text: String
    private let program: Program

    private static let claims = Environment.kubernetes.declaring("claims", .map(.string, .dyn))
    private static let user: Environment = {
        let texts = FixedSchema(listOf: .string)
        return Environment.kubernetes.declaring(
            "user", FixedSchema(object: "kubernetes.UserInfo", ["username": .string, "uid": .string, "groups": texts, "extra": FixedSchema(mapOf: texts)]))
    }()

    /// `returning` lists the types that a result may have; what is only known later is taken too.
    init(claims text: String, returning types: [CELType]) throws(Problem) { try self.init(text, ClaimExpression.claims, types) }
    init(user text: String) throws(Problem) { try self.init(text, ClaimExpression.user, [.bool]) }

    private init(_ text: String, _ environment: Environment, _ types: [CELType]) throws(Problem) {
        self.text = text
        do { program = try Program.compile(text, in: environment) } catch { throw Problem(detail: "compilation failed: \(error.description)") }
        let type = program.type
        let fits = type == .dyn || types.contains { wanted in
            if case .list = wanted, case .list(let element) = type { return element == .string || element == .dyn }
            return wanted == type
        }
        guard fits else {
            let names = types.map(\.description)
            throw Problem(detail: "must evaluate to \(names.count == 1 ? names[0] : "one of [\(names.joined(separator: " "))]")")
        }
    }

    /// Whether it looks at a claim, as far as its text tells.
    func uses(claim: String) -> Bool {
        for form in ["claims.\(claim)", "claims[\"\(claim)\"]", "claims['\(claim)']", "claims.?\(claim)"] {
            var rest = text[...]
            while let range = rest.firstRange(of: form) {
                rest = rest[range.upperBound...]
                if form.hasSuffix("]") || !(rest.first.map { $0.isLetter || $0.isNumber || $0 == "_" } ?? false) { return true }
            }
        }
        return false
    }

    func run(_ value: Node) throws(EvaluationError) -> Value {
        switch program.run([Value(value)]).result {
        case .success(let value): return value
        case .failure(let error): throw error
        }
    }

    func holds(_ value: Node) throws(EvaluationError) -> Bool {
        guard case .bool(let holds) = try run(value) else { throw EvaluationError("validation expression must return a boolean") }
        return holds
    }

    func string(_ value: Node) throws(EvaluationError) -> String {
        guard case .string(let text) = try run(value) else { throw EvaluationError("expression must return a string") }
        return text
    }

    /// One string or several; none for null and for empty ones.
    func strings(_ value: Node) throws(EvaluationError) -> [String] {
        switch try run(value) {
        case .null: return []
        case .string(let text): return text.isEmpty ? [] : [text]
        case .list(let items):
            var out: [String] = []
            for item in items {
                guard case .string(let text) = item else { throw EvaluationError("expression must return a string or a list of strings") }
                if !text.isEmpty { out.append(text) }
            }
            return out
        default: throw EvaluationError("expression must return a string or a list of strings")
        }
    }
}
