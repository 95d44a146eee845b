/// What a schema says of one value, in the words of this language: whoever knows a schema (of a custom resource, of a built-in kind)
/// shows it through this. The checker asks for fields, the evaluator reads trees by it, the estimator asks for sizes.
package protocol SchemaType: AnyObject, Sendable {
    var form: SchemaForm { get }
    /// The fields of an object, by the name the data has. Asked again and again: keep it cheap.
    func property(_ name: String) -> (any SchemaType)?
    /// All the fields' names.
    var propertyNames: [String] { get }
    /// The most elements, entries or characters that a value can have.
    var largestSize: UInt64 { get }
    /// Of a map: the most characters of a key.
    var largestKey: UInt64 { get }
    /// Of a map: whether an entry named in a path has the size that the values' schema says.
    var boundsEntries: Bool { get }
}

extension SchemaType {
    package var largestKey: UInt64 { 0 }
    package var boundsEntries: Bool { false }
}

/// The shape of a value.
package enum SchemaForm: Sendable {
    case scalar(CELType)
    case list(any SchemaType, ListSemantics)
    case map(any SchemaType)
    /// Objects have unique names; two of the same name are the same type.
    case object(name: String)
    case dyn
}

/// How two lists are equal and what their sum is (`x-kubernetes-list-type`).
package enum ListSemantics: Sendable, Equatable {
    case atomic
    /// Order does not matter; a sum holds what either holds.
    case set
    /// Order does not matter; in a sum, right elements replace left ones with the same keys.
    case map(keys: [String])
}

extension SchemaType {
    /// The type that the checker gives to the value.
    package var celType: CELType {
        switch form {
        case .scalar(let type): type
        case .list(let element, _): .list(element.celType)
        case .map(let value): .map(.string, value.celType)
        case .object(let name): .object(name)
        case .dyn: .dyn
        }
    }
}

/// Names of fields that the language could not write otherwise: `a-b` is `a__dash__b`.
package enum FieldEscape {
    private static let reserved: Set<String> = [
        "true", "false", "null", "in", "as", "break", "const", "continue", "else", "for", "function", "if", "import", "let", "loop", "package", "namespace",
        "return", "var", "void", "while",
    ]

    /// Nil for a name that no expression can write.
    package static func escape(_ name: String) -> String? {
        if reserved.contains(name) { return "__\(name)__" }
        guard let first = name.unicodeScalars.first, isStart(first) || first == "-" || first == "." || first == "/" else { return nil }
        var out = ""
        var rest = Substring(name)
        while let character = rest.unicodeScalars.first {
            if rest.hasPrefix("__") {
                out += "__underscores__"
                rest = rest.dropFirst(2)
                continue
            }
            switch character {
            case ".": out += "__dot__"
            case "-": out += "__dash__"
            case "/": out += "__slash__"
            default:
                guard isStart(character) || ("0"..."9").contains(character) else { return nil }
                out.unicodeScalars.append(character)
            }
            rest.unicodeScalars.removeFirst()
        }
        return out
    }

    /// The name that was escaped; a name that is no escape is itself.
    package static func unescape(_ name: String) -> String {
        guard name.utf8.contains(UInt8(ascii: "_")), name.contains("__") else { return name }
        if name.hasPrefix("__"), name.hasSuffix("__"), name.utf8.count > 4 {
            let inner = String(name.dropFirst(2).dropLast(2))
            if reserved.contains(inner) { return inner }
        }
        var out = ""
        var rest = Substring(name)
        let escapes = [("__underscores__", "__"), ("__dot__", "."), ("__dash__", "-"), ("__slash__", "/")]
        while !rest.isEmpty {
            if let (code, plain) = escapes.first(where: { rest.hasPrefix($0.0) }) {
                out += plain
                rest = rest.dropFirst(code.count)
            } else {
                out.append(rest.removeFirst())
            }
        }
        return out
    }

    private static func isStart(_ scalar: Unicode.Scalar) -> Bool {
        ("a"..."z").contains(scalar) || ("A"..."Z").contains(scalar) || scalar == "_"
    }
}
