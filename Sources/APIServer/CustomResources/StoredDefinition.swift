package import Schema
package import Store
package import Tree

/// One version of a custom resource's definition, read from the store whenever somebody asks: its schema is large, and most of it is for
/// documents and rules that few ask for.
package struct StoredDefinition: Sendable {
    private let store: Store
    private let name: String
    private let version: String

    package init(_ store: Store, name: String, version: String) {
        self.store = store
        self.name = name
        self.version = version
    }

    private var definition: Node {
        let record = store.get(Key(CustomResources.collection, namespace: "", name: name))
        return (try? record?.node()) ?? .null
    }

    /// As its author wrote it; null when it is gone.
    package var schema: Node {
        definition["spec"]["versions"].list.first { $0["name"].string == version }?["schema"]["openAPIV3Schema"] ?? .null
    }

    /// With all that documents tell; nil when it is gone.
    package var graph: Graph? { try? Graph(customResourceDefinition: definition, version: version) }
}
