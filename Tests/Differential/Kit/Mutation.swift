package import Tree

/// One deed to an object: a value put at a path or a path taken away, as `spec.replicas=-1` or `-spec.selector` say it.
package struct Mutation: Sendable {
    enum Step: Equatable { case key(String), index(Int) }

    let path: [Step]
    /// Nil takes the path away.
    let value: Node?

    /// Reads deeds parted by ` ; `.
    package static func read(_ text: String) throws -> [Mutation] {
        try text.split(separator: " ; ").map { part in
            if part.hasPrefix("-") { return Mutation(path: try steps(part.dropFirst()), value: nil) }
            guard let equals = part.firstIndex(of: "=") else { throw RequestFile.Failure("no value in '\(part)'") }
            return Mutation(path: try steps(part[..<equals]), value: try JSONReader.read(Array(part[part.index(after: equals)...].utf8)))
        }
    }

    private static func steps(_ text: Substring) throws -> [Step] {
        var out: [Step] = []
        for match in text.matches(of: /\["([^"]*)"\]|\[(\d+)\]|\.?([^.\[\]]+)/) {
            if let quoted = match.1 {
                out.append(.key(String(quoted)))
            } else if let index = match.2.flatMap({ Int($0) }) {
                out.append(.index(index))
            } else if let name = match.3 {
                out.append(.key(String(name)))
            }
        }
        if out.isEmpty { throw RequestFile.Failure("no path in '\(text)'") }
        return out
    }

    package func apply(to object: Node) throws -> Node { try Mutation.changed(object, path[...], value) }

    private static func changed(_ node: Node, _ path: ArraySlice<Step>, _ value: Node?) throws -> Node {
        guard let step = path.first else { return value ?? .null }
        let rest = path.dropFirst()
        switch step {
        case .key(let key):
            var fields = node.fields
            guard !rest.isEmpty || value != nil else {
                fields.remove(key)
                return .map(fields)
            }
            fields[key] = try changed(fields[key] ?? .null, rest, value)
            return .map(fields)
        case .index(let index):
            guard case .list(var items) = node, index <= items.count else { throw RequestFile.Failure("no item \(index)") }
            if rest.isEmpty, value == nil {
                items.remove(at: index)
            } else if index == items.count {
                items.append(try changed(.null, rest, value))
            } else {
                items[index] = try changed(items[index], rest, value)
            }
            return .list(items)
        }
    }
}
