import Client
import Core
import Machinery
import Schema
import Synchronization
import Tree

/// The API as a process sees it that dies right after its n-th commit: that one is in the store, its answer never arrives, and
/// nothing gets through after it. Events are not counted; they are no state.
final class MortalClient: ClusterClient {
    private struct State {
        var commits = 0
        var isDead = false
        var log: [String] = []
    }

    private let inner: any ClusterClient
    private let limit: Int?
    private let state = Mutex(State())

    /// Nil lives on.
    init(_ inner: any ClusterClient, dyingAfter limit: Int?) {
        self.inner = inner
        self.limit = limit
    }

    var isDead: Bool { state.withLock { $0.isDead } }
    var commits: Int { state.withLock { $0.commits } }

    private func alive() throws { if isDead { throw CancellationError() } }

    /// What was asked for, in order, with what came of it.
    var log: [String] { state.withLock { $0.log } }

    private func write(_ resource: GroupVersionResource, _ what: String, _ body: () async throws -> Node) async throws -> Node {
        try alive()
        let answer: Node
        do { answer = try await body() } catch {
            state.withLock { $0.log.append("\(what): \((error as? APIError)?.reason ?? "\(error)")") }
            throw error
        }
        if resource == .events { return answer }
        state.withLock { $0.log.append("\(what) -> \(answer.revision) \(answer["metadata"]["ownerReferences"].list.compactMap { $0["kind"].string })") }
        let isOver = state.withLock { state in
            state.commits += 1
            if state.commits == limit { state.isDead = true }
            return state.isDead
        }
        if isOver { throw CancellationError() }
        return answer
    }

    func get(_ resource: GroupVersionResource, _ key: ObjectKey) async throws -> Node {
        try alive()
        return try await inner.get(resource, key)
    }

    func list(_ resource: GroupVersionResource, _ options: ListOptions) async throws -> ObjectList {
        try alive()
        return try await inner.list(resource, options)
    }

    func watch(_ resource: GroupVersionResource, _ options: ListOptions, from resourceVersion: Int64) -> AsyncThrowingStream<ObjectEvent, any Error> {
        inner.watch(resource, options, from: resourceVersion)
    }

    func create(_ resource: GroupVersionResource, namespace: String, _ object: Node) async throws -> Node {
        try await write(resource, "create \(resource.resource) \(object.name)\(object["metadata"]["generateName"].string ?? "")") { try await inner.create(resource, namespace: namespace, object) }
    }

    func update(_ resource: GroupVersionResource, _ object: Node, subresource: String?) async throws -> Node {
        try await write(resource, "update \(resource.resource) \(object.name) \(subresource ?? "")") { try await inner.update(resource, object, subresource: subresource) }
    }

    func patch(_ resource: GroupVersionResource, _ key: ObjectKey, _ type: PatchType, _ patch: Node, subresource: String?) async throws -> Node {
        try await write(resource, "patch \(resource.resource) \(key) \(subresource ?? "")") { try await inner.patch(resource, key, type, patch, subresource: subresource) }
    }

    func delete(_ resource: GroupVersionResource, _ key: ObjectKey, _ options: DeleteOptions) async throws -> Node {
        try await write(resource, "delete \(resource.resource) \(key)") { try await inner.delete(resource, key, options) }
    }

    func post(_ resource: GroupVersionResource, _ key: ObjectKey, subresource: String, _ object: Node) async throws -> Node {
        try await write(resource, "post \(resource.resource) \(key) \(subresource)") { try await inner.post(resource, key, subresource: subresource, object) }
    }
}
