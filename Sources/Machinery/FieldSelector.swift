/// Which objects are meant, by a few of their fields: what `fieldSelector=` says.
package struct FieldSelector: Sendable, Hashable, CustomStringConvertible {
    package struct Requirement: Sendable, Hashable {
        package let field: String
        package let value: String
        package let isNegated: Bool
        package init(field: String, value: String, isNegated: Bool = false) {
            self.field = field
            self.value = value
            self.isNegated = isNegated
        }
    }

    package let requirements: [Requirement]
    package init(_ requirements: [Requirement] = []) { self.requirements = requirements }
    package static let everything = FieldSelector()
    package var isEverything: Bool { requirements.isEmpty }

    /// `value` gives a field's value; nil counts as "".
    package func matches(_ value: (String) -> String?) -> Bool {
        requirements.allSatisfy { ((value($0.field) ?? "") == $0.value) != $0.isNegated }
    }

    /// The one value that a field must have, where the selector says so.
    package func exactValue(of field: String) -> String? { requirements.first { $0.field == field && !$0.isNegated }?.value }

    package var description: String {
        requirements.map { $0.field + ($0.isNegated ? "!=" : "=") + FieldSelector.escape($0.value) }.joined(separator: ",")
    }

    private static func escape(_ value: String) -> String {
        var out = ""
        for character in value {
            if character == "\\" || character == "," || character == "=" { out.append("\\") }
            out.append(character)
        }
        return out
    }
}

extension FieldSelector {
    package init(parsing text: String) throws(SelectorFailure) {
        var all: [Requirement] = []
        for term in FieldSelector.terms(text).sorted() where !term.isEmpty {
            guard let at = term.firstIndex(where: { $0 == "=" || $0 == "!" }),
                let op = ["!=", "==", "="].first(where: { term[at...].hasPrefix($0) })
            else { throw SelectorFailure("invalid selector: '\(text)'; can't understand '\(term)'") }
            let value = try FieldSelector.unescape(term[at...].dropFirst(op.count))
            let field = String(term[..<at])
            if field.isEmpty, value.isEmpty { continue }
            all.append(Requirement(field: field, value: value, isNegated: op == "!="))
        }
        self.init(all)
    }

    /// Split at commas that no backslash escapes; the backslashes stay.
    private static func terms(_ text: String) -> [String] {
        var out = [""]
        var isEscaped = false
        for character in text {
            if character == ",", !isEscaped {
                out.append("")
            } else {
                out[out.count - 1].append(character)
            }
            isEscaped = character == "\\" && !isEscaped
        }
        return out
    }

    private static func unescape(_ text: Substring) throws(SelectorFailure) -> String {
        var out = ""
        var isEscaped = false
        for character in text {
            if isEscaped {
                guard character == "\\" || character == "," || character == "=" else {
                    throw SelectorFailure("invalid field selector: invalid escape sequence: \\\(character)")
                }
                out.append(character)
                isEscaped = false
            } else if character == "\\" {
                isEscaped = true
            } else if character == "=" || character == "," {
                // Go prints the rune's number.
                throw SelectorFailure("invalid field selector: unescaped character in value: \(character == "=" ? 61 : 44)")
            } else {
                out.append(character)
            }
        }
        if isEscaped { throw SelectorFailure("invalid field selector: invalid escape sequence: \\") }
        return out
    }
}
