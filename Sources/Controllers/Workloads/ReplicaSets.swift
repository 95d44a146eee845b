package import Client
package import Core
import Kinds
package import Machinery
import Schema
import Tree

/// Keeps as many pods of a template as asked for. ReplicationControllers are the same with a plainer selector.
package struct ReplicaSets: Controller {
    package enum Flavor: Sendable { case replicaSet, replicationController }

    private let flavor: Flavor
    package init(_ flavor: Flavor = .replicaSet) { self.flavor = flavor }

    package var name: String { flavor == .replicaSet ? "replicaset-controller" : "replication-controller" }
    private var resource: GroupVersionResource { flavor == .replicaSet ? .replicaSets : .replicationControllers }
    private var kind: String { flavor == .replicaSet ? "ReplicaSet" : "ReplicationController" }
    private var apiVersion: String { flavor == .replicaSet ? "apps/v1" : "v1" }

    /// Most pods that one plan makes or removes.
    private static let burst = 500

    package var triggers: [Trigger] {
        let flavor = flavor
        return [
            .own(resource, indexes: [.owner, .namespace]),
            .managed(.pods, by: resource, kind: kind) { ReplicaSets.selector($0, flavor) },
        ]
    }

    private static func selector(_ set: Node, _ flavor: Flavor) -> LabelSelector {
        switch flavor {
        case .replicaSet: LabelSelector(object: set["spec"]["selector"])
        case .replicationController:
            set["spec"]["selector"].isEmpty ? .nothing : LabelSelector(equals: set["spec"]["selector"].stringMap)
        }
    }

    package func plan(_ key: ObjectKey, _ state: borrowing ClusterState, now: Timestamp) -> Plan {
        guard let set = state.get(resource, key) else { return .nothing }
        let refs = ControllerRefs(set, apiVersion: apiVersion, kind: kind, selector: ReplicaSets.selector(set, flavor))
        let candidates = ControllerRefs.candidates(.pods, for: set, state)
        let claim = refs.claim(candidates.filter { PodView($0).isActive }, .pods)
        let active = claim.objects
        let terminating = refs.claimed(candidates.filter { PodView($0).isTerminating })
        let wanted = Int(set["spec"]["replicas"].int ?? 1)
        var plan = Plan(claim.actions)
        if !set.isBeingDeleted, active.count != wanted {
            // The pods' changes ask for a plan again, which then writes the status.
            if active.count < wanted {
                let pod = PodTemplates.pod(set["spec"]["template"], owner: set, refs.reference)
                let count = min(wanted - active.count, ReplicaSets.burst)
                plan.actions += (0..<count).map { _ in .create(.pods, pod, announce: .podCreation(set)) }
            } else {
                let victims = VictimRanking(related: related(set, active, state), now: now).first(min(active.count - wanted, ReplicaSets.burst), of: active)
                plan.actions += victims.map { pod in
                    .delete(.pods, ObjectKey(pod.namespace, pod.name), DeleteOptions(uid: pod.uid), announce: .podDeletion(set))
                }
            }
            return plan
        }
        var status = status(set, active, terminating, now)
        status.removeCondition("ReplicaFailure")
        write(status, of: set, into: &plan)
        let minReady = set["spec"]["minReadySeconds"].int ?? 0
        for pod in active { if let left = PodView(pod).untilAvailable(minReadySeconds: minReady, now: now) { plan.requeue(after: left) } }
        return plan
    }

    package func plan(afterRefusal of: Action, _ error: APIError, _ key: ObjectKey, _ state: borrowing ClusterState, now: Timestamp) -> [Action] {
        let reason: String
        switch of {
        case .create(.pods, _, _): reason = "FailedCreate"
        case .delete(.pods, _, _, _): reason = "FailedDelete"
        default: return []
        }
        guard let set = state.get(resource, key) else { return [] }
        let refs = ControllerRefs(set, apiVersion: apiVersion, kind: kind, selector: ReplicaSets.selector(set, flavor))
        let owned = refs.claimed(ControllerRefs.candidates(.pods, for: set, state))
        var status = status(set, owned.filter { PodView($0).isActive }, owned.filter { PodView($0).isTerminating }, now)
        if status.condition("ReplicaFailure") == nil {
            status.setCondition("ReplicaFailure", "True", reason: reason, message: error.message, now: now)
        }
        var plan = Plan()
        write(status, of: set, into: &plan)
        return plan.actions
    }

    private func write(_ status: Node, of set: Node, into plan: inout Plan) {
        guard status != set["status"] else { return }
        var status = status
        status.setCount("observedGeneration", set.generation)
        plan.actions.append(.updateStatus(resource, set.with(status: status)))
    }

    private func status(_ set: Node, _ active: [Node], _ terminating: [Node], _ now: Timestamp) -> Node {
        let template = LabelSelector(equals: set["spec"]["template"]["metadata"]["labels"].stringMap)
        let minReady = set["spec"]["minReadySeconds"].int ?? 0
        var labeled: Int64 = 0
        var ready: Int64 = 0
        var available: Int64 = 0
        for pod in active {
            if template.matches(pod["metadata"]["labels"]) { labeled += 1 }
            guard PodView(pod).isReady else { continue }
            ready += 1
            if PodView(pod).isAvailable(minReadySeconds: minReady, now: now) { available += 1 }
        }
        var status = set["status"]
        status["replicas"] = .int(Int64(active.count))
        status.setCount("fullyLabeledReplicas", labeled)
        status.setCount("readyReplicas", ready)
        status.setCount("availableReplicas", available)
        if flavor == .replicaSet { status["terminatingReplicas"] = .int(Int64(terminating.count)) }
        status.setCount("observedGeneration", set.generation)
        return status
    }

    /// The pods of all sets of the same Deployment: during a rollout, old and new pods crowd a node alike.
    private func related(_ set: Node, _ own: [Node], _ state: borrowing ClusterState) -> [Node] {
        guard flavor == .replicaSet, let owner = set.controllerOwner else { return own }
        var pods: [Node] = []
        for sibling in state[resource].objects("owner", owner.uid) where sibling.controllerOwner?.uid == owner.uid {
            pods += state[.pods].objects("owner", sibling.uid)
        }
        return pods
    }
}
