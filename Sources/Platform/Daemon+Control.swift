package import Client
import Core
import Emulation
import HostNetwork
import ImageBuilder
import Linux
import Machinery
import Scheduler
package import Tree

extension Daemon: ControlledCluster {
    package func status() async throws -> Node {
        var node = ClusterStatus.node(view)
        node["name"] = .string(settings.name)
        node["version"] = "v1.36.0"
        node["pid"] = .int(Int64(MachineResources.processID))
        node["started"] = .string(started.rfc3339)
        node["context"] = .string(settings.context)
        node["directory"] = .string(directory.root)
        node["server"] = .string("https://127.0.0.1:\(plane.port)")
        return node
    }

    package func explain(_ pod: ObjectKey) async throws -> Node? {
        guard let scheduler else { throw ControlFailure(409, "this cluster's scheduler is another program", hint: "Ask kubectl describe pod \(pod.name).") }
        return await scheduler.explain(pod)
    }

    package func waitUntilReady(_ progress: @escaping @Sendable (String) -> Void) async throws {
        guard settings.nodes > 0 else { return }
        progress("waiting for \(settings.nodes) node\(settings.nodes == 1 ? "" : "s") to be Ready")
        await view.reached(1, .nodes)
        let (changes, change) = AsyncStream<Void>.makeStream(bufferingPolicy: .bufferingNewest(1))
        view.listen(.nodes) { _ in change.yield() }
        change.yield()
        let timer = Task {
            try await Task.sleep(for: Daemon.readyLimit)
            change.finish()
        }
        defer { timer.cancel() }
        var seen = 0
        for await _ in changes {
            let ready = view.read { state in state[.nodes].objects.values.count { ClusterStatus.isReady($0) && !EmulatedNode.isOne($0) } }
            if ready >= settings.nodes { return }
            if ready != seen { progress("\(ready) of \(settings.nodes) nodes are Ready") }
            seen = ready
        }
        try Task.checkCancellation()
        throw ControlFailure(504, "after \(Daemon.readyLimit) \(seen) of \(settings.nodes) nodes are Ready", hint: "Why: kubectl describe nodes")
    }

    private static let readyLimit = Duration.seconds(120)

    package func stop(keeping: Bool, grace: Duration, _ progress: @escaping @Sendable (String) -> Void) async throws {
        progress(keeping ? "leaving pods as they are" : "stopping pods")
        shutdown(keeping: keeping, grace: grace)
    }
}
