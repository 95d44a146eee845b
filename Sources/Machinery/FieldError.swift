/// One finding of validation: what is wrong at which field, rendered as upstream's `field.Error`.
package struct FieldError: Error, Sendable, Equatable, CustomStringConvertible {
    /// Raw values are the `CauseType`s that reach the client.
    package enum Kind: String, Sendable {
        case notFound = "FieldValueNotFound"
        case required = "FieldValueRequired"
        case duplicate = "FieldValueDuplicate"
        case invalid = "FieldValueInvalid"
        case notSupported = "FieldValueNotSupported"
        case forbidden = "FieldValueForbidden"
        case tooLong = "FieldValueTooLong"
        case tooMany = "FieldValueTooMany"
        case internalError = "InternalError"
        case typeInvalid = "FieldValueTypeInvalid"
    }

    package let type: Kind
    /// As upstream writes paths: `spec.containers[0].image`, `metadata.labels[a.b]`; empty for the whole object.
    package let field: String
    /// The message without the field: `Invalid value: "x": must be no more than 63 characters`.
    package let body: String

    package var description: String { field.isEmpty ? body : "\(field): \(body)" }

    private init(_ type: Kind, _ field: String, _ body: String) {
        self.type = type
        self.field = field
        self.body = body
    }

    /// What was found, as upstream tells it in one text: one finding stands alone, several in brackets, and what is said twice once.
    package static func aggregate(_ findings: [FieldError]) -> String {
        var seen: Set<String> = []
        let lines = findings.map(\.description).filter { seen.insert($0).inserted }
        return lines.count == 1 ? lines[0] : "[" + lines.joined(separator: ", ") + "]"
    }

    /// The same about a value that stands at `place`; paths of its own are below that.
    package func moved(to place: String) -> FieldError {
        let rest = field == FieldError.rootPath ? "" : field
        return FieldError(type, rest.isEmpty || rest.hasPrefix("[") ? place + rest : "\(place).\(rest)", body)
    }

    /// The same where the text names its place below `part`, which was looked at as a value of its own.
    package func named(below part: String) -> FieldError {
        guard field.hasPrefix(part + ".") else { return self }
        return FieldError(type, field, body.replacing("\(field) in body", with: "\(field.dropFirst(part.utf8.count + 1)) in body"))
    }

    private static func with(_ head: String, _ detail: String) -> String { detail.isEmpty ? head : "\(head): \(detail)" }

    package static func required(_ field: String, _ detail: String = "") -> FieldError { .init(.required, field, with("Required value", detail)) }
    package static func forbidden(_ field: String, _ detail: String) -> FieldError { .init(.forbidden, field, with("Forbidden", detail)) }
    /// `value` is rendered as Go's `%v`/`%q`: pass strings through `quoted`.
    package static func invalid(_ field: String, _ value: String, _ detail: String) -> FieldError {
        .init(.invalid, field, with("Invalid value: \(value)", detail))
    }
    /// Without the value: it is an object or a list.
    package static func invalid(_ field: String, _ detail: String) -> FieldError { .init(.invalid, field, with("Invalid value", detail)) }
    package static func duplicate(_ field: String) -> FieldError { .init(.duplicate, field, "Duplicate value") }
    /// What upstream prints for the path of the whole object where it has none.
    package static let rootPath = "<nil>"
    package static func invalid(_ field: String, quoted value: String, _ detail: String) -> FieldError { invalid(field, quoted(value), detail) }
    package static func typeInvalid(_ field: String, _ value: String, _ detail: String) -> FieldError {
        .init(.typeInvalid, field, with("Invalid value: \(value)", detail))
    }
    package static func duplicate(_ field: String, _ value: String) -> FieldError { .init(.duplicate, field, "Duplicate value: \(value)") }
    package static func notFound(_ field: String, _ value: String) -> FieldError { .init(.notFound, field, "Not found: \(value)") }
    package static func notSupported(_ field: String, quoted value: String, supported: [String]) -> FieldError {
        let list = supported.map(quoted).joined(separator: ", ")
        return .init(.notSupported, field, with("Unsupported value: \(quoted(value))", supported.isEmpty ? "" : "supported values: \(list)"))
    }
    /// `value` is rendered already.
    package static func notSupported(_ field: String, _ value: String, supported: [String]) -> FieldError {
        .init(.notSupported, field, with("Unsupported value: \(value)", "supported values: " + supported.map(quoted).joined(separator: ", ")))
    }
    package static func tooLong(_ field: String, limit: Int) -> FieldError { .init(.tooLong, field, "Too long: may not be more than \(limit) bytes") }
    package static func tooMany(_ field: String, actual: Int, limit: Int) -> FieldError {
        .init(.tooMany, field, "Too many: \(actual): must have at most \(limit) item\(limit == 1 ? "" : "s")")
    }
    package static func internalError(_ field: String, _ detail: String) -> FieldError { .init(.internalError, field, with("Internal error", detail)) }

    /// Go's `%q` for text.
    package static func quoted(_ text: String) -> String {
        var out = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": out += "\\\""
            case "\\": out += "\\\\"
            case "\n": out += "\\n"
            case "\r": out += "\\r"
            case "\t": out += "\\t"
            default:
                if scalar.value < 0x20 || scalar.value == 0x7F {
                    let hex = String(scalar.value, radix: 16)
                    out += "\\x" + (hex.count == 1 ? "0" + hex : hex)
                } else {
                    out.unicodeScalars.append(scalar)
                }
            }
        }
        return out + "\""
    }
}
