// What single functions cost at most. The numbers decide which definitions are accepted, so they are upstream's.

extension CostEstimator {
    func standardEstimate(_ call: Call) -> (CostEstimate, CostEstimate?)? {
        let arguments = call.arguments
        switch call.overload {
        case "string_format":
            guard let target = call.target else { return nil }
            return (sizeOrUnknown(target).scaled(Cost.traversal), nil)
        case "string_to_bytes":
            let size = sizeOrUnknown(arguments[0])
            return (size.scaled(Cost.traversal), CostEstimate(size.min, Cost.product(size.max, 4)))
        case "bytes_to_string":
            let size = sizeOrUnknown(arguments[0])
            return (size.scaled(Cost.traversal), CostEstimate(size.min / 4, size.max))
        case "strings_quote":
            let size = sizeOrUnknown(arguments[0])
            return (size.scaled(Cost.traversal), CostEstimate(Cost.sum(size.min, 2), Cost.sum(Cost.product(size.max, 2), 2)))
        case "starts_with_string", "ends_with_string": return (sizeOrUnknown(arguments[0]).scaled(Cost.traversal), nil)
        case "in_list": return (sizeOrUnknown(arguments[1]).scaled(1), nil)
        case "matches_string":
            guard let target = call.target else { return nil }
            return (pattern(target, arguments[0]), nil)
        case "contains_string":
            guard let target = call.target else { return nil }
            return (sizeOrUnknown(target).scaled(Cost.traversal) * sizeOrUnknown(arguments[0]).scaled(Cost.traversal), nil)
        case "equals", "not_equals": return (comparison(arguments), nil)
        case let id where ["less_", "greater_"].contains(where: { id.hasPrefix($0) }) && (id.hasSuffix("_string") || id.hasSuffix("_bytes")):
            return (comparison(arguments), nil)
        default: return nil
        }
    }

    private func comparison(_ arguments: [Expression]) -> CostEstimate {
        let most = min(sizeOrUnknown(arguments[0]).max, sizeOrUnknown(arguments[1]).max)
        return CostEstimate(most > 0 ? 1 : 0, most).scaled(Cost.traversal)
    }

    private func pattern(_ text: Expression, _ pattern: Expression) -> CostEstimate {
        (sizeOrUnknown(text) + CostEstimate(1)).scaled(Cost.traversal) * sizeOrUnknown(pattern).scaled(Cost.patternLength)
    }

    func libraryEstimate(_ call: Call) -> (CostEstimate, CostEstimate?)? {
        let one = CostEstimate(1)
        let arguments = call.arguments
        switch call.function {
        case "check": return (CostEstimate(350_000), nil)
        case "serviceAccount", "path", "group", "resource", "subresource", "namespace", "name", "allowed", "reason", "error", "errored", "masked",
            "prefixLength", "family", "isUnspecified", "isLoopback", "isLinkLocalMulticast", "isLinkLocalUnicast", "isGlobalUnicast", "format.named", "sign",
            "asInteger", "isInteger", "asApproximateFloat", "isGreaterThan", "isLessThan", "compareTo", "add", "sub", "major", "minor", "patch", "getScheme",
            "getHostname", "getHost", "getPort", "getEscapedPath", "getQuery":
            return (one, nil)
        case "fieldSelector", "labelSelector":
            guard arguments.count == 1 else { return nil }
            let size = sizeOrUnknown(arguments[0])
            return (CostEstimate(Cost.listBase) + size.scaled(Cost.traversal) + size.scaled(0.5).scaled(Double(Cost.listBase + Cost.objectBase)), nil)
        case "isSorted", "sum", "max", "min", "indexOf", "lastIndexOf": return call.target.map { (elements($0), nil) }
        case "url", "jsonpatch.escapeKey":
            guard arguments.count == 1 else { return nil }
            let size = sizeOrUnknown(arguments[0])
            return (size.scaled(Cost.traversal), size)
        case "lowerAscii", "upperAscii", "substring", "trim":
            return call.target.map { (sizeOrUnknown($0).scaled(Cost.traversal), sizeOrUnknown($0)) }
        case "replace": return call.target.map { replacement($0, arguments) }
        case "split": return call.target.map { splitting($0, arguments) }
        case "join": return call.target.map { joining($0, arguments) }
        case "find", "findAll":
            return call.target.map { (pattern($0, arguments[0]), CostEstimate(0, sizeOrUnknown($0).max)) }
        case "ip" where call.overload == "cidr_ip": return (one, nil)
        case "cidr", "isIP", "isCIDR", "ip", "quantity", "isQuantity", "semver", "isSemver":
            return arguments.first.map { (sizeOrUnknown($0).scaled(Cost.traversal), nil) }
        case "ip.isCanonical": return arguments.first.map { (sizeOrUnknown($0).scaled(2 * Cost.traversal), nil) }
        case "containsIP", "containsCIDR": return arguments.first.map { (containment(call, $0), nil) }
        case "validate":
            return arguments.first.map { (sizeOrUnknown($0).scaled(Cost.traversal).scaled(128 * Cost.patternLength), nil) }
        case "sets.contains", "sets.intersects", "sets.equivalent":
            guard arguments.count == 2 else { return nil }
            let factor: Double = call.function == "sets.equivalent" ? 2 : 1
            return ((sizeOrUnknown(arguments[0]) * sizeOrUnknown(arguments[1])).scaled(factor) + one, nil)
        case Operator.equals: return opaqueEquality(arguments)
        default: return nil
        }
    }

