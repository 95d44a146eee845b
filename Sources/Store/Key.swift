/// Names one object: the collection it is in, its namespace ("" for what has none) and its name.
/// Ordered as lists are: by namespace, then name, within a resource.
package struct Key: Hashable, Sendable, CustomStringConvertible {
    /// The collection, in whatever form the caller keeps to (`pods`, `apps/deployments`).
    package let resource: String
    package let namespace: String
    package let name: String

    package init(_ resource: String, namespace: String = "", name: String) {
        self.resource = resource
        self.namespace = namespace
        self.name = name
    }

    package var description: String { namespace.isEmpty ? "\(resource) \(name)" : "\(resource) \(namespace)/\(name)" }
}

/// A place in the order of a list, between keys or on one: where a page starts.
package struct ListPosition: Hashable, Sendable, Comparable {
    package let namespace: String
    package let name: String

    package init(namespace: String, name: String) {
        self.namespace = namespace
        self.name = name
    }

    package static func < (a: ListPosition, b: ListPosition) -> Bool {
        a.namespace == b.namespace ? a.name < b.name : a.namespace < b.namespace
    }
}

extension Key {
    package var position: ListPosition { ListPosition(namespace: namespace, name: name) }
}
