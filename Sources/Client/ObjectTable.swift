import Machinery
package import Tree

/// The objects of one resource as last seen, with the indexes that its readers asked for.
package struct ObjectTable: Sendable {
    /// A name for an index, with what an object is found under in it.
    package struct Index: Sendable {
        package let name: String
        package let values: @Sendable (Node) -> [String]
        package init(_ name: String, _ values: @escaping @Sendable (Node) -> [String]) {
            self.name = name
            self.values = values
        }

        /// By the uid of each owner.
        package static let owner = Index("owner") { $0["metadata"]["ownerReferences"].list.compactMap { $0["uid"].string } }
        package static let namespace = Index("namespace") { [$0.namespace] }
        /// Pods by the node they are bound to; unbound ones under "".
        package static let node = Index("node") { [$0["spec"]["nodeName"].string ?? ""] }
    }

    package private(set) var objects: [ObjectKey: Node] = [:]
    /// Everything up to this revision is in the table; 0 before the first list.
    package internal(set) var revision: Int64 = 0
    package internal(set) var isSynced = false
    private var indexes: [String: (index: Index, keys: [String: Set<ObjectKey>])] = [:]

    package init(indexes: [Index] = []) {
        for index in indexes { add(index) }
    }

    /// Adds an index over what is there and what comes; an index of that name that exists stays.
    package mutating func add(_ index: Index) {
        guard indexes[index.name] == nil else { return }
        var keys: [String: Set<ObjectKey>] = [:]
        for (key, object) in objects { for value in index.values(object) { keys[value, default: []].insert(key) } }
        indexes[index.name] = (index, keys)
    }

    package subscript(_ key: ObjectKey) -> Node? { objects[key] }

    package var count: Int { objects.count }

    /// What an index holds under a value, in no order. The index must have been added.
    package func keys(_ index: String, _ value: String) -> Set<ObjectKey> {
        guard let entry = indexes[index] else { preconditionFailure("no index \(index)") }
        return entry.keys[value] ?? []
    }

    package func objects(_ index: String, _ value: String) -> [Node] { keys(index, value).compactMap { objects[$0] } }

    /// Sets or (nil) removes an object; returns what stood there.
    @discardableResult
    package mutating func set(_ key: ObjectKey, _ object: Node?) -> Node? {
        let old = objects[key]
        objects[key] = object
        for name in indexes.keys {
            guard let index = indexes[name]?.index else { continue }
            let before = old.map(index.values) ?? []
            let after = object.map(index.values) ?? []
            if before == after { continue }
            for value in before {
                indexes[name]?.keys[value]?.remove(key)
                if indexes[name]?.keys[value]?.isEmpty == true { indexes[name]?.keys[value] = nil }
            }
            for value in after { indexes[name]?.keys[value, default: []].insert(key) }
        }
        return old
    }
}