    /// One for each element, and more where elements are text.
    private func elements(_ list: Expression) -> CostEstimate {
        guard case .list(let element) = type(list) else { return sizeOrUnknown(list).scaled(Cost.traversal) }
        var price = CostEstimate(1)
        if element == .string || element == .bytes { price = price + elementSize(list).scaled(Cost.traversal) }
        return sizeOrUnknown(list) * price
    }

    private func elementSize(_ list: Expression) -> CostEstimate {
        let path = path(list)
        return path.isEmpty ? .unknown : declaredSize(path + ["@items"]) ?? .unknown
    }

    private func replacement(_ target: Expression, _ arguments: [Expression]) -> (CostEstimate, CostEstimate?) {
        let size = sizeOrUnknown(target)
        let old = sizeOrUnknown(arguments[0])
        let new = sizeOrUnknown(arguments[1])
        func quotient(_ a: UInt64, _ b: UInt64) -> UInt64 { b == 0 ? 0 : a / b + (a % b == 0 ? 0 : 1) }
        var count = CostEstimate.zero
        var kept = CostEstimate.zero
        if old.min == 0 {
            count.max = Cost.sum(size.max, 1)
            kept.max = size.max
        } else if new.max <= old.min {
            kept.max = size.max
        } else {
            count.max = quotient(size.max, old.min)
        }
        if old.max == 0 {
            count.min = Cost.sum(size.min, 1)
            kept.min = size.min
        } else if old.max <= new.min {
            kept.min = size.min
        } else {
            count.min = quotient(size.min, old.max)
        }
        return (size.scaled(2 * Cost.traversal), count * new + kept)
    }

    private func splitting(_ target: Expression, _ arguments: [Expression]) -> (CostEstimate, CostEstimate?) {
        let size = sizeOrUnknown(target)
        var most = size.max
        if arguments.count > 1, case .literal(.int(let limit)) = arguments[1].kind { most = UInt64(bitPattern: limit) }
        return (size.scaled(2 * Cost.traversal), CostEstimate(0, most))
    }

    private func joining(_ target: Expression, _ arguments: [Expression]) -> (CostEstimate, CostEstimate?) {
        let count = sizeOrUnknown(target)
        var size = CostEstimate.zero
        if case .list = type(target) { size = count * elementSize(target) }
        if let separator = arguments.first {
            size = size + sizeOrUnknown(separator) * CostEstimate(count.min > 0 ? count.min - 1 : 0, count.max > 0 ? count.max - 1 : 0)
        }
        return (size.scaled(Cost.traversal), size)
    }

    private func containment(_ call: Call, _ argument: Expression) -> CostEstimate {
        let size = CostEstimate(4, 16)
        var sum = (size + size).scaled(Cost.traversal)
        if call.function == "containsCIDR" { sum = sum + size.scaled(Cost.traversal) + CostEstimate(1) }
        if call.overload.hasSuffix("_string") { sum = sum + sizeOrUnknown(argument).scaled(Cost.traversal) }
        return sum
    }

    private func opaqueEquality(_ arguments: [Expression]) -> (CostEstimate, CostEstimate?)? {
        guard arguments.count == 2, case .opaque(let name, let inner) = type(arguments[0]), inner.isEmpty, type(arguments[1]) == type(arguments[0]) else {
            return nil
        }
        switch name {
        case "kubernetes.NamedFormat": return (CostEstimate(1, 64).scaled(Cost.traversal), nil)
        case "kubernetes.URL":
            let size = size(arguments[1])?.max ?? 1
            return (CostEstimate(1, size).scaled(Cost.traversal), nil)
        default: return (CostEstimate(1), nil)
        }
    }
}
