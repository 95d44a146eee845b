import Core
package import Machinery
import Tree

/// The printed cells of each kind, in the order of the schema's columns; a kind that is not here prints its name and age.
package enum KindCells {
    package static func of(group: String, kind: String) -> (any Cells)? { table["\(group)/\(kind)"] }

    typealias Row = @Sendable (Node, Timestamp) -> [Node]

    private struct RowCells: Cells {
        let row: Row
        func cells(_ object: Node, now: Timestamp) -> [Node] { row(object, now) }
    }

    private static let table: [String: RowCells] = {
        var table: [String: RowCells] = [:]
        for family in [core, corePods, apps, batch, autoscaling, networking, storage, access, policies, registration, metrics] {
            for (kind, row) in family { table[kind] = RowCells(row: row) }
        }
        return table
    }()

    @Sendable static func nameAndAge(_ object: Node, _ now: Timestamp) -> [Node] { [Cell.name(object), Cell.age(of: object, now: now)] }
}

// MARK: - Parts of cells

extension KindCells {
    /// A number that is 0 when absent, as Go's integers are.
    static func count(_ value: Node) -> Node { .int(value.int ?? 0) }

    static func text(_ value: Node, or fallback: String = "") -> Node {
        guard let text = value.string, !text.isEmpty else { return .string(fallback) }
        return .string(text)
    }

    /// The names and the images of containers.
    static func containers(_ spec: Node) -> [Node] {
        let containers = spec["containers"].list
        func join(_ key: String) -> Node { .string(containers.map { $0[key].string ?? "" }.joined(separator: ",")) }
        return [join("name"), join("image")]
    }

    /// `a,b,c + 2 more...`.
    static func some(_ list: [String], of count: Int, limit: Int, none: String, separator: String = ",") -> Node {
        if list.isEmpty { return .string(none) }
        let text = list.prefix(limit).joined(separator: separator)
        return .string(count > limit ? "\(text) + \(count - limit) more..." : text)
    }

    /// `True`, `False`, `<unset>`.
    static func flag(_ value: Node) -> Node {
        guard let flag = value.bool else { return "<unset>" }
        return flag ? "True" : "False"
    }

    /// A number or a text, as text.
    static func either(_ value: Node, none: String) -> Node {
        if let number = value.int { return .string("\(number)") }
        return .string(value.string ?? none)
    }

    static func status(_ conditions: Node, _ type: String) -> String? {
        conditions.list.first { $0["type"].string == type }?["status"].string
    }
}
