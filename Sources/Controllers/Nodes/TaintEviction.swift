package import Client
package import Core
import Kinds
import Machinery
import Schema
import Tree

/// Removes pods from nodes with NoExecute taints: at once, or when the time that they tolerate is over.
package struct TaintEviction: Controller {
    package init() {}
    package var name: String { "taint-eviction-controller" }

    package var triggers: [Trigger] {
        [
            Trigger(.pods, indexes: [.node]) { change, _ in
                guard let pod = change.new, !PodView(pod).nodeName.isEmpty else { return [] }
                let old = change.old.map { [$0["spec"]["nodeName"], $0["spec"]["tolerations"], $0["status"]["phase"]] }
                return old == [pod["spec"]["nodeName"], pod["spec"]["tolerations"], pod["status"]["phase"]] ? [] : [change.key]
            },
            Trigger(.nodes) { change, view in
                guard TaintEviction.executing(change.old) != TaintEviction.executing(change.new) else { return [] }
                return view.read { Array($0[.pods].keys("node", change.key.name)) }
            },
        ]
    }

    private static func executing(_ node: Node?) -> [Node] { node?["spec"]["taints"].list.filter { $0["effect"].string == "NoExecute" } ?? [] }

    package func plan(_ key: ObjectKey, _ state: borrowing ClusterState, now: Timestamp) -> Plan {
        guard let pod = state.get(.pods, key), !pod.isBeingDeleted, let node = state.get(.nodes, "", PodView(pod).nodeName) else { return .nothing }
        let taints = TaintEviction.executing(node)
        guard !taints.isEmpty else { return .nothing }
        let tolerations = pod["spec"]["tolerations"].list
        var deadline: Timestamp?
        for taint in taints {
            let used = tolerations.filter { Tolerations.tolerates($0, taint) }
            guard !used.isEmpty else { return evict(pod, now) }
            guard let seconds = used.compactMap({ $0["tolerationSeconds"].int }).min() else { continue }
            let end = (taint.time("timeAdded") ?? now) + .seconds(max(0, seconds))
            deadline = min(deadline ?? end, end)
        }
        guard let deadline else { return .nothing }
        return deadline <= now ? evict(pod, now) : Plan(requeueAfter: deadline - now)
    }

    private func evict(_ pod: Node, _ now: Timestamp) -> Plan {
        var told = pod
        PodConditions.set(
            &told, type: "DisruptionTarget", status: "True", reason: "DeletionByTaintManager", message: "Taint manager: deleting due to NoExecute taint", now: now)
        return Plan([
            .event(Event(pod, reason: "TaintManagerEviction", message: "Marking for deletion Pod \(pod.namespace)/\(pod.name)")),
            .updateStatus(.pods, told), .delete(.pods, ObjectKey(pod.namespace, pod.name), DeleteOptions(uid: pod.uid)),
        ])
    }
}
