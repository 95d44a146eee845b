package import Client
package import Core
import Machinery
import Schema
import Tree

/// Takes the finalizer of Jobs from pods that have no controller any more: let go, or orphaned with their Job. Nobody will count them,
/// and they could not be deleted.
package struct OrphanedJobPods: Controller {
    package init() {}
    package var name: String { "job-orphan-pods" }

    package var triggers: [Trigger] {
        [Trigger(.pods) { change, _ in change.new.map(OrphanedJobPods.isOrphan) == true ? [change.key] : [] }]
    }

    private static func isOrphan(_ pod: Node) -> Bool { pod.controllerOwner == nil && pod.finalizers.contains(Jobs.finalizer) }

    package func plan(_ key: ObjectKey, _ state: borrowing ClusterState, now: Timestamp) -> Plan {
        guard let pod = state.get(.pods, key), OrphanedJobPods.isOrphan(pod) else { return .nothing }
        return Plan([Jobs.withoutFinalizer(pod)])
    }
}
