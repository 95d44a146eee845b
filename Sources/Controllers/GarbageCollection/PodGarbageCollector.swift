package import Client
package import Core
import Kinds
import Machinery
import Schema
import Tree

/// Removes pods that nobody else will: those of nodes that are gone, those that were deleted before they had a node, and
/// ended ones beyond a number.
package struct PodGarbageCollector: Reconciler {
    private let threshold: Int

    /// `threshold` is how many ended pods may stay.
    package init(terminatedPodThreshold threshold: Int = 12_500) { self.threshold = threshold }

    package var name: String { "pod-garbage-collector" }
    private static let ended = ObjectTable.Index("ended") { PodView($0).isTerminal ? ["yes"] : [] }
    /// Not the key of any node.
    private static let endedKey = ObjectKey("pods", "ended")

    package var triggers: [Trigger] {
        let threshold = threshold
        return [
            Trigger(.nodes) { change, _ in change.new == nil ? [change.key] : [] },
            Trigger(.pods, indexes: [.node, PodGarbageCollector.ended]) { change, view in
                guard let pod = change.new else { return [] }
                let view = (pod: PodView(pod), cluster: view)
                var keys: [ObjectKey] = []
                if view.pod.nodeName.isEmpty {
                    if pod.isBeingDeleted { keys.append(ObjectKey("", "")) }
                } else if change.old == nil || change.old?["spec"]["nodeName"] != pod["spec"]["nodeName"],
                    view.cluster.get(.nodes, ObjectKey("", view.pod.nodeName)) == nil
                {
                    keys.append(ObjectKey("", view.pod.nodeName))
                }
                if view.pod.isTerminal, view.cluster.read({ $0[.pods].keys("ended", "yes").count }) > threshold { keys.append(PodGarbageCollector.endedKey) }
                return keys
            },
        ]
    }

    package func reconcile(_ key: ObjectKey, _ view: ClusterView, _ recorder: EventRecorder, now: Timestamp) async throws -> Duration? {
        if key == PodGarbageCollector.endedKey {
            let pods = view.read { $0[.pods].objects("ended", "yes") }.sorted(by: ClusterState.olderFirst)
            for pod in pods.prefix(max(0, pods.count - threshold)) { try await remove(pod, view, now, why: nil) }
            return nil
        }
        let pods = view.read { $0[.pods].objects("node", key.name) }
        if key.name.isEmpty {
            for pod in pods where pod.isBeingDeleted { try await remove(pod, view, now, why: nil) }
            return nil
        }
        guard !pods.isEmpty else { return nil }
        // The view of nodes may be behind that of pods: ask.
        do {
            _ = try await view.client.get(.nodes, key)
            return nil
        } catch let error as APIError where error.code == 404 {}
        for pod in pods { try await remove(pod, view, now, why: "PodGC: node no longer exists") }
        return nil
    }

    private func remove(_ pod: Node, _ view: ClusterView, _ now: Timestamp, why: String?) async throws {
        do {
            if !PodView(pod).isTerminal {
                var failed = pod
                failed["status"]["phase"] = "Failed"
                if let why { PodConditions.set(&failed, type: "DisruptionTarget", status: "True", reason: "DeletionByPodGC", message: why, now: now) }
                _ = try await view.client.update(.pods, failed, subresource: "status")
            }
            _ = try await view.client.delete(.pods, ObjectKey(pod.namespace, pod.name), DeleteOptions(gracePeriodSeconds: 0, uid: pod.uid))
        } catch let error as APIError where error.code == 404 {}
    }
}
