import Core
import Tree

// Equality never fails: values of different types are unequal, numbers are compared by what they count. Ordering is for values of
// one type, or of two numeric ones.

extension Value {
    package func equals(_ other: Value) -> Bool {
        switch (self, other) {
        case (.null, .null): return true
        case (.bool(let a), .bool(let b)): return a == b
        case (.string(let a), .string(let b)): return Text.equal(a, b)
        case (.bytes(let a), .bytes(let b)): return a == b
        case (.timestamp(let a), .timestamp(let b)): return a == b
        case (.duration(let a), .duration(let b)): return a == b
        case (.list(let a), .list(let b)): return a.equals(b)
        case (.map(let a), .map(let b)): return a.equals(b)
        case (.type(let a), .type(let b)): return a.name == b.name
        case (.opaque(let a), .opaque(let b)): return a.type == b.type && a.equals(b)
        case (.optional(let a), .optional(let b)):
            switch (a.value, b.value) {
            case (nil, nil): return true
            case (let x?, let y?): return x.equals(y)
            default: return false
            }
        default:
            guard let order = try? numericOrder(other) else { return false }
            return order == 0
        }
    }

    /// -1, 0 or 1 for two numbers; nil for others. NaN has no order.
    func numericOrder(_ other: Value) throws(EvaluationError) -> Int? {
        func sign<T: Comparable>(_ a: T, _ b: T) -> Int { a < b ? -1 : (a == b ? 0 : 1) }
        switch (self, other) {
        case (.int(let a), .int(let b)): return sign(a, b)
        case (.uint(let a), .uint(let b)): return sign(a, b)
        case (.int(let a), .uint(let b)): return a < 0 ? -1 : sign(UInt64(a), b)
        case (.uint(let a), .int(let b)): return b < 0 ? 1 : sign(a, UInt64(b))
        case (.double(let a), .double(let b)): return try Value.order(a, b) { sign(a, b) }
        case (.double(let a), .int(let b)): return try Value.order(a, 0) { a < -9223372036854775808.0 ? -1 : a >= 9223372036854775808.0 ? 1 : sign(a, Double(b)) }
        case (.int(let a), .double(let b)): return try Value.order(b, 0) { b < -9223372036854775808.0 ? 1 : b >= 9223372036854775808.0 ? -1 : sign(Double(a), b) }
        case (.double(let a), .uint(let b)): return try Value.order(a, 0) { a < 0 ? -1 : a >= 18446744073709551616.0 ? 1 : sign(a, Double(b)) }
        case (.uint(let a), .double(let b)): return try Value.order(b, 0) { b < 0 ? 1 : b >= 18446744073709551616.0 ? -1 : sign(Double(a), b) }
        default: return nil
        }
    }

    private static func order(_ a: Double, _ b: Double, _ body: () -> Int) throws(EvaluationError) -> Int {
        if a.isNaN || b.isNaN { throw EvaluationError("NaN values cannot be ordered") }
        return body()
    }

    /// -1, 0 or 1; fails for what has no order.
    func order(_ other: Value) throws(EvaluationError) -> Int {
        if let order = try numericOrder(other) { return order }
        switch (self, other) {
        case (.string(let a), .string(let b)): return Text.order(a, b)
        case (.bool(let a), .bool(let b)): return a == b ? 0 : (a ? 1 : -1)
        case (.bytes(let a), .bytes(let b)): return a == b ? 0 : (a.lexicographicallyPrecedes(b) ? -1 : 1)
        case (.timestamp(let a), .timestamp(let b)): return a < b ? -1 : (a == b ? 0 : 1)
        case (.duration(let a), .duration(let b)): return a < b ? -1 : (a == b ? 0 : 1)
        default: throw .noOverload
        }
    }
}

extension ListValue {
    func equals(_ other: ListValue) -> Bool {
        guard count == other.count else { return false }
        switch semantics {
        case .atomic:
            for index in 0..<count where !self[index].equals(other[index]) { return false }
            return true
        case .set:
            return allSatisfy { item in other.contains { $0.equals(item) } }
        case .map(let keys):
            return allSatisfy { item in
                guard let twin = other.first(where: { ListValue.sameKeys($0, item, keys) }) else { return false }
                return twin.equals(item)
            }
        }
    }

    private static func sameKeys(_ a: Value, _ b: Value, _ keys: [String]) -> Bool {
        guard case .map(let x) = a, case .map(let y) = b else { return false }
        return keys.allSatisfy { key in
            let name = FieldEscape.escape(key) ?? key
            switch (x.find(name), y.find(name)) {
            case (nil, nil): return true
            case (let p?, let q?): return p.equals(q)
            default: return false
            }
        }
    }

    /// The sum, by what the left list is.
    func adding(_ other: ListValue) -> ListValue {
        switch semantics {
        case .atomic:
            return ListValue(values + other.values)
        case .set:
            var out = values
            for item in other where !out.contains(where: { $0.equals(item) }) { out.append(item) }
            return with(out)
        case .map(let keys):
            var out = values
            for item in other {
                if let index = out.firstIndex(where: { ListValue.sameKeys($0, item, keys) }) { out[index] = item } else { out.append(item) }
            }
            return with(out)
        }
    }

    private func with(_ values: [Value]) -> ListValue {
        var out = ListValue(values)
        out.semantics = semantics
        return out
    }
}

extension MapValue {
    func equals(_ other: MapValue) -> Bool {
        guard count == other.count else { return false }
        for (key, value) in self {
            guard let twin = other.find(key), value.equals(twin) else { return false }
        }
        return true
    }
}

/// Strings by their bytes: Swift's own comparison takes canonically equivalent strings for equal.
enum Text {
    static func equal(_ a: String, _ b: String) -> Bool {
        var a = a
        var b = b
        return a.withUTF8 { x in b.withUTF8 { y in x.count == y.count && x.elementsEqual(y) } }
    }

    static func order(_ a: String, _ b: String) -> Int {
        if equal(a, b) { return 0 }
        return a.utf8.lexicographicallyPrecedes(b.utf8) ? -1 : 1
    }

    static func contains(_ text: String, _ part: String) -> Bool { find(Array(text.utf8), Array(part.utf8), from: 0) != nil }

    /// Where a run of elements begins; nil for nowhere.
    static func find<T: Equatable>(_ text: [T], _ part: [T], from: Int) -> Int? {
        guard !part.isEmpty else { return from <= text.count ? from : nil }
        guard text.count >= part.count, from >= 0 else { return nil }
        var start = from
        while start <= text.count - part.count {
            var length = 0
            while length < part.count, text[start + length] == part[length] { length += 1 }
            if length == part.count { return start }
            start += 1
        }
        return nil
    }
}
