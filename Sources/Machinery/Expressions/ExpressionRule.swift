import CEL
import Tree

/// One entry of `x-kubernetes-validations`, compiled for the schema that it is written at.
package struct ExpressionRule: Sendable {
    let source: Node
    let program: Program?
    /// Why the rule does not compile, in upstream's words.
    let problem: String?
    let messageProgram: Program?
    let messageProblem: String?
    let usesOldSelf: Bool
    let isOldSelfOptional: Bool
    /// The `fieldPath` as it is appended to the object's own.
    let fieldPath: String

    var text: String { source["rule"].string ?? "" }
    /// What findings name the rule by.
    var shown: String { ExpressionRule.trimmed(source["message"].string ?? "").isEmpty ? ExpressionRule.trimmed(text) : ExpressionRule.trimmed(source["message"].string ?? "") }

    static func trimmed(_ text: String) -> String {
        let head = text.drop { $0.isWhitespace }
        guard let end = head.lastIndex(where: { !$0.isWhitespace }) else { return "" }
        return String(head[...end])
    }

    init(_ source: Node, _ type: StructuralType, schema: Node) {
        self.source = source
        isOldSelfOptional = source["optionalOldSelf"].bool == true
        fieldPath = source["fieldPath"].string.flatMap { FieldPathText.normalized($0, schema) } ?? ""
        // What was is as large as what is.
        let own = Environment.kubernetes.declaring("self", type)
        let environment = isOldSelfOptional ? own.declaring("oldSelf", .optional(type.celType)) : own.declaring("oldSelf", type)
        var program: Program?
        var problem: String?
        let text = source["rule"].string ?? ""
        if !ExpressionRule.trimmed(text).isEmpty {
            do {
                let compiled = try Program.compile(text, in: environment)
                if compiled.type == .bool { program = compiled } else { problem = "cel expression must evaluate to a bool" }
            } catch { problem = "compilation failed: \(error.description)" }
        }
        self.program = program
        self.problem = problem
        usesOldSelf = program?.usedVariables.contains("oldSelf") ?? false
        var message: Program?
        var messageProblem: String?
        if program != nil, let text = source["messageExpression"].string, !text.isEmpty {
            do {
                let compiled = try Program.compile(text, in: environment)
                if compiled.type == .string { message = compiled } else { messageProblem = "messageExpression must evaluate to a string" }
            } catch { messageProblem = "messageExpression compilation failed: \(error.description)" }
        }
        messageProgram = message
        self.messageProblem = messageProblem
    }
}

/// `.spec['a.b'].c`: paths within a schema.
enum FieldPathText {
    /// As upstream prints field paths; nil for a path that the schema does not have.
    static func normalized(_ text: String, _ schema: Node) -> String? {
        var rest = text[...]
        var schema = schema
        var out = ""
        while let first = rest.popFirst() {
            let name: String
            if first == "." {
                let part = rest.prefix { !".[]".contains($0) }
                if part.isEmpty { return nil }
                rest = rest.dropFirst(part.count)
                name = String(part)
            } else if first == "[", let quoted = quoted(&rest) {
                name = quoted
            } else {
                return nil
            }
            if case .map = schema["additionalProperties"] {
                schema = schema["additionalProperties"]
                out += "[\(name)]"
                continue
            }
            let property = schema["properties"][name]
            if property.isNull { return nil }
            schema = property
            out += out.isEmpty ? name : ".\(name)"
        }
        return out.isEmpty ? nil : out
    }

    private static func quoted(_ rest: inout Substring) -> String? {
        guard rest.popFirst() == "'" else { return nil }
        var out = ""
        while let character = rest.popFirst() {
            if character == "'" { return rest.popFirst() == "]" ? out : nil }
            guard character == "\\" else {
                out.append(character)
                continue
            }
            switch rest.popFirst() {
            case "a": out += "\u{07}"
            case "b": out += "\u{08}"
            case "f": out += "\u{0C}"
            case "n": out += "\n"
            case "r": out += "\r"
            case "t": out += "\t"
            case "v": out += "\u{0B}"
            case "'": out += "'"
            case "\\": out += "\\"
            default: return nil
            }
        }
        return nil
    }
}
