/// Functions of lists, Kubernetes' own and the extended ones.
enum ListsLibrary: FunctionLibrary {
    private static let a = CELType.parameter("A")
    private static let comparable: [(String, CELType)] = [
        ("int", .int), ("uint", .uint), ("double", .double), ("bool", .bool), ("duration", .duration), ("timestamp", .timestamp), ("string", .string),
        ("bytes", .bytes),
    ]

    static func declare(_ table: inout FunctionTable) {
        folds(&table)
        positions(&table)
        shapes(&table)
    }

    private static func folds(_ table: inout FunctionTable) {
        for (name, type) in comparable {
            table.member("isSorted", "list_\(name)_is_sorted_bool", [.list(type)], .bool) {
                let items = try $0.list(0).values
                for index in items.indices.dropFirst() where try items[index - 1].order(items[index]) > 0 { return .false }
                return .true
            }
            table.member("max", "list_\(name)_max_\(name)", [.list(type)], type) { try extreme(try $0.list(0), "max") { $0 < 0 } }
            table.member("min", "list_\(name)_min_\(name)", [.list(type)], type) { try extreme(try $0.list(0), "min") { $0 > 0 } }
        }
        let zeros: [(String, CELType, Value)] = [("int", .int, .int(0)), ("uint", .uint, .uint(0)), ("double", .double, .double(0)), ("duration", .duration, .duration(0))]
        for (name, type, zero) in zeros {
            table.member("sum", "list_\(name)_sum_\(name)", [.list(type)], type) {
                var total: Value?
                for item in try $0.list(0) { total = try total.map { try Arithmetic.add($0, item) } ?? item }
                return total ?? zero
            }
        }
    }

    private static func extreme(_ list: ListValue, _ name: String, _ isBetter: (Int) -> Bool) throws(EvaluationError) -> Value {
        var best: Value?
        for item in list {
            guard let current = best else {
                best = item
                continue
            }
            if isBetter(try current.order(item)) { best = item }
        }
        guard let best else { throw EvaluationError("\(name) called on empty list") }
        return best
    }

    private static func positions(_ table: inout FunctionTable) {
        table.member("indexOf", "list_a_index_of_int", [.list(a), a], .int) { arguments in
            let list = try arguments.list(0)
            return .int(Int64((0..<list.count).first { list[$0].equals(arguments[1]) } ?? -1))
        }
        table.member("lastIndexOf", "list_a_last_index_of_int", [.list(a), a], .int) { arguments in
            let list = try arguments.list(0)
            return .int(Int64((0..<list.count).last { list[$0].equals(arguments[1]) } ?? -1))
        }
        table.member("first", "list_first", [.list(a)], .optional(a)) {
            let list = try $0.list(0)
            return list.count == 0 ? .none : .some(list[0])
        }
        table.member("last", "list_last", [.list(a)], .optional(a)) {
            let list = try $0.list(0)
            return list.count == 0 ? .none : .some(list[list.count - 1])
        }
    }

    private static func shapes(_ table: inout FunctionTable) {
        table.member("slice", "list_slice", [.list(a), .int, .int], .list(a)) {
            let list = try $0.list(0)
            let (start, end) = (try $0.int(1), try $0.int(2))
            if start < 0 || end < 0 { throw EvaluationError("cannot slice(\(start), \(end)), negative indexes not supported") }
            if start > end { throw EvaluationError("cannot slice(\(start), \(end)), start index must be less than or equal to end index") }
            if end > list.count { throw EvaluationError("cannot slice(\(start), \(end)), list is length \(list.count)") }
            return .list(Array(list.values[Int(start)..<Int(end)]))
        }
        table.member("flatten", "list_flatten", [.list(.list(a))], .list(a)) { .list(flatten(try $0.list(0), depth: 1)) }
        table.member("flatten", "list_flatten_int", [.list(.dyn), .int], .list(.dyn)) {
            let depth = try $0.int(1)
            if depth < 0 { throw EvaluationError("level must be non-negative") }
            return .list(flatten(try $0.list(0), depth: depth))
        }
        for (name, type) in comparable {
            table.member("sort", "list_\(name)_sort", [.list(type)], .list(type)) {
                let list = try $0.list(0)
                return try sorted(list, by: list)
            }
            table.member("@sortByAssociatedKeys", "list_\(name)_sortByAssociatedKeys", [.list(a), .list(type)], .list(a)) {
                try sorted(try $0.list(0), by: try $0.list(1))
            }
        }
        table.member("distinct", "list_distinct", [.list(a)], .list(a)) {
            var out: [Value] = []
            for item in try $0.list(0) where !out.contains(where: { $0.equals(item) }) { out.append(item) }
            return .list(out)
        }
        table.member("reverse", "list_reverse", [.list(a)], .list(a)) { .list(try $0.list(0).values.reversed()) }
        table.global("lists.range", "lists_range", [.int], .list(.int)) {
            let count = try $0.int(0)
            if count > 1_000_000 { throw EvaluationError.overBudget }
            return .list((0..<max(0, count)).map(Value.int))
        }
    }

    private static func flatten(_ list: ListValue, depth: Int64) -> [Value] {
        var out: [Value] = []
        for item in list {
            if depth > 0, case .list(let inner) = item { out += flatten(inner, depth: depth - 1) } else { out.append(item) }
        }
        return out
    }

    private static func sorted(_ list: ListValue, by keys: ListValue) throws(EvaluationError) -> Value {
        guard list.count == keys.count else {
            throw EvaluationError("@sortByAssociatedKeys() expected a list of the same size as the associated keys list, but got \(list.count) and \(keys.count) elements respectively")
        }
        var entries = (0..<list.count).map { (key: keys[$0], item: list[$0]) }
        if let first = entries.first, entries.contains(where: { $0.key.type.name != first.key.type.name }) {
            throw EvaluationError("list elements must have the same type")
        }
        var failure: EvaluationError?
        entries.sort { a, b in
            do throws(EvaluationError) { return try a.key.order(b.key) < 0 } catch {
                failure = error
                return false
            }
        }
        if let failure { throw failure }
        return .list(entries.map(\.item))
    }
}

/// Lists taken as sets.
enum SetsLibrary: FunctionLibrary {
    static func declare(_ table: inout FunctionTable) {
        let lists: [CELType] = [.list(.parameter("T")), .list(.parameter("T"))]
        table.global("sets.contains", "list_sets_contains_list", lists, .bool) { .bool(covers(try $0.list(0), try $0.list(1))) }
        table.global("sets.equivalent", "list_sets_equivalent_list", lists, .bool) {
            let (left, right) = (try $0.list(0), try $0.list(1))
            return .bool(covers(left, right) && covers(right, left))
        }
        table.global("sets.intersects", "list_sets_intersects_list", lists, .bool) {
            let (left, right) = (try $0.list(0), try $0.list(1))
            return .bool(left.contains { item in right.contains { $0.equals(item) } })
        }
    }

    private static func covers(_ list: ListValue, _ part: ListValue) -> Bool {
        part.allSatisfy { item in list.contains { $0.equals(item) } }
    }
}
