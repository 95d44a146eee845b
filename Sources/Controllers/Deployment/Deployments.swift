package import Client
package import Core
import Kinds
package import Machinery
import Schema
import Tree

/// Moves a Deployment's pods from one template to another through its ReplicaSets.
package struct Deployments: Controller {
    package init() {}

    package var name: String { "deployment-controller" }

    package var triggers: [Trigger] {
        [
            .own(.deployments, indexes: [.namespace]),
            .managed(.replicaSets, by: .deployments, kind: "Deployment", indexes: [.namespace]) { LabelSelector(object: $0["spec"]["selector"]) },
            // Recreate waits for the last old pod to be gone.
            Trigger(.pods, indexes: [.owner]) { change, view in
                guard change.new == nil, let pod = change.old, let owner = pod.controllerOwner, owner.kind == "ReplicaSet",
                    let set = view.get(.replicaSets, ObjectKey(pod.namespace, owner.name)), set.uid == owner.uid,
                    let deployment = set.controllerOwner, deployment.kind == "Deployment"
                else { return [] }
                return [ObjectKey(pod.namespace, deployment.name)]
            },
        ]
    }

    package func plan(_ key: ObjectKey, _ state: borrowing ClusterState, now: Timestamp) -> Plan {
        guard let deployment = state.get(.deployments, key) else { return .nothing }
        if deployment["spec"]["selector"].isEmpty { return selectsAll(deployment) }
        let refs = Deployments.refs(deployment)
        let claim = refs.claim(ControllerRefs.candidates(.replicaSets, for: deployment, state), .replicaSets)
        var rollout = Rollout(deployment, claim.objects, now: now)
        if deployment.isBeingDeleted {
            rollout.findNewSet(create: false)
            rollout.syncStatus()
        } else {
            rollout.checkPause()
            let isRecreate = deployment["spec"]["strategy"]["type"].string == "Recreate"
            if deployment["spec"]["paused"].bool == true || rollout.isScaling {
                rollout.scaleAll()
            } else if isRecreate {
                var pods: [String: [Node]] = [:]
                for set in claim.objects { pods[set.uid] = state[.pods].objects("owner", set.uid).filter { $0.controllerOwner?.uid == set.uid } }
                rollout.recreate(pods)
            } else {
                rollout.rollingUpdate()
            }
        }
        return Plan(claim.actions + rollout.actions(), requeueAfter: rollout.requeueAfter)
    }

    /// A name that is taken by another template's set counts up the collisions, so that the next hash differs; any other
    /// refusal of the new set is told in the Progressing condition.
    package func plan(afterRefusal of: Action, _ error: APIError, _ key: ObjectKey, _ state: borrowing ClusterState, now: Timestamp) -> [Action] {
        guard case .create(.replicaSets, let refused, _) = of, var deployment = state.get(.deployments, key) else { return [] }
        if error.reason == "AlreadyExists" {
            if let other = state.get(.replicaSets, key.namespace, refused.name), other.controllerOwner?.uid == deployment.uid,
                Rollout.sameTemplate(other["spec"]["template"], deployment["spec"]["template"])
            {
                return []
            }
            deployment["status"]["collisionCount"] = .int((deployment["status"]["collisionCount"].int ?? 0) + 1)
            return [.updateStatus(.deployments, deployment)]
        }
        let message = "Failed to create new replica set \"\(refused.name)\": \(error.message)"
        var actions: [Action] = [.event(Event(deployment, .warning, reason: "ReplicaSetCreateError", message: message))]
        if Rollout.progressDeadline(deployment) != nil {
            var status = deployment["status"]
            Rollout.setCondition(&status, "Progressing", "False", reason: "ReplicaSetCreateError", message: message, now: now)
            actions.append(.updateStatus(.deployments, deployment.with(status: status)))
        }
        return actions
    }

    static func refs(_ deployment: Node) -> ControllerRefs {
        ControllerRefs(deployment, apiVersion: "apps/v1", kind: "Deployment", selector: LabelSelector(object: deployment["spec"]["selector"]))
    }

    private func selectsAll(_ deployment: Node) -> Plan {
        var plan = Plan([
            .event(
                Event(
                    deployment, .warning, reason: "SelectingAll",
                    message: "This deployment is selecting all pods. A non-empty selector is required."))
        ])
        if (deployment["status"]["observedGeneration"].int ?? 0) < deployment.generation {
            var status = deployment["status"]
            status["observedGeneration"] = .int(deployment.generation)
            plan.actions.append(.updateStatus(.deployments, deployment.with(status: status)))
        }
        return plan
    }
}
