import Core
import Logging
import Machinery
package import Schema
package import Tree

extension ClusterClient {
    /// Tells of every object that there is and of every change after, until cancelled. What goes wrong, also in `seen` and `gone`, makes it
    /// begin anew after a pause: so both may be told the same twice.
    package func follow(
        _ resource: GroupVersionResource, _ options: ListOptions = ListOptions(), seen: @Sendable (Node) async throws -> Void,
        gone: @Sendable (Node) async throws -> Void = { _ in }
    ) async {
        var backoff = Backoff(base: .milliseconds(20), limit: .seconds(5))
        while !Task.isCancelled {
            do {
                let start = try await tell(resource, options, seen)
                backoff.reset()
                for try await event in watch(resource, options, from: start) {
                    switch event {
                    case .added(let object), .modified(let object): try await seen(object)
                    case .deleted(let object): try await gone(object)
                    case .bookmark: continue
                    }
                }
            } catch {
                if Task.isCancelled { return }
                Logger(label: "client").warning("what is followed is listed again", metadata: ["resource": "\(resource)", "error": "\(error)"])
            }
            try? await Task.sleep(for: backoff.next())
        }
    }

    /// The list itself is gone when the watch begins.
    private func tell(_ resource: GroupVersionResource, _ options: ListOptions, _ seen: (Node) async throws -> Void) async throws -> Int64 {
        let list = try await list(resource, options)
        for object in list.items { try await seen(object) }
        return list.resourceVersion
    }
}
