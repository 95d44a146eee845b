package import Client
import Core
import Machinery
package import Schema
package import Store
import Synchronization
package import Tree

/// The API for the parts of this process: the same verbs, admission and store as over HTTP, without encoding anything.
package final class InProcessClient: ClusterClient {
    private let store: Store
    private let catalog: ResourceCatalog
    private let writer: ObjectWriter
    private let posts: [String: any PostSubresource]
    private let user: UserInfo

    /// `user` is who admission sees and events name.
    package init(store: Store, catalog: ResourceCatalog, writer: ObjectWriter, posts: [String: any PostSubresource], user: UserInfo) {
        self.store = store
        self.catalog = catalog
        self.writer = writer
        self.posts = posts
        self.user = user
    }

    private func served(_ resource: GroupVersionResource) throws(APIError) -> ServedResource {
        guard let served = catalog.resource(resource) else { throw APIError.pathNotFound }
        return served
    }

    private func context(_ verb: String) -> WriteContext {
        var options = WriteOptions()
        options.fieldValidation = .ignore
        // The server's own writes bear the name of upstream's program.
        let isServer = ["system:apiserver", "system:kube-aggregator", "system:apiextensions"].contains(user.name)
        options.fieldManager = isServer ? "kube-apiserver" : user.name.hasPrefix("system:") ? String(user.name.dropFirst(7)) : user.name
        var context = WriteContext(user: user, options: options)
        context.optionsObject = options.node(verb, stated: nil, validation: nil)
        return context
    }

    private func node(_ record: Record, _ served: ServedResource) async throws(APIError) -> Node {
        // Trees of definitions and of what they define are large and seldom asked for.
        let isLarge = served.isCustom || served.collection == CustomResources.collection
        let node = isLarge ? try record.node() : try record.sharedNode()
        return served.isStorageVersion && !served.isCustom ? node : try await writer.conversion.served(node, as: served)
    }

    private func node(_ written: Written, _ served: ServedResource) async throws(APIError) -> Node {
        switch written {
        case .stored(let record, _): try await node(record, served)
        case .unsaved(let object, _): object
        }
    }

    // MARK: - Reading

    package func get(_ resource: GroupVersionResource, _ key: ObjectKey) async throws -> Node {
        let served = try served(resource)
        guard let record = store.get(Key(served.collection, namespace: key.namespace, name: key.name)) else {
            throw APIError.notFound(resource.resource, group: resource.group, name: key.name)
        }
        return try await node(record, served)
    }

    package func list(_ resource: GroupVersionResource, _ options: ListOptions) async throws -> ObjectList {
        let served = try served(resource)
        var query = ListQuery()
        query.selection = try Selection(labels: options.labelSelector ?? "", fields: options.fieldSelector ?? "", served)
        let page = try ListVerb(store: store).page(served, namespace: options.namespace ?? "", query)
        var items: [Node] = []
        items.reserveCapacity(page.records.count)
        if served.converter != nil {
            var stored: [Node] = []
            for record in page.records { stored.append(try record.node()) }
            items = try await writer.conversion.served(stored, as: served)
        } else {
            for record in page.records { items.append(try await node(record, served)) }
        }
        return ObjectList(items: items, resourceVersion: page.metadata.revision)
    }

    package func watch(
        _ resource: GroupVersionResource, _ options: ListOptions, from resourceVersion: Int64
    ) -> AsyncThrowingStream<ObjectEvent, any Error> {
        do {
            let served = try served(resource)
            let selection = try Selection(labels: options.labelSelector ?? "", fields: options.fieldSelector ?? "", served)
            // As it is served when the event is read: a watch goes on for longer than a definition stays as it is.
            let queue = InProcessWatch(selection: selection) { [self] (record) async throws(APIError) in
                guard let served = catalog.resource(resource) else { return try record.node() }
                return try await node(record, served)
            }
            let interest = WatchInterest(served.collection, namespace: options.namespace, name: nil)
            do throws(StoreError) { queue.attach(try store.watch(interest, after: resourceVersion, limit: 100_000, sink: queue)) } catch {
                throw error.apiError(served, name: "")
            }
            return AsyncThrowingStream { try await queue.next() }
        } catch {
            return AsyncThrowingStream { throw error }
        }
    }

    // MARK: - Writing

    package func create(_ resource: GroupVersionResource, namespace: String, _ object: Node) async throws -> Node {
        let served = try served(resource)
        var context = context("create")
        context.isUnlabelled = object["metadata"]["labels"].isEmpty
        return try await node(await writer.create(served, namespace: namespace, typed(object, served), context), served)
    }

    private func typed(_ object: Node, _ served: ServedResource) -> Node {
        var object = object
        object["kind"] = .string(served.kind)
        object["apiVersion"] = .string(served.resource.gvk.apiVersion)
        writer.checks.complete(&object, served)
        return object
    }

    package func update(_ resource: GroupVersionResource, _ object: Node, subresource: String?) async throws -> Node {
        let served = try served(resource)
        let object = typed(object, served)
        var context = context("update")
        context.isReplacement = true
        let written = try await writer.update(
            served, namespace: object.namespace, name: object.name, subresource: subresource ?? "", context) { _ in object }
        return try await node(written, served)
    }

    package func patch(_ resource: GroupVersionResource, _ key: ObjectKey, _ type: PatchType, _ patch: Node, subresource: String?) async throws -> Node {
        let served = try served(resource)
        let verb = try PatchVerb(patch, PatchVerb.Kind(rawValue: type.rawValue) ?? .merge)
        let checks = writer.checks
        var context = context("patch")
        // Parts of this process name the uid that they mean.
        context.isReplacement = true
        let options = context.options
        let written = try await writer.update(served, namespace: key.namespace, name: key.name, subresource: subresource ?? "", context) {
            (current) throws(APIError) in
            let patched = try verb.apply(to: current, graph: served.graph, as: served.resource.message, served)
            return try checks.decode(patched, served, options) { _ in }
        }
        return try await node(written, served)
    }

    package func delete(_ resource: GroupVersionResource, _ key: ObjectKey, _ options: DeleteOptions) async throws -> Node {
        let served = try served(resource)
        var deletion = DeletionOptions()
        deletion.gracePeriodSeconds = options.gracePeriodSeconds.map(Int64.init)
        deletion.propagation = options.propagation.flatMap { .init(rawValue: $0.rawValue) }
        deletion.uid = options.uid
        deletion.resourceVersion = options.resourceVersion
        switch try await writer.delete(served, namespace: key.namespace, name: key.name, deletion, context("delete")) {
        case .gone(let record), .marked(let record): return try await node(record, served)
        case .unsaved(let object, _): return object
        }
    }

    package func post(_ resource: GroupVersionResource, _ key: ObjectKey, subresource: String, _ object: Node) async throws -> Node {
        let served = try served(resource)
        guard let handler = posts["\(served.collection)/\(subresource)"], let kind = served.resource.subresource(subresource) else { throw APIError.pathNotFound }
        return try await handler.admitted(object, served, kind, namespace: key.namespace, name: key.name, context("create"), writer.admission)
    }
}

