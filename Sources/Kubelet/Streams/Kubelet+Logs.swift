package import Client
import Containers
import Core
import Machinery
import Synchronization
package import Tree

extension Kubelet: NodeStreams {
    package func logs(_ pod: Node, container: String, _ options: LogOptions) async throws -> AsyncThrowingStream<[UInt8], any Error> {
        let worker = worker(uid: pod.uid)
        let status = worker?.state.withLock { $0.status.isNull ? $0.pod.status : $0.status } ?? pod["status"]
        let view = PodView(pod)
        let attempt = try LogTarget.attempt(view, status: status, container: container, previous: options.previous)
        let id = worker?.state.withLock { $0.containers[container] }
        let isLive: @Sendable () -> Bool = {
            id.map { $0.attempt == attempt && $0.container.state.isRunning } ?? false
        }
        let path = PodPaths(view, parts.node).log(container, attempt)
        let ended: @Sendable () async -> Void = { _ = try? await id?.container.wait() }
        return LogReader(path: path, options: options, threads: parts.threads, isLive: isLive, ended: ended).stream()
    }
}

/// Which run's log a request means, or why there is none, in upstream's words. Pure.
enum LogTarget {
    static func attempt(_ pod: PodView, status: Node, container: String, previous: Bool) throws -> Int {
        let lists = ["containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses"]
        let found = lists.lazy.compactMap { status[$0].list.first { $0["name"].string == container } }.first
        let place = "container \(NodePath.quoted(container)) in pod \(NodePath.quoted(pod.name))"
        guard let found else {
            // Between the binding and the first status the spec is all that is known.
            if pod.container(container) != nil { throw APIError.badRequest("\(place) is waiting to start: ContainerCreating") }
            throw APIError.badRequest("\(place) is not available")
        }
        let count = Int(found["restartCount"].int ?? 0)
        let state = found["state"]
        let last = found["lastState"]["terminated"]
        let hasLast = !(last["containerID"].string ?? "").isEmpty
        if previous {
            guard hasLast else { throw APIError.badRequest("previous terminated \(place) not found") }
            // Waiting after a crash, the last run is the one that the count still names.
            return state.has("waiting") ? count : max(0, count - 1)
        }
        if state.has("running") { return count }
        if state.has("terminated") {
            guard !(state["terminated"]["containerID"].string ?? "").isEmpty || hasLast else { throw APIError.badRequest("\(place) is terminated") }
            return count
        }
        if hasLast { return count }
        switch state["waiting"]["reason"].string ?? "" {
        case "ErrImagePull": throw APIError.badRequest("\(place) is waiting to start: image can't be pulled")
        case "ImagePullBackOff": throw APIError.badRequest("\(place) is waiting to start: trying and failing to pull image")
        case "": throw APIError.badRequest("\(place) is waiting to start - no logs yet")
        case let reason: throw APIError.badRequest("\(place) is waiting to start: \(reason)")
        }
    }
}
