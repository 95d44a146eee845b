/// What a call costs when it runs, chosen once when the program is planned.
enum RuntimePrice: Sendable {
    case one
    case fixed(UInt64)
    /// In proportion to the first argument's size.
    case traversal(Double)
    /// In proportion to the result's size.
    case result(Double)
    case containment
    case comparison
    case concatenation
    case pattern
    case substring
    /// Each element, and the text in it.
    case wholeTree
    case addresses(prefix: Bool, parses: Bool)
    case format
    /// The product of both sizes, and one.
    case sets(UInt64)

    init(_ function: String, _ overload: String) {
        switch function {
        case "check": self = .fixed(350_000)
        case "isSorted", "sum", "max", "min", "indexOf", "lastIndexOf": self = .wholeTree
        case "url", "lowerAscii", "upperAscii", "substring", "trim", "jsonpatch.escapeKey", "cidr", "isIP", "isCIDR", "quantity", "isQuantity", "semver",
            "isSemver":
            self = .traversal(Cost.traversal)
        case "replace", "split", "ip.isCanonical": self = .traversal(2 * Cost.traversal)
        case "join": self = .result(2 * Cost.traversal)
        case "find", "findAll": self = .pattern
        case "ip": self = overload == "cidr_ip" ? .one : .traversal(Cost.traversal)
        case "containsIP": self = .addresses(prefix: false, parses: overload == "cidr_contains_ip_string")
        case "containsCIDR": self = .addresses(prefix: true, parses: overload == "cidr_contains_cidr_string")
        case "validate": self = .format
        case "sets.contains", "sets.intersects": self = .sets(1)
        case "sets.equivalent": self = .sets(2)
        case Operator.equals, Operator.notEquals: self = .comparison
        default: self = RuntimePrice(overload: overload)
        }
    }

    private init(overload: String) {
        switch overload {
        case "starts_with_string", "ends_with_string", "string_to_bytes", "bytes_to_string", "strings_quote", "string_format": self = .traversal(Cost.traversal)
        case "in_list": self = .containment
        case "add_string", "add_bytes": self = .concatenation
        case "matches_string": self = .pattern
        case "contains_string": self = .substring
        case _ where ["less_", "greater_"].contains(where: { overload.hasPrefix($0) }) && (overload.hasSuffix("_string") || overload.hasSuffix("_bytes")):
            self = .comparison
        default: self = .one
        }
    }

    func cost(_ a: Value, _ b: Value) -> UInt64 {
        switch self {
        case .one: return 1
        case .containment: return b.size
        case .comparison:
            if case .opaque = a { return 1 }
            return Cost.scaled(Swift.min(a.size, b.size), Cost.traversal)
        case .concatenation: return Cost.scaled(Cost.sum(a.size, b.size), Cost.traversal)
        default: return cost([a, b], .null)
        }
    }

    func cost(_ arguments: [Value], _ result: Value) -> UInt64 {
        guard let first = arguments.first else { return 1 }
        let second = arguments.count > 1 ? arguments[1].size : 1
        switch self {
        case .one: return 1
        case .fixed(let price): return price
        case .traversal(let factor): return Cost.scaled(first.size, factor)
        case .result(let factor): return Cost.scaled(result.size, factor)
        case .containment: return second
        case .comparison: return Cost.scaled(Swift.min(first.size, second), Cost.traversal)
        case .concatenation: return Cost.scaled(Cost.sum(first.size, second), Cost.traversal)
        case .pattern:
            return Cost.product(Cost.scaled(Cost.sum(first.size, 1), Cost.traversal), Cost.scaled(second, Cost.patternLength))
        case .substring: return Cost.product(Cost.scaled(first.size, Cost.traversal), Cost.scaled(second, Cost.traversal))
        case .wholeTree: return first.traversalCost
        case .addresses(let isPrefix, let parses):
            var total = Cost.scaled(first.size * 2, Cost.traversal)
            if isPrefix { total += Cost.scaled(first.size, Cost.traversal) + 1 }
            if parses { total += Cost.scaled(second, Cost.traversal) }
            return total
        case .sets(let factor): return Cost.sum(Cost.product(Cost.product(first.size, second), factor), 1)
        case .format:
            return Cost.product(Cost.scaled(Cost.sum(second, 1), Cost.traversal), Cost.scaled(128, Cost.patternLength))
        }
    }
}

extension Value {
    /// As `size()` counts; one for what has no size.
    var size: UInt64 {
        switch self {
        case .string(let text): UInt64(text.unicodeScalars.count)
        case .bytes(let bytes): UInt64(bytes.count)
        case .list(let list): UInt64(list.count)
        case .map(let map): UInt64(map.count)
        case .optional(let optional): optional.value?.size ?? 1
        case .opaque(let value): UInt64(value.size ?? 1)
        default: 1
        }
    }

    var traversalCost: UInt64 {
        switch self {
        case .string(let text): UInt64(Double(text.utf8.count) * Cost.traversal)
        case .bytes(let bytes): UInt64(Double(bytes.count) * Cost.traversal)
        case .list(let list): list.reduce(0) { Cost.sum($0, $1.traversalCost) }
        case .map(let map): map.reduce(0) { Cost.sum($0, Cost.sum($1.0.traversalCost, $1.1.traversalCost)) }
        default: 1
        }
    }
}
