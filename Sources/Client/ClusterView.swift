import Core
import Logging
import Machinery
import Synchronization
package import Schema
package import Tree

/// A live `ClusterState`, kept true by one list and watch a resource, shared by all who read the cluster in this process.
///
/// Reads happen under its lock and must not wait for anything; changes are told after the lock is released, in order per resource.
package final class ClusterView: Sendable {
    package struct Change: Sendable {
        package let resource: GroupVersionResource
        package let key: ObjectKey
        package let old: Node?
        package let new: Node?
    }

    package typealias Listener = @Sendable (Change) -> Void

    private struct State {
        var cluster = ClusterState()
        var listeners: [GroupVersionResource: [Listener]] = [:]
        var waiting: [GroupVersionResource: [(revision: Int64, resume: CheckedContinuation<Void, Never>)]] = [:]
    }

    package let client: any ClusterClient
    private let state = Mutex(State())
    private let log = Logger(label: "view")

    package init(client: any ClusterClient) { self.client = client }

    /// Says before `run` what will be read, and with which indexes.
    package func declare(_ resource: GroupVersionResource, indexes: [ObjectTable.Index] = []) {
        state.withLock { $0.cluster.declare(resource, indexes: indexes) }
    }

    package func listen(_ resource: GroupVersionResource, _ listener: @escaping Listener) {
        state.withLock { $0.listeners[resource, default: []].append(listener) }
    }

    package func read<Result: Sendable>(_ body: (borrowing ClusterState) -> Result) -> Result {
        state.withLock { body($0.cluster) }
    }

    package func get(_ resource: GroupVersionResource, _ key: ObjectKey) -> Node? { read { $0.get(resource, key) } }

    /// Returns once the table holds everything up to a revision: the barrier that makes a writer see its own writes.
    package func reached(_ revision: Int64, _ resource: GroupVersionResource) async {
        await withCheckedContinuation { continuation in
            let ready = state.withLock { state -> Bool in
                guard let table = state.cluster.tables[resource], table.revision < revision else { return true }
                state.waiting[resource, default: []].append((revision, continuation))
                return false
            }
            if ready { continuation.resume() }
        }
    }

    /// Returns once every declared resource was listed.
    package func synced() async {
        for resource in state.withLock({ Array($0.cluster.tables.keys) }) { await reached(1, resource) }
    }

    /// Lists and watches all declared resources until cancelled.
    package func run() async {
        await withTaskGroup(of: Void.self) { group in
            for resource in state.withLock({ Array($0.cluster.tables.keys) }) {
                group.addTask { await self.follow(resource) }
            }
        }
    }

    private func follow(_ resource: GroupVersionResource) async {
        var backoff = Backoff(base: .milliseconds(20), limit: .seconds(5))
        while !Task.isCancelled {
            do {
                let list = try await client.list(resource, ListOptions())
                replace(resource, with: list)
                backoff.reset()
                for try await event in client.watch(resource, ListOptions(), from: list.resourceVersion) { apply(event, to: resource) }
            } catch {
                if Task.isCancelled { return }
                log.debug("list and watch again", metadata: ["resource": "\(resource)", "error": "\(error)"])
            }
            try? await Task.sleep(for: backoff.next())
        }
    }

    // MARK: - Changes

    private func replace(_ resource: GroupVersionResource, with list: ObjectList) {
        var changes: [Change] = []
        finish(resource) { state in
            var gone = Set(state.cluster[resource].objects.keys)
            for object in list.items {
                let key = ObjectKey(object.namespace, object.name)
                gone.remove(key)
                let old = state.cluster[resource].set(key, object)
                if old?.revision != object.revision { changes.append(Change(resource: resource, key: key, old: old, new: object)) }
            }
            for key in gone {
                let old = state.cluster[resource].set(key, nil)
                changes.append(Change(resource: resource, key: key, old: old, new: nil))
            }
            state.cluster[resource].revision = max(list.resourceVersion, 1)
            state.cluster[resource].isSynced = true
            return changes
        }
    }

    private func apply(_ event: ObjectEvent, to resource: GroupVersionResource) {
        finish(resource) { state in
            switch event {
            case .added(let object), .modified(let object):
                let key = ObjectKey(object.namespace, object.name)
                let old = state.cluster[resource].set(key, object)
                state.cluster[resource].revision = max(state.cluster[resource].revision, object.revision)
                return [Change(resource: resource, key: key, old: old, new: object)]
            case .deleted(let object):
                let key = ObjectKey(object.namespace, object.name)
                let old = state.cluster[resource].set(key, nil)
                state.cluster[resource].revision = max(state.cluster[resource].revision, object.revision)
                return [Change(resource: resource, key: key, old: old ?? object, new: nil)]
            case .bookmark(let revision):
                state.cluster[resource].revision = max(state.cluster[resource].revision, revision)
                return []
            }
        }
    }

    /// Edits under the lock, then wakes who waited for the revision reached and tells the listeners.
    private func finish(_ resource: GroupVersionResource, _ edit: (inout State) -> [Change]) {
        let (changes, listeners, resumed) = state.withLock { state -> ([Change], [Listener], [CheckedContinuation<Void, Never>]) in
            let changes = edit(&state)
            let revision = state.cluster[resource].revision
            var resumed: [CheckedContinuation<Void, Never>] = []
            if let waiting = state.waiting[resource] {
                resumed = waiting.filter { $0.revision <= revision }.map(\.resume)
                if !resumed.isEmpty { state.waiting[resource] = waiting.filter { $0.revision > revision } }
            }
            return (changes, state.listeners[resource] ?? [], resumed)
        }
        for change in changes { for listener in listeners { listener(change) } }
        for continuation in resumed { continuation.resume() }
    }
}
