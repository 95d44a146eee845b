package import Core
package import Schema
package import Tree

/// How the cells of a kind's rows are made, in the order of the resource's columns; the kinds supply it.
package protocol Cells: Sendable {
    func cells(_ object: Node, now: Timestamp) -> [Node]
}

/// The `Table` form of objects and lists that `kubectl get` prints.
package struct Table: Sendable {
    /// What each row carries of its object.
    package enum Include: String, Sendable { case none = "None", metadata = "Metadata", object = "Object" }

    /// `columnDefinitions`, which later events of a watch leave out.
    package let definitions: Node
    private let width: Int
    private let cells: (any Cells)?

    /// Without cells of its own a kind has the generic columns: name and creation time.
    package init(_ resource: Resource, _ cells: (any Cells)?) {
        self.cells = cells
        let columns: [Node]
        if cells == nil || resource.columns.isEmpty {
            columns = [
                Table.definition("Name", "string", "name", "Name must be unique within its namespace.", 0),
                Table.definition("Created At", "date", "", "When the object was created.", 0),
            ]
        } else {
            columns = resource.columns.map { Table.definition($0.name, $0.type, $0.format, $0.description, $0.priority) }
        }
        definitions = .list(columns)
        width = columns.count
    }

    private static func definition(_ name: String, _ type: String, _ format: String, _ description: String, _ priority: Int) -> Node {
        ["name": .string(name), "type": .string(type), "format": .string(format), "description": .string(description), "priority": .int(Int64(priority))]
    }

    package func row(_ object: Node, _ include: Include, version: String = "v1", now: Timestamp) -> Node {
        var out: Node = ["cells": .list(padded(cells?.cells(object, now: now) ?? genericCells(object)))]
        switch include {
        case .none: out.setNull("object")
        case .object: out["object"] = object
        case .metadata:
            out["object"] = ["kind": "PartialObjectMetadata", "apiVersion": .string("meta.k8s.io/\(version)"), "metadata": object["metadata"]]
        }
        return out
    }

    private func padded(_ cells: [Node]) -> [Node] {
        cells.count >= width ? cells : cells + Array(repeating: .string("<unknown>"), count: width - cells.count)
    }

    private func genericCells(_ object: Node) -> [Node] {
        [object["metadata"]["name"], .string(object["metadata"]["creationTimestamp"].string ?? "<unknown>")]
    }

    /// A table of `objects`; `metadata` is the list's own, or the object's revision alone.
    package func table(_ objects: [Node], metadata: Node, _ include: Include, version: String = "v1", now: Timestamp, definitions: Bool = true) -> Node {
        [
            "kind": "Table", "apiVersion": .string("meta.k8s.io/\(version)"), "metadata": metadata, "columnDefinitions": definitions ? self.definitions : .null,
            "rows": .list(objects.map { row($0, include, version: version, now: now) }),
        ]
    }
}

/// Cells that many kinds have.
package enum Cell {
    package static func name(_ object: Node) -> Node { object["metadata"]["name"] }

    /// Time since a time; `<unknown>` where there is none.
    package static func age(_ time: Node, now: Timestamp) -> Node {
        guard let time = time.string.flatMap(Timestamp.init(rfc3339:)) else { return "<unknown>" }
        return .string(HumanDuration.text(now - time))
    }
    package static func age(of object: Node, now: Timestamp) -> Node { age(object["metadata"]["creationTimestamp"], now: now) }

    /// `a=b,c=d`, `<none>` for an empty map.
    package static func labels(_ labels: Node) -> Node {
        let pairs = labels.stringMap.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }
        return pairs.isEmpty ? "<none>" : .string(pairs.joined(separator: ","))
    }

    /// `a,b`, `<none>` for an empty list.
    package static func joined(_ texts: [String]) -> Node { texts.isEmpty ? "<none>" : .string(texts.joined(separator: ",")) }

    /// A `LabelSelector` object as text.
    package static func selector(_ selector: Node) -> Node {
        let text = LabelSelector(object: selector).description
        return text.isEmpty ? "<none>" : .string(text)
    }
}
