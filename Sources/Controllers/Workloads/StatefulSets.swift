package import Client
package import Core
import Kinds
package import Machinery
import Schema
import Tree

/// Keeps pods with names and volumes of their own, made in order, updated and removed in the reverse order.
package struct StatefulSets: Controller {
    package init() {}
    package var name: String { "statefulset-controller" }

    package var triggers: [Trigger] {
        [
            .own(.statefulSets, indexes: [.namespace]),
            .managed(.pods, by: .statefulSets, kind: "StatefulSet") { LabelSelector(object: $0["spec"]["selector"]) },
            .managed(.controllerRevisions, by: .statefulSets, kind: "StatefulSet") { LabelSelector(object: $0["spec"]["selector"]) },
            Trigger(.persistentVolumeClaims) { change, view in
                // A claim that is there does what it should; one that goes or changes owners may be waited for.
                if let old = change.old, let new = change.new, old.isBeingDeleted == new.isBeingDeleted, old.owners == new.owners { return [] }
                if change.old == nil { return [] }
                return view.read { state in
                    state[.statefulSets].objects("namespace", change.key.namespace).filter { set in
                        set["spec"]["volumeClaimTemplates"].list.contains { change.key.name.hasPrefix("\($0.name)-\(set.name)-") }
                    }.map { ObjectKey($0.namespace, $0.name) }
                }
            },
        ]
    }

    /// Which ordinals there are to be.
    static func ordinals(_ set: Node) -> Range<Int64> {
        let first = set["spec"]["ordinals"]["start"].int ?? 0
        return first..<(first + max(0, set["spec"]["replicas"].int ?? 1))
    }

    package func plan(_ key: ObjectKey, _ state: borrowing ClusterState, now: Timestamp) -> Plan {
        guard let set = state.get(.statefulSets, key) else { return .nothing }
        let refs = ControllerRefs(set, apiVersion: "apps/v1", kind: "StatefulSet", selector: LabelSelector(object: set["spec"]["selector"]))
        let candidates = ControllerRefs.candidates(.pods, for: set, state).filter { StatefulSets.ordinal($0, of: set) != nil }
        let claim = refs.claim(candidates, .pods)
        let history = refs.claim(ControllerRefs.candidates(.controllerRevisions, for: set, state), .controllerRevisions)
        let revisions = Revisions(set, kind: "StatefulSet", owned: history.objects)
        var plan = Plan(claim.actions + history.actions)
        if let action = revisions.action { plan.actions.append(action) }
        let ordinals = Set(StatefulSets.ordinals(set)).union(claim.objects.compactMap { StatefulSets.ordinal($0, of: set) })
        var members = Members(set, claim.objects, revisions, refs.reference, StatefulSetClaims(set, state, ordinals: ordinals.sorted()), now)
        if !set.isBeingDeleted { members.reconcile() }
        plan.actions += members.actions
        let status = members.status(into: &plan)
        if status != set["status"] { plan.actions.append(.updateStatus(.statefulSets, set.with(status: status))) }
        let live = Set(claim.objects.compactMap { $0.labels["controller-revision-hash"] } + [status["currentRevision"].string ?? ""])
        if members.actions.isEmpty { plan.actions += revisions.excess(keeping: Int(set["spec"]["revisionHistoryLimit"].int ?? 10), live: live) }
        return plan
    }

    package func plan(afterRefusal of: Action, _ error: APIError, _ key: ObjectKey, _ state: borrowing ClusterState, now: Timestamp) -> [Action] {
        Revisions.collision(of, error, state.get(.statefulSets, key)).map { [.updateStatus(.statefulSets, $0)] } ?? []
    }

    static func ordinal(_ pod: Node, of set: Node) -> Int64? {
        guard pod.name.hasPrefix(set.name + "-") else { return nil }
        let text = pod.name.dropFirst(set.name.count + 1)
        guard let number = Int64(text), number >= 0, String(number) == text else { return nil }
        return number
    }
}