/// The events of one in-process watch, from the writer's thread to whoever reads the stream.
private final class InProcessWatch: WatchSink {
    private struct State {
        var batches: [WatchBatch] = []
        var events: ArraySlice<WatchEvent> = []
        var revision: Int64 = 0
        var ended: WatchEnd?
        var waiter: CheckedContinuation<Void, Never>?
        var subscription: WatchSubscription?
    }

    private let state = Mutex(State())
    private let selection: Selection
    private let node: @Sendable (Record) async throws(APIError) -> Node

    init(selection: Selection, node: @escaping @Sendable (Record) async throws(APIError) -> Node) {
        self.selection = selection
        self.node = node
    }

    deinit { state.withLock { $0.subscription }?.cancel() }

    func attach(_ subscription: WatchSubscription) { state.withLock { $0.subscription = subscription } }

    func deliver(_ batch: WatchBatch) {
        state.withLock { state -> CheckedContinuation<Void, Never>? in
            state.batches.append(batch)
            return state.waiter.take()
        }?.resume()
    }

    func ended(_ reason: WatchEnd) {
        state.withLock { state -> CheckedContinuation<Void, Never>? in
            state.ended = reason
            return state.waiter.take()
        }?.resume()
    }

    private enum Step { case event(WatchEvent), bookmark(Int64), ended(WatchEnd), wait }

    func next() async throws -> ObjectEvent? {
        while true {
            try Task.checkCancellation()
            switch take() {
            case .event(let event): if let out = try await translate(event) { return out }
            case .bookmark(let revision): return .bookmark(revision)
            case .ended(.closed): return nil
            case .ended(.overflowed): throw APIError.expired("events were lost")
            case .wait: await wait()
            }
        }
    }

    private func take() -> Step {
        let (step, consumed, subscription) = state.withLock { state -> (Step, Int, WatchSubscription?) in
            if let event = state.events.popFirst() { return (.event(event), 1, state.subscription) }
            if state.revision != 0 {
                // All events of the batch are out: tell the revision, which may be past the last event that was selected.
                let revision = state.revision
                state.revision = 0
                return (.bookmark(revision), 0, nil)
            }
            if !state.batches.isEmpty {
                let batch = state.batches.removeFirst()
                state.events = batch.events[...]
                state.revision = batch.revision
                if let event = state.events.popFirst() { return (.event(event), 1, state.subscription) }
                state.revision = 0
                return (.bookmark(batch.revision), 0, nil)
            }
            if let ended = state.ended { return (.ended(ended), 0, nil) }
            return (.wait, 0, nil)
        }
        if consumed > 0 { subscription?.consumed(consumed) }
        return step
    }

    private func wait() async {
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let resume = state.withLock { state -> Bool in
                    if !state.batches.isEmpty || state.ended != nil || Task.isCancelled { return true }
                    state.waiter = continuation
                    return false
                }
                if resume { continuation.resume() }
            }
        } onCancel: {
            state.withLock { $0.waiter.take() }?.resume()
        }
    }

    private func translate(_ event: WatchEvent) async throws(APIError) -> ObjectEvent? {
        if event.record.isDeletion {
            guard event.previous.map({ selection.matches($0) }) ?? true else { return nil }
            return .deleted(try await node(event.record))
        }
        let now = selection.matches(event.record)
        let before = event.previous.map { selection.matches($0) } ?? false
        if now { return before ? .modified(try await node(event.record)) : .added(try await node(event.record)) }
        guard before, let previous = event.previous else { return nil }
        var last = try await node(previous)
        last["metadata"]["resourceVersion"] = .string(String(event.revision))
        return .deleted(last)
    }
}
