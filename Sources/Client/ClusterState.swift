import Machinery
package import Schema
package import Tree

/// What is known of the cluster at one moment: a table a resource. Plans read it and nothing else, so a test builds one from
/// YAML and a controller from its watches.
package struct ClusterState: Sendable {
    package private(set) var tables: [GroupVersionResource: ObjectTable] = [:]

    package init() {}

    package mutating func declare(_ resource: GroupVersionResource, indexes: [ObjectTable.Index]) {
        for index in indexes { tables[resource, default: ObjectTable()].add(index) }
        if tables[resource] == nil { tables[resource] = ObjectTable() }
    }

    package mutating func withdraw(_ resource: GroupVersionResource) { tables[resource] = nil }

    package subscript(_ resource: GroupVersionResource) -> ObjectTable {
        get {
            guard let table = tables[resource] else { preconditionFailure("\(resource) was not declared") }
            return table
        }
        _modify {
            // Through the dictionary's own accessor, so that the table is edited in place.
            yield &tables[resource, default: ObjectTable()]
        }
    }

    package func get(_ resource: GroupVersionResource, _ key: ObjectKey) -> Node? { tables[resource]?[key] }
    package func get(_ resource: GroupVersionResource, _ namespace: String, _ name: String) -> Node? { get(resource, ObjectKey(namespace, name)) }

    /// The objects whose owner references name this uid, oldest first and then by name.
    package func owned(_ resource: GroupVersionResource, by uid: String) -> [Node] {
        self[resource].objects("owner", uid).sorted(by: ClusterState.olderFirst)
    }

    package func inNamespace(_ resource: GroupVersionResource, _ namespace: String) -> [Node] {
        self[resource].objects("namespace", namespace).sorted(by: ClusterState.olderFirst)
    }

    package static func olderFirst(_ a: Node, _ b: Node) -> Bool {
        let x = a["metadata"]["creationTimestamp"].string ?? ""
        let y = b["metadata"]["creationTimestamp"].string ?? ""
        return x == y ? a.name < b.name : x < y
    }
}
