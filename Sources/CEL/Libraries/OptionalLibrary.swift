/// Values that may be absent.
enum OptionalLibrary: FunctionLibrary {
    static func declare(_ table: inout FunctionTable) {
        let v = CELType.parameter("V")
        let optional = CELType.optional(v)
        table.global("optional.of", "optional_of", [v], optional) { .some($0[0]) }
        table.global("optional.ofNonZeroValue", "optional_ofNonZeroValue", [v], optional) { isZero($0[0]) ? .none : .some($0[0]) }
        table.global("optional.none", "optional_none", [], optional) { _ in .none }
        table.member("value", "optional_value", [optional], v) {
            guard let value = try $0.optional(0).value else { throw EvaluationError("optional.none() dereference") }
            return value
        }
        table.member("hasValue", "optional_hasValue", [optional], .bool) { .bool(try $0.optional(0).value != nil) }
        table.member("or", "optional_or_optional", [optional, optional], optional) { try $0.optional(0).value == nil ? $0[1] : $0[0] }
        table.member("orValue", "optional_orValue_value", [optional, v], v) { try $0.optional(0).value ?? $0[1] }
        let unwrap: Overload.Body = {
            var out: [Value] = []
            for item in try $0.list(0) {
                guard case .optional(let inner) = item else { throw EvaluationError("value \(Rendering.text(item)) is not optional") }
                if let value = inner.value { out.append(value) }
            }
            return .list(out)
        }
        table.global("optional.unwrap", "optional_unwrap", [.list(optional)], .list(v), unwrap)
        table.member("unwrapOpt", "optional_unwrapOpt", [.list(optional)], .list(v), unwrap)
    }

    private static func isZero(_ value: Value) -> Bool {
        switch value {
        case .null: true
        case .bool(let value): !value
        case .int(let value): value == 0
        case .uint(let value): value == 0
        case .double(let value): value == 0
        case .string(let value): value.isEmpty
        case .bytes(let value): value.isEmpty
        case .duration(let value): value == 0
        case .list(let value): value.count == 0
        case .map(let value): value.count == 0
        case .optional(let value): value.value == nil
        default: false
        }
    }
}
