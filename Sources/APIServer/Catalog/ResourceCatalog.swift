package import Machinery
package import Schema
import Synchronization

/// Which resources there are right now: the built-in ones, and those that CustomResourceDefinitions add while the server runs.
package final class ResourceCatalog: Sendable {
    fileprivate struct State {
        var byResource: [GroupVersionResource: ServedResource] = [:]
        var byKind: [GroupVersionKind: ServedResource] = [:]
        var builtin: [ServedResource] = []
        var custom: [ServedResource] = []
        /// Changes with every change: what discovery and OpenAPI documents are cached by.
        var generation = 0
    }

    package let graph: Graph
    package let canonical: Canonical
    private let state: Mutex<State>
    private let observers = Mutex<[@Sendable () -> Void]>([])

    package init(graph: Graph) {
        self.graph = graph
        canonical = Canonical(graph)
        var state = State()
        for resource in graph.resources where !resource.verbs.isEmpty {
            let (collection, storage) = ResourceCatalog.storage(of: resource, graph)
            state.add(
                ServedResource(
                    resource, canonical: canonical, collection: collection, storageAPIVersion: storage, selectableFields: SelectableFields.of(collection)))
        }
        self.state = Mutex(state)
    }

    /// The most preferred version of the group that has the resource. Events of both groups are the same objects.
    private static func storage(of resource: Schema.Resource, _ graph: Graph) -> (collection: String, apiVersion: String) {
        if resource.group == "events.k8s.io" { return ("events", "v1") }
        if resource.group.isEmpty { return (resource.name, resource.version) }
        let versions = graph.groups.first { $0.name == resource.group }?.versions ?? [resource.version]
        let version = versions.first { graph.resource(GroupVersionResource(group: resource.group, version: $0, resource: resource.name)) != nil }
        return ("\(resource.group)/\(resource.name)", "\(resource.group)/\(version ?? resource.version)")
    }

    package func resource(_ gvr: GroupVersionResource) -> ServedResource? { state.withLock { $0.byResource[gvr] } }
    package func resource(of kind: GroupVersionKind) -> ServedResource? { state.withLock { $0.byKind[kind] } }
    package var generation: Int { state.withLock { $0.generation } }
    /// Built-in first, in discovery's order.
    package var all: [ServedResource] { state.withLock { $0.builtin + $0.custom } }

    /// `body` is called after each change, on the thread that made it.
    package func observe(_ body: @escaping @Sendable () -> Void) { observers.withLock { $0.append(body) } }

    /// Replaces all custom resources of one definition, which `name` (`widgets.example.com`) identifies.
    package func replaceCustom(plural: String, group: String, with served: [ServedResource]) {
        state.withLock { state in
            for old in state.custom where old.plural == plural && old.group == group {
                state.byResource[old.gvr] = nil
                state.byKind[old.resource.gvk] = nil
            }
            state.custom.removeAll { $0.plural == plural && $0.group == group }
            for resource in served {
                state.custom.append(resource)
                state.byResource[resource.gvr] = resource
                state.byKind[resource.resource.gvk] = resource
            }
            state.generation += 1
        }
        for observer in observers.withLock({ $0 }) { observer() }
    }
}

extension ResourceCatalog.State {
    mutating func add(_ served: ServedResource) {
        builtin.append(served)
        byResource[served.gvr] = served
        byKind[served.resource.gvk] = served
    }
}
