package import Client
package import Core
import Logging
import Machinery
package import Schema
import Synchronization
import Tree

/// Deletes what has lost its owners, in the way that the owners' deletion asked for: background, foreground or orphan.
///
/// It keeps no graph of its own: an index by owner over all tables of the view answers who depends on whom, and a map by uid
/// who exists. An owner that is not seen is asked for at the API before anything is deleted.
package final class GarbageCollector: Sendable {
    /// Where an object of a kind is.
    package struct Served: Sendable, Hashable {
        package let resource: GroupVersionResource
        package let isNamespaced: Bool
        package init(_ resource: GroupVersionResource, isNamespaced: Bool) {
            self.resource = resource
            self.isNamespaced = isNamespaced
        }
    }

    /// One object in the cluster.
    struct Item: Hashable, Sendable {
        let resource: GroupVersionResource
        let key: ObjectKey
    }

    struct State {
        var queue = KeyQueue<Item>()
        var followed: Set<GroupVersionResource> = []
        /// Who exists, by uid.
        var items: [String: Item] = [:]
        /// Uids known to be gone for good; forgotten when they are many.
        var gone: Set<String> = []
    }

    let view: ClusterView
    let recorder: EventRecorder
    let state = Mutex(State())
    let served: @Sendable (GroupVersionKind) -> Served?
    private let resources: @Sendable () -> [GroupVersionResource]
    private let time: any TimeSource
    private let wakes: AsyncStream<Void>
    private let wake: AsyncStream<Void>.Continuation
    private let alarm = Alarm()
    private let log = Logger(label: "garbage-collector")
    private static let definitions = GroupVersionResource(group: "apiextensions.k8s.io", version: "v1", resource: "customresourcedefinitions")
    private static let parallelism = 16

    /// `resources` are all that can be listed, watched and deleted, one version each, as of now; `served` finds a kind in any version.
    package init(
        view: ClusterView, recorder: EventRecorder, resources: @escaping @Sendable () -> [GroupVersionResource],
        served: @escaping @Sendable (GroupVersionKind) -> Served?, time: any TimeSource = SystemTime()
    ) {
        self.view = view
        self.recorder = recorder
        self.resources = resources
        self.served = served
        self.time = time
        (wakes, wake) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
        refresh()
        view.declare(GarbageCollector.definitions, onlyMetadata: true)
        view.listen(GarbageCollector.definitions) { [self] _ in
            refresh()
            wake.yield()
        }
    }

    /// Follows what is served now, and no longer what is not. Events own nothing and have no owners.
    private func refresh() {
        let now = Set(resources().filter { $0.resource != "events" })
        let (added, removed) = state.withLock { state in
            let change = (now.subtracting(state.followed), state.followed.subtracting(now))
            state.followed = now
            return change
        }
        for resource in added {
            // Listening first: no object of the first list may be missed.
            view.listen(resource) { [self] in observe($0) }
            // Of what only this reads, owners and finalizers are enough.
            let isForeign = resource == GarbageCollector.definitions || (resource.group.contains(".") && !resource.group.hasSuffix(".k8s.io"))
            view.declare(resource, indexes: [.owner], onlyMetadata: isForeign)
        }
        for resource in removed { view.withdraw(resource) }
    }

    // MARK: - Events

    private func observe(_ change: ClusterView.Change) {
        let item = Item(resource: change.resource, key: change.key)
        let isWaiting = [GarbageCollector.orphan, GarbageCollector.foreground].contains { change.new?.finalizers.contains($0) == true }
        var due: [Item] = []
        if let old = change.old, old.uid != change.new?.uid {
            // Its dependents have lost an owner; its own owners may wait for it.
            due += dependents(of: old.uid)
            due += owners(of: old)
        }
        if let new = change.new {
            if !new["metadata"]["ownerReferences"].list.isEmpty || (new.isBeingDeleted && isWaiting) { due.append(item) }
            if new.isBeingDeleted, new.finalizers.contains(GarbageCollector.foreground) { due += dependents(of: new.uid) }
            if let old = change.old, old["metadata"]["ownerReferences"] != new["metadata"]["ownerReferences"] { due += owners(of: old) }
        }
        state.withLock { state in
            if let old = change.old, old.uid != change.new?.uid {
                state.items[old.uid] = nil
                if state.gone.count > 10_000 { state.gone.removeAll() }
                state.gone.insert(old.uid)
            }
            if let new = change.new { state.items[new.uid] = item }
            for item in due { state.queue.add(item) }
        }
        if !due.isEmpty { wake.yield() }
    }

    func dependents(of uid: String) -> [Item] {
        let followed = state.withLock { $0.followed }
        return view.read { cluster in
            var out: [Item] = []
            for resource in followed {
                guard let table = cluster.tables[resource] else { continue }
                for key in table.keys("owner", uid) { out.append(Item(resource: resource, key: key)) }
            }
            return out
        }
    }

    private func owners(of object: Node) -> [Item] {
        state.withLock { state in object.owners.compactMap { state.items[$0.uid] } }
    }

    /// Whether every table was listed, without which nobody can say that there are no dependents.
    var isComplete: Bool {
        let followed = state.withLock { $0.followed }
        return view.read { cluster in followed.allSatisfy { cluster.tables[$0]?.isSynced ?? true } }
    }

    // MARK: - Running

    package func run() async {
        await withDiscardingTaskGroup { group in
            var signals = wakes.makeAsyncIterator()
            group.addTask { await self.keepTime() }
            while !Task.isCancelled {
                while let item = state.withLock({ $0.queue.runningCount < GarbageCollector.parallelism ? $0.queue.take(now: time.now()) : nil }) {
                    group.addTask {
                        await self.handle(item)
                        self.wake.yield()
                    }
                }
                guard await signals.next() != nil else { break }
            }
            group.cancelAll()
        }
    }

    private func handle(_ item: Item) async {
        do {
            try await process(item)
            state.withLock { $0.queue.done(item) }
        } catch {
            if (error as? APIError)?.code != 409, !(error is CancellationError), !(error is NotYet) {
                log.warning("not collected", metadata: ["object": "\(item.resource.resource) \(item.key)", "error": "\(error)"])
            }
            state.withLock { $0.queue.failed(item, now: time.now()) }
            alarm.rearm()
        }
    }

    /// Wakes the loop when the earliest item that waits out its back-off is due.
    private func keepTime() async {
        while !Task.isCancelled {
            let next = state.withLock { state in
                state.queue.wake(time.now())
                return state.queue.nextTime()
            }
            wake.yield()
            await alarm.sleep(for: next.map { max($0 - time.now(), .milliseconds(1)) } ?? .seconds(3600), time: time)
        }
    }
}
