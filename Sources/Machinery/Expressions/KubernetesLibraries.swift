package import CEL
import Core
package import Tree

extension Environment {
    /// The language as the API server offers it: every library of upstream's.
    package static let kubernetes = Environment.standard.adding(QuantityLibrary.self).adding(FormatLibrary.self)
}

/// A quantity in expressions.
package final class QuantityValue: TreeConvertible {
    package static let type = CELType.opaque("kubernetes.Quantity", [])
    package var type: CELType { QuantityValue.type }
    let quantity: Quantity
    init(_ quantity: Quantity) { self.quantity = quantity }
    package func equals(_ other: any OpaqueValue) -> Bool { (other as? QuantityValue)?.quantity == quantity }
    package var node: Node { .string(quantity.description) }
}

/// `quantity('1.5Gi').isGreaterThan(quantity('1G'))`.
enum QuantityLibrary: FunctionLibrary {
    static func declare(_ table: inout FunctionTable) {
        let quantity = QuantityValue.type
        table.global("quantity", "string_to_quantity", [.string], quantity) {
            do { return .opaque(QuantityValue(try Quantity(parsing: try $0.string(0)))) } catch let failure as Quantity.Failure {
                throw EvaluationError(failure.description)
            }
        }
        table.global("isQuantity", "is_quantity_string", [.string], .bool) { .bool((try? Quantity(parsing: try $0.string(0))) != nil) }
        table.member("sign", "quantity_sign", [quantity], .int) { .int(Int64(try read($0, 0).sign)) }
        table.member("isGreaterThan", "quantity_is_greater_than", [quantity, quantity], .bool) { .bool(try read($0, 0) > read($0, 1)) }
        table.member("isLessThan", "quantity_is_less_than", [quantity, quantity], .bool) { .bool(try read($0, 0) < read($0, 1)) }
        table.member("compareTo", "quantity_compare_to", [quantity, quantity], .int) { .int(Int64(try read($0, 0).compare(read($0, 1)))) }
        table.member("asApproximateFloat", "quantity_get_float", [quantity], .double) { .double(try read($0, 0).approximate) }
        table.member("asInteger", "quantity_get_int", [quantity], .int) {
            guard let whole = try read($0, 0).wholeValue else { throw EvaluationError("cannot convert value to integer") }
            return .int(whole)
        }
        table.member("isInteger", "quantity_is_integer", [quantity], .bool) { .bool(try read($0, 0).wholeValue != nil) }
        for (name, isSum) in [("add", true), ("sub", false)] {
            let body: Overload.Body = {
                let left = try read($0, 0)
                let right = try $0[1].int.map { Quantity($0) } ?? read($0, 1)
                return .opaque(QuantityValue(isSum ? left + right : left - right))
            }
            table.member(name, "quantity_\(name)", [quantity, quantity], quantity, body)
            table.member(name, "quantity_\(name)_int", [quantity, .int], quantity, body)
        }
    }

    private static func read(_ arguments: [Value], _ index: Int) throws(EvaluationError) -> Quantity {
        try arguments.opaque(index, QuantityValue.self).quantity
    }
}

extension Quantity {
    /// The value where it is whole and fits; nil otherwise.
    var wholeValue: Int64? {
        let value = self.value
        return Quantity(value) == self ? value : nil
    }

    var approximate: Double {
        var out = Double(mantissa)
        var scale = scale
        while scale > 0 {
            out *= 10
            scale -= 1
        }
        while scale < 0 {
            out /= 10
            scale += 1
        }
        return out
    }
}

/// A named format of text.
final class FormatValue: OpaqueValue {
    static let type = CELType.opaque("kubernetes.NamedFormat", [])
    var type: CELType { FormatValue.type }
    let name: String
    let problems: @Sendable (String) -> [String]
    init(_ name: String, _ problems: @escaping @Sendable (String) -> [String]) {
        self.name = name
        self.problems = problems
    }
    func equals(_ other: any OpaqueValue) -> Bool { (other as? FormatValue)?.name == name }
}

/// `format.dns1123Label().validate(name)`: the problems, or none.
enum FormatLibrary: FunctionLibrary {
    static func declare(_ table: inout FunctionTable) {
        for (name, format) in formats {
            table.global("format.\(name)", "format.\(name)", [], FormatValue.type) { _ in .opaque(format) }
        }
        table.global("format.named", "format-named", [.string], .optional(FormatValue.type)) {
            formats[try $0.string(0)].map { .some(.opaque($0)) } ?? .none
        }
        table.member("validate", "format-validate", [FormatValue.type, .string], .optional(.list(.string))) {
            let problems = try $0.opaque(0, FormatValue.self).problems(try $0.string(1))
            return problems.isEmpty ? .none : .some(.strings(problems))
        }
    }

    private static let formats: [String: FormatValue] = [
        "dns1123Label": FormatValue("DNS1123Label") { NameFormat.dnsLabel($0) },
        "dns1123Subdomain": FormatValue("DNS1123Subdomain") { NameFormat.dnsSubdomain($0) },
        "dns1035Label": FormatValue("DNS1035Label") { NameFormat.dns1035Label($0) },
        "qualifiedName": FormatValue("QualifiedName") { NameFormat.qualifiedName($0) },
        "dns1123LabelPrefix": FormatValue("DNS1123LabelPrefix") { NameFormat.dnsLabel(prefix($0)) },
        "dns1123SubdomainPrefix": FormatValue("DNS1123SubdomainPrefix") { NameFormat.dnsSubdomain(prefix($0)) },
        "dns1035LabelPrefix": FormatValue("DNS1035LabelPrefix") { NameFormat.dns1035Label(prefix($0)) },
        "labelValue": FormatValue("LabelValue") { NameFormat.labelValue($0) },
        "uri": FormatValue("URI") { URLCheck.problems($0) },
        "uuid": FormatValue("uuid") { StringFormat.accepts("uuid", $0) ? [] : ["does not match the UUID format"] },
        "byte": FormatValue("byte") { StringFormat.accepts("byte", $0) ? [] : ["invalid base64"] },
        "date": FormatValue("date") { StringFormat.accepts("date", $0) ? [] : ["invalid date"] },
        "datetime": FormatValue("datetime") { StringFormat.accepts("datetime", $0) ? [] : ["invalid datetime"] },
    ]

    /// What generated names begin with may end in what names may not.
    private static func prefix(_ text: String) -> String { text.hasSuffix("-") ? text.dropLast() + "a" : text }
}
