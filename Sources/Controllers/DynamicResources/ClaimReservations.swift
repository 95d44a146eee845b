package import Client
package import Core
import Kinds
import Machinery
import Schema
import Tree

/// Keeps `reservedFor` of resource claims true: pods that are gone or done are taken out, a claim that nobody uses gives its devices
/// back, and one that was made for a pod goes when the pod is done.
package struct ClaimReservations: Controller {
    package init() {}
    package var name: String { "resource-claim-reservations" }
    /// Keeps a claim with devices from vanishing.
    package static let finalizer = "resource.kubernetes.io/delete-protection"

    package var triggers: [Trigger] {
        [
            .own(.resourceClaims, indexes: [.owner]),
            Trigger(.pods) { change, _ in
                let pod = change.new ?? change.old ?? .null
                guard change.new == nil || PodView(pod).isTerminal || change.old?["spec"]["nodeName"] != change.new?["spec"]["nodeName"] else { return [] }
                return ClaimReservations.claims(of: pod).map { ObjectKey(change.key.namespace, $0) }
            },
        ]
    }

    /// The names of the claims that a pod uses, as far as they are known.
    private static func claims(of pod: Node) -> [String] {
        let made = pod["status"]["resourceClaimStatuses"].list.compactMap { $0["resourceClaimName"].string }
        return made + pod["spec"]["resourceClaims"].list.compactMap { $0["resourceClaimName"].string }
    }

    package func plan(_ key: ObjectKey, _ state: borrowing ClusterState, now: Timestamp) -> Plan {
        guard let claim = state.get(.resourceClaims, key) else { return .nothing }
        let reserved = claim["status"]["reservedFor"].list
        let valid = reserved.filter { ClaimReservations.isUsing($0, claim, state) }
        var status = claim["status"]
        if valid.count < reserved.count { if valid.isEmpty { status.remove("reservedFor") } else { status["reservedFor"] = .list(valid) } }
        let isProtected = claim["metadata"]["finalizers"].stringList.contains(ClaimReservations.finalizer)
        // What was never used keeps its devices: who gave them may mean to reserve it next.
        if valid.isEmpty, isProtected, !reserved.isEmpty || claim.isBeingDeleted { for field in ["allocation", "devices"] { status.remove(field) } }
        var plan = Plan()
        if status != claim["status"] { plan.actions.append(.updateStatus(.resourceClaims, claim.with(status: status))) }
        // Not merely for want of devices: the scheduler sets the finalizer before it writes what it gives.
        let gaveBack = !claim["status"]["allocation"].isNull && status["allocation"].isNull
        if isProtected, valid.isEmpty, gaveBack || claim.isBeingDeleted {
            let left = claim["metadata"]["finalizers"].stringList.filter { $0 != ClaimReservations.finalizer }
            var metadata: Node = ["uid": .string(claim.uid)]
            if left.isEmpty { metadata.setNull("finalizers") } else { metadata["finalizers"] = Node(left) }
            plan.actions.append(.patch(.resourceClaims, key, .merge, ["metadata": metadata]))
        }
        if !plan.actions.isEmpty { return plan }
        if valid.isEmpty, !claim.isBeingDeleted, let owner = claim.controllerOwner, owner.kind == "Pod", claim.annotations[PodResourceClaims.entry] != nil,
            let pod = state.get(.pods, key.namespace, owner.name), pod.uid == owner.uid, PodView(pod).isTerminal
        {
            plan.actions.append(.delete(.resourceClaims, key, DeleteOptions(uid: claim.uid)))
        }
        return plan
    }

    /// Consumers of other kinds are nobody's here to judge.
    private static func isUsing(_ consumer: Node, _ claim: Node, _ state: borrowing ClusterState) -> Bool {
        guard consumer["resource"].string == "pods", consumer["apiGroup"].string ?? "" == "" else { return true }
        guard let pod = state.get(.pods, claim.namespace, consumer["name"].string ?? ""), pod.uid == consumer["uid"].string else { return false }
        if PodView(pod).isTerminal { return false }
        // Deleted before it ever had a node.
        return !(pod.isBeingDeleted && PodView(pod).nodeName.isEmpty)
    }
}
