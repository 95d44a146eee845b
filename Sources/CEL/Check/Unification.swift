/// Types that parameters stand for while overloads are resolved, and the rules by which types fit each other.
struct TypeMapping {
    private var bound: [String: CELType] = [:]
    private var counter = 0

    mutating func fresh() -> CELType {
        counter += 1
        return .parameter("_var\(counter - 1)")
    }

    /// Fresh parameters in place of an overload's own.
    mutating func instantiate(_ overload: Overload) -> (arguments: [CELType], result: CELType) {
        guard !overload.parameters.isEmpty else { return (overload.arguments, overload.result) }
        var names: [String: CELType] = [:]
        for name in overload.parameters { names[name] = fresh() }
        return (overload.arguments.map { TypeMapping.replace($0, names) }, TypeMapping.replace(overload.result, names))
    }

    private static func replace(_ type: CELType, _ names: [String: CELType]) -> CELType {
        switch type {
        case .parameter(let name): names[name] ?? type
        case .list(let element): .list(replace(element, names))
        case .map(let key, let value): .map(replace(key, names), replace(value, names))
        case .opaque(let name, let inner): .opaque(name, inner.map { replace($0, names) })
        case .type(let inner?): .type(replace(inner, names))
        default: type
        }
    }

    /// The type with what is known of its parameters; `toDyn` makes unknown ones `dyn`.
    func substitute(_ type: CELType, toDyn: Bool = false) -> CELType {
        switch type {
        case .parameter(let name):
            if let known = bound[name] { return substitute(known, toDyn: toDyn) }
            return toDyn ? .dyn : type
        case .list(let element): return .list(substitute(element, toDyn: toDyn))
        case .map(let key, let value): return .map(substitute(key, toDyn: toDyn), substitute(value, toDyn: toDyn))
        case .opaque(let name, let inner): return .opaque(name, inner.map { substitute($0, toDyn: toDyn) })
        case .type(let inner?): return .type(substitute(inner, toDyn: toDyn))
        default: return type
        }
    }

    /// Whether all fit; only then is what was learnt kept.
    mutating func fit(_ types: [CELType], _ others: [CELType]) -> Bool {
        guard types.count == others.count else { return false }
        let before = bound
        for (type, other) in zip(types, others) where !assign(type, other) {
            bound = before
            return false
        }
        return true
    }

    mutating func fit(_ type: CELType, _ other: CELType) -> Bool { fit([type], [other]) }

    private mutating func assign(_ a: CELType, _ b: CELType) -> Bool {
        if case .parameter(let name) = b {
            let (isValid, isBound) = bind(a, name)
            if isValid { return true }
            if isBound { return false }
        }
        if case .parameter(let name) = a { return bind(b, name).isValid }
        if a.isDynOrError || b.isDynOrError { return true }
        if a == .null { return TypeMapping.isNullable(b) }
        if b == .null { return TypeMapping.isNullable(a) }
        switch (a, b) {
        case (.list(let x), .list(let y)): return assign(x, y)
        case (.map(let k, let v), .map(let l, let w)): return assign(k, l) && assign(v, w)
        case (.opaque(let x, let inner), .opaque(let y, let other)):
            guard x == y, inner.count == other.count else { return false }
            for (p, q) in zip(inner, other) where !assign(p, q) { return false }
            return true
        case (.type, .type): return true
        default: return a == b
        }
    }

    private mutating func bind(_ type: CELType, _ name: String) -> (isValid: Bool, isBound: Bool) {
        if type == .parameter(name) { return (true, true) }
        if let known = bound[name] {
            if known == type { return (true, true) }
            guard assign(type, known) else { return (false, true) }
            let general = TypeMapping.mostGeneral(type, known)
            if !occurs(name, in: general) { bound[name] = general }
            return (true, true)
        }
        guard !occurs(name, in: type) else { return (false, false) }
        bound[name] = type
        return (true, false)
    }

    private func occurs(_ name: String, in type: CELType) -> Bool {
        switch type {
        case .parameter(let other): other == name || bound[other].map { occurs(name, in: $0) } ?? false
        case .list(let element): occurs(name, in: element)
        case .map(let key, let value): occurs(name, in: key) || occurs(name, in: value)
        case .opaque(_, let inner): inner.contains { occurs(name, in: $0) }
        case .type(let inner?): occurs(name, in: inner)
        default: false
        }
    }

    private static func isNullable(_ type: CELType) -> Bool {
        switch type {
        case .null, .opaque, .object, .timestamp, .duration: true
        default: false
        }
    }

    static func mostGeneral(_ a: CELType, _ b: CELType) -> CELType { isLessSpecific(a, b) ? a : b }

    private static func isLessSpecific(_ a: CELType, _ b: CELType) -> Bool {
        switch (a, b) {
        case (.dyn, _), (.parameter, _): true
        case (_, .dyn), (_, .parameter): false
        case (.list(let x), .list(let y)): isLessSpecific(x, y)
        case (.map(let k, let v), .map(let l, let w)): isLessSpecific(k, l) && isLessSpecific(v, w)
        case (.opaque(let x, let inner), .opaque(let y, let other)):
            x == y && inner.count == other.count && zip(inner, other).allSatisfy { isLessSpecific($0, $1) }
        case (.type, .type): true
        default: a == b
        }
    }
}
