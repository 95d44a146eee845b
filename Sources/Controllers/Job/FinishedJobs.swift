package import Client
package import Core
import Machinery
import Schema
import Tree

/// Deletes Jobs some time after they have finished, where they say so.
package struct FinishedJobs: Controller {
    package init() {}
    package var name: String { "ttl-after-finished-controller" }
    package var triggers: [Trigger] { [Trigger(.jobs) { change, _ in change.new.map { $0["spec"]["ttlSecondsAfterFinished"].isNull } == false ? [change.key] : [] }] }

    package func plan(_ key: ObjectKey, _ state: borrowing ClusterState, now: Timestamp) -> Plan {
        guard let job = state.get(.jobs, key), !job.isBeingDeleted, let seconds = job["spec"]["ttlSecondsAfterFinished"].int else { return .nothing }
        let ends = ["Complete", "Failed"].compactMap { job["status"].condition($0) }.filter { $0["status"].string == "True" }
        guard let end = ends.compactMap({ $0.time("lastTransitionTime") }).min() else { return .nothing }
        let left = (end + .seconds(seconds)) - now
        if left > .zero { return Plan(requeueAfter: left) }
        return Plan([.delete(.jobs, key, DeleteOptions(propagation: .foreground, uid: job.uid))])
    }
}
