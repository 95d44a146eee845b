package import Client
package import Core
import Kinds
package import Machinery
import Schema
import Tree

/// Makes the claims of pods' ephemeral volumes, which go with their pods.
package struct EphemeralVolumes: Controller {
    package init() {}
    package var name: String { "ephemeral_volume" }

    package var triggers: [Trigger] {
        [
            Trigger(.pods) { change, _ in
                // A pod's volumes never change.
                guard change.old == nil, let pod = change.new, !EphemeralVolumes.volumes(pod).isEmpty else { return [] }
                return [change.key]
            },
            Trigger(.persistentVolumeClaims) { change, _ in
                guard change.new == nil, let owner = change.old?.controllerOwner, owner.kind == "Pod" else { return [] }
                return [ObjectKey(change.key.namespace, owner.name)]
            },
        ]
    }

    private static func volumes(_ pod: Node) -> [Node] { pod["spec"]["volumes"].list.filter { !$0["ephemeral"].isNull } }

    package func plan(_ key: ObjectKey, _ state: borrowing ClusterState, now: Timestamp) -> Plan {
        guard let pod = state.get(.pods, key), !pod.isBeingDeleted else { return .nothing }
        var plan = Plan()
        for volume in EphemeralVolumes.volumes(pod) {
            let name = "\(pod.name)-\(volume["name"].string ?? "")"
            if let claim = state.get(.persistentVolumeClaims, key.namespace, name) {
                // Somebody else's claim of that name is never used: that would be a way into their data.
                guard claim.controllerOwner?.uid != pod.uid else { continue }
                let message = "PVC \"\(claim.namespace)/\(name)\" was not created for pod \"\(pod.namespace)/\(pod.name)\" (pod is not owner)"
                plan.actions.append(.event(Event(pod, .warning, reason: "EphemeralVolumeFailed", message: message)))
                continue
            }
            let template = volume["ephemeral"]["volumeClaimTemplate"]
            var metadata: Node = [
                "name": .string(name), "namespace": .string(pod.namespace), "ownerReferences": [OwnerReference(controller: pod, apiVersion: "v1", kind: "Pod").node],
            ]
            for field in ["labels", "annotations"] where !template["metadata"][field].isEmpty { metadata[field] = template["metadata"][field] }
            plan.actions.append(.create(.persistentVolumeClaims, ["apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata, "spec": template["spec"]]))
        }
        return plan
    }

    package func plan(afterRefusal of: Action, _ error: APIError, _ key: ObjectKey, _ state: borrowing ClusterState, now: Timestamp) -> [Action] {
        guard let pod = state.get(.pods, key), case .create(_, let claim, _) = of else { return [] }
        let message = "ephemeral volume \(claim.name): create PVC \(claim.name): \(error.message)"
        return [.event(Event(pod, .warning, reason: "EphemeralVolumeFailed", message: message))]
    }
}
