package import Client
package import Core
import Kinds
import Machinery
import Schema
import Tree

/// Runs pods of a template until enough of them have succeeded, or too many have failed.
package struct Jobs: Controller {
    package init() {}
    package var name: String { "job-controller" }
    static let finalizer = "batch.kubernetes.io/job-tracking"
    static let indexKey = "batch.kubernetes.io/job-completion-index"

    package var triggers: [Trigger] {
        [
            .own(.jobs, indexes: [.owner, .namespace]),
            .managed(.pods, by: .jobs, kind: "Job") { LabelSelector(object: $0["spec"]["selector"]) },
            // A pod whose Job is gone needs nobody's count any more.
            Trigger(.pods, indexes: [.owner]) { change, view in
                guard let pod = change.new, pod.finalizers.contains(Jobs.finalizer), let owner = pod.controllerOwner, owner.kind == "Job",
                    view.get(.jobs, ObjectKey(pod.namespace, owner.name))?.uid != owner.uid
                else { return [] }
                return [ObjectKey(pod.namespace, owner.name)]
            },
            Trigger(.jobs) { change, _ in change.new == nil ? [change.key] : [] },
        ]
    }

    package func plan(_ key: ObjectKey, _ state: borrowing ClusterState, now: Timestamp) -> Plan {
        let job = state.get(.jobs, key)
        if let manager = job?["spec"]["managedBy"].string, manager != "kubernetes.io/job-controller" { return .nothing }
        var plan = Plan(release(key, job, state))
        guard let job, !JobRun.isFinished(job) else { return plan }
        let refs = ControllerRefs(
            job, apiVersion: "batch/v1", kind: "Job", selector: LabelSelector(object: job["spec"]["selector"]), finalizer: Jobs.finalizer)
        let claim = refs.claim(ControllerRefs.candidates(.pods, for: job, state), .pods)
        plan.actions += claim.actions
        // Those that were adopted are counted when they have the finalizer.
        var run = JobRun(job, claim.objects, refs.reference, now)
        run.run()
        plan.actions += run.actions()
        if let delay = run.outcome.requeueAfter { plan.requeue(after: delay) }
        return plan
    }

    /// The finalizer goes from pods that no unfinished Job counts.
    private func release(_ key: ObjectKey, _ job: Node?, _ state: borrowing ClusterState) -> [Action] {
        var orphans: [Node] = []
        if let job {
            if JobRun.isFinished(job) { orphans = state[.pods].objects("owner", job.uid) }
        } else {
            orphans = state[.pods].objects.values.filter { pod in
                pod.namespace == key.namespace && pod.controllerOwner.map { $0.kind == "Job" && $0.name == key.name } ?? false
            }
        }
        return orphans.filter { $0.finalizers.contains(Jobs.finalizer) }.sorted(by: ClusterState.olderFirst).map(Jobs.withoutFinalizer)
    }

    static func withoutFinalizer(_ pod: Node) -> Action {
        .patch(
            .pods, ObjectKey(pod.namespace, pod.name), .strategic,
            ["metadata": ["uid": .string(pod.uid), "$deleteFromPrimitiveList/finalizers": [.string(finalizer)]]])
    }
}
