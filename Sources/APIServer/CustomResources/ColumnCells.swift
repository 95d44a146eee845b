import Core
import Machinery
import Schema
import Tree

/// The printed cells of a custom resource: what its columns' JSON paths find.
struct ColumnCells: Cells {
    private let columns: [(path: [Step], type: String)]

    /// One step of a path. Sendable and small: paths are read once per table.
    private enum Step: Sendable {
        case key(String)
        case index(Int)
        /// `[?(@.type=="Ready")]`
        case filter(key: [String], value: String)
        case all
    }

    init(_ resource: Schema.Resource) {
        columns = resource.columns.map { (ColumnCells.parse($0.jsonPath), $0.type) }
    }

    func cells(_ object: Node, now: Timestamp) -> [Node] {
        columns.map { column in
            let found = ColumnCells.find(object, column.path[...])
            guard let first = found.first, !first.isNull else { return .null }
            switch column.type {
            case "date": return Cell.age(first, now: now)
            case "string":
                if found.count > 1 { return .string(found.map(ColumnCells.text).joined(separator: ",")) }
                return .string(ColumnCells.text(first))
            default: return first
            }
        }
    }

    private static func text(_ node: Node) -> String { node.string ?? node.jsonText }

    private static func find(_ node: Node, _ path: ArraySlice<Step>) -> [Node] {
        guard let step = path.first else { return [node] }
        let rest = path.dropFirst()
        switch step {
        case .key(let name): return node.has(name) ? find(node[name], rest) : []
        case .index(let index):
            let items = node.list
            let at = index < 0 ? items.count + index : index
            return items.indices.contains(at) ? find(items[at], rest) : []
        case .all: return (node.list + node.fields.map(\.value)).flatMap { find($0, rest) }
        case .filter(let key, let value):
            return node.list.filter { item in text(key.reduce(item) { $0[$1] }) == value }.flatMap { find($0, rest) }
        }
    }

    /// `.spec.a['b'].c[0]`, `\.` for a dot in a key. What is not understood ends the path.
    private static func parse(_ text: String) -> [Step] {
        var steps: [Step] = []
        var key = ""
        var rest = Substring(text)
        func flush() {
            if !key.isEmpty { steps.append(key == "*" ? .all : .key(key)) }
            key = ""
        }
        while let character = rest.popFirst() {
            switch character {
            case "\\": if let next = rest.popFirst() { key.append(next) }
            case ".": flush()
            case "[":
                flush()
                guard let end = rest.firstIndex(of: "]") else { return steps }
                let inside = rest[..<end]
                rest = rest[rest.index(after: end)...]
                guard let step = bracket(inside) else { return steps }
                steps.append(step)
            default: key.append(character)
            }
        }
        flush()
        return steps
    }

    private static func bracket(_ text: Substring) -> Step? {
        if text == "*" { return .all }
        if let index = Int(text) { return .index(index) }
        if text.hasPrefix("?(@."), text.hasSuffix(")") {
            let parts = text.dropFirst(4).dropLast().split(separator: "==", maxSplits: 1).map { trim($0) }
            guard parts.count == 2 else { return nil }
            return .filter(key: parts[0].split(separator: ".").map(String.init), value: trim(parts[1][...], quotes: true))
        }
        return .key(trim(text, quotes: true))
    }

    private static func trim(_ text: Substring, quotes: Bool = false) -> String {
        var text = text
        func isLoose(_ character: Character?) -> Bool { character == " " || (quotes && (character == "'" || character == "\"")) }
        while isLoose(text.first) { text.removeFirst() }
        while isLoose(text.last) { text.removeLast() }
        return String(text)
    }
}
