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
        var waiting: [GroupVersionResource: [Waiter]] = [:]
        var waiters = 0
        /// Resources of which only metadata is kept.
        var trimmed: Set<GroupVersionResource> = []

        func kept(_ object: Node, of resource: GroupVersionResource) -> Node {
            guard trimmed.contains(resource) else { return object }
            var metadata = object["metadata"]
            metadata.remove("managedFields")
            metadata.remove("annotations")
            return ["kind": object["kind"], "apiVersion": object["apiVersion"], "metadata": metadata]
        }
    }

    private struct Waiter {
        let id: Int
        let revision: Int64
        let resume: CheckedContinuation<Void, Never>
    }

    package let client: any ClusterClient
    private let state = Mutex(State())
    private let log = Logger(label: "view")
    private let declared: AsyncStream<GroupVersionResource>
    private let declaring: AsyncStream<GroupVersionResource>.Continuation

    package init(client: any ClusterClient) {
        self.client = client
        (declared, declaring) = AsyncStream.makeStream()
    }

    /// Says what will be read, and with which indexes; before `run` or while it runs.
    /// `onlyMetadata`: nobody ever asks for more of this resource, so no more is kept.
    package func declare(_ resource: GroupVersionResource, indexes: [ObjectTable.Index] = [], onlyMetadata: Bool = false) {
        let isNew = state.withLock { state in
            let isNew = state.cluster.tables[resource] == nil
            state.cluster.declare(resource, indexes: indexes)
            if onlyMetadata { if isNew { state.trimmed.insert(resource) } } else { state.trimmed.remove(resource) }
            return isNew
        }
        if isNew { declaring.yield(resource) }
    }

    /// Ends the reading of a resource that is no longer served; its table and listeners go.
    package func withdraw(_ resource: GroupVersionResource) {
        let waiting = state.withLock { state in
            state.cluster.withdraw(resource)
            state.listeners[resource] = nil
            return state.waiting.removeValue(forKey: resource) ?? []
        }
        for waiter in waiting { waiter.resume.resume() }
    }

    package func listen(_ resource: GroupVersionResource, _ listener: @escaping Listener) {
        state.withLock { $0.listeners[resource, default: []].append(listener) }
    }

    package func read<Result: Sendable>(_ body: (borrowing ClusterState) -> Result) -> Result {
        state.withLock { body($0.cluster) }
    }

    package func get(_ resource: GroupVersionResource, _ key: ObjectKey) -> Node? { read { $0.get(resource, key) } }

    /// Returns once the table holds everything up to a revision: the barrier that makes a writer see its own writes.
    /// Returns at once when its task is cancelled.
    package func reached(_ revision: Int64, _ resource: GroupVersionResource) async {
        let id = state.withLock { state in
            state.waiters += 1
            return state.waiters
        }
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let ready = state.withLock { state -> Bool in
                    guard !Task.isCancelled, let table = state.cluster.tables[resource], table.revision < revision else { return true }
                    state.waiting[resource, default: []].append(Waiter(id: id, revision: revision, resume: continuation))
                    return false
                }
                if ready { continuation.resume() }
            }
        } onCancel: {
            let waiter = state.withLock { state -> Waiter? in
                guard let index = state.waiting[resource]?.firstIndex(where: { $0.id == id }) else { return nil }
                return state.waiting[resource]?.remove(at: index)
            }
            waiter?.resume.resume()
        }
    }

    /// Returns once every declared resource was listed.
    package func synced() async {
        for resource in state.withLock({ Array($0.cluster.tables.keys) }) { await reached(1, resource) }
    }

    /// Lists and watches all declared resources, also those declared meanwhile, until cancelled.
    package func run() async {
        await withDiscardingTaskGroup { group in
            for await resource in declared { group.addTask { await self.follow(resource) } }
            group.cancelAll()
        }
    }

    private func isDeclared(_ resource: GroupVersionResource) -> Bool { state.withLock { $0.cluster.tables[resource] != nil } }

    private func follow(_ resource: GroupVersionResource) async {
        var backoff = Backoff(base: .milliseconds(20), limit: .seconds(5))
        while !Task.isCancelled, isDeclared(resource) {
            do {
                let start = try await relist(resource)
                backoff.reset()
                for try await event in client.watch(resource, ListOptions(), from: start) {
                    guard isDeclared(resource) else { return }
                    apply(event, to: resource)
                }
            } catch {
                if Task.isCancelled { return }
                log.debug("list and watch again", metadata: ["resource": "\(resource)", "error": "\(error)"])
            }
            try? await Task.sleep(for: backoff.next())
        }
    }

    /// The list itself is gone when the watch begins: what is kept of it is in the table.
    private func relist(_ resource: GroupVersionResource) async throws -> Int64 {
        let list = try await client.list(resource, ListOptions())
        replace(resource, with: list)
        return list.resourceVersion
    }

    // MARK: - Changes

    private func replace(_ resource: GroupVersionResource, with list: ObjectList) {
        var changes: [Change] = []
        finish(resource) { state in
            var gone = Set(state.cluster[resource].objects.keys)
            for item in list.items {
                let object = state.kept(item, of: resource)
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
            case .added(let whole), .modified(let whole):
                let object = state.kept(whole, of: resource)
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
            guard state.cluster.tables[resource] != nil else { return ([], [], []) }
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
