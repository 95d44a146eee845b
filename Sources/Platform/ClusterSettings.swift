import Store

/// What a person chose about a cluster.
package struct ClusterSettings: Sendable, Equatable {
    package enum Durability: String, Sendable, CaseIterable { case durable, relaxed, memory }

    package var name = "jangada"
    /// Port of the API on 127.0.0.1; 0 takes a free one.
    package var port = 6443
    /// Port of the registry on 127.0.0.1.
    package var registryPort = 5000
    package var nodes = 1
    package var durability = Durability.durable

    package init() {}

    func location(_ directory: StateDirectory) -> Store.Location {
        switch durability {
        case .durable: .file(directory.database, .durable)
        case .relaxed: .file(directory.database, .relaxed)
        case .memory: .memory
        }
    }
}
