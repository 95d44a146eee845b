package import Client
package import Core
import Kinds
import Machinery
package import Schema
import Tree

/// Tells of nodes whose agent is silent, in conditions, and of all that is wrong with a node in taints.
package struct NodeLifecycle: Controller {
    private let grace: Duration
    private let start: Timestamp

    /// `start` is when this controller began to watch: silence before it does not count.
    package init(grace: Duration = .seconds(40), start: Timestamp = .now()) {
        self.grace = grace
        self.start = start
    }

    package var name: String { "node-controller" }
    static let leaseNamespace = "kube-node-lease"
    private static let silent = ObjectTable.Index("silent") { NodeLifecycle.isSilent($0) ? [""] : [] }

    private static func isSilent(_ node: Node) -> Bool { ["False", "Unknown"].contains(node["status"].condition("Ready")?["status"].string ?? "") }

    package var triggers: [Trigger] {
        [
            .own(.nodes),
            // The zones decide who is evicted: where one node changes, the others that are not ready are looked at too.
            Trigger(.nodes, indexes: [NodeLifecycle.silent]) { change, view in
                func ready(_ node: Node?) -> String { node?["status"].condition("Ready")?["status"].string ?? "" }
                guard ready(change.old) != ready(change.new) || change.new == nil else { return [] }
                return view.read { state in Array(state[.nodes].keys("silent", "").subtracting([change.key])) }
            },
            Trigger(.leases) { change, view in
                guard change.key.namespace == NodeLifecycle.leaseNamespace else { return [] }
                // A renewal of a healthy node's lease only moves the deadline, and the plan that waits for it looks anew.
                let key = ObjectKey("", change.key.name)
                guard change.old != nil, change.new != nil, let node = view.get(.nodes, key) else { return [key] }
                return node["status"].condition("Ready")?["status"].string == "Unknown" ? [key] : []
            },
        ]
    }

    package var reads: [(GroupVersionResource, [ObjectTable.Index])] { [(.pods, [.node])] }

    package func plan(_ key: ObjectKey, _ state: borrowing ClusterState, now: Timestamp) -> Plan {
        guard let node = state.get(.nodes, key) else { return .nothing }
        var plan = Plan()
        var status = node["status"]
        let deadline = lastHeard(node, state) + grace
        if deadline < now { silence(&status, node, now) } else { plan.requeue(after: (deadline - now) + .milliseconds(1)) }
        if status != node["status"] {
            // The change of the conditions asks for the plan that sets the taints.
            plan.actions.append(.updateStatus(.nodes, node.with(status: status)))
            return plan
        }
        // Of the others only where it matters: a large cluster's nodes are looked at all the time.
        let eviction = NodeLifecycle.isSilent(node) ? ZoneState.eviction(of: node, among: Array(state[.nodes].objects.values), now) : .allowed
        let taints = NodeTaints.wanted(node, eviction, now)
        if case .later(let delay?) = eviction { plan.requeue(after: delay) }
        if taints != node["spec"]["taints"].list {
            var spec = Node.emptyMap
            if taints.isEmpty { spec.setNull("taints") } else { spec["taints"] = .list(taints) }
            plan.actions.append(.patch(.nodes, key, .merge, ["metadata": ["resourceVersion": node["metadata"]["resourceVersion"]], "spec": spec]))
        }
        if let ready = status.condition("Ready"), ready["status"].string != "True" { markPods(of: node, state, now, &plan) }
        return plan
    }

    private func lastHeard(_ node: Node, _ state: borrowing ClusterState) -> Timestamp {
        let lease = state.get(.leases, NodeLifecycle.leaseNamespace, node.name)
        let times = [
            start, node.creation, lease?["spec"].time("renewTime"), node["status"].condition("Ready").flatMap { $0.time("lastHeartbeatTime") },
        ]
        return times.compactMap { $0 }.max() ?? start
    }

    private func silence(_ status: inout Node, _ node: Node, _ now: Timestamp) {
        var conditions = status["conditions"].list
        for type in ["Ready", "MemoryPressure", "DiskPressure", "PIDPressure"] {
            if let index = conditions.firstIndex(where: { $0["type"].string == type }) {
                if conditions[index]["status"].string == "Unknown" { continue }
                conditions[index]["status"] = "Unknown"
                conditions[index]["reason"] = "NodeStatusUnknown"
                conditions[index]["message"] = "Kubelet stopped posting node status."
                conditions[index]["lastTransitionTime"] = .string(now.rfc3339)
            } else {
                conditions.append([
                    "type": .string(type), "status": "Unknown", "reason": "NodeStatusNeverUpdated", "message": "Kubelet never posted node status.",
                    "lastHeartbeatTime": node["metadata"]["creationTimestamp"], "lastTransitionTime": .string(now.rfc3339),
                ])
            }
        }
        status["conditions"] = .list(conditions)
    }

    /// Nobody shall send traffic to the pods of a node that is not ready.
    private func markPods(of node: Node, _ state: borrowing ClusterState, _ now: Timestamp, _ plan: inout Plan) {
        for pod in state[.pods].objects("node", node.name).sorted(by: ClusterState.olderFirst) where PodConditions.isTrue(pod, "Ready") {
            var copy = pod
            PodConditions.set(&copy, type: "Ready", status: "False", now: now)
            plan.actions.append(.updateStatus(.pods, copy))
            plan.actions.append(.event(Event(pod, .warning, reason: "NodeNotReady", message: "Node is not ready")))
        }
    }
}

/// The taints that a node's state asks for.
enum NodeTaints {
    static let notReady = "node.kubernetes.io/not-ready"
    static let unreachable = "node.kubernetes.io/unreachable"

    /// Conditions whose other state than the good one taints.
    private static let byCondition: [(type: String, status: String, key: String)] = [
        ("Ready", "False", notReady), ("Ready", "Unknown", unreachable), ("MemoryPressure", "True", "node.kubernetes.io/memory-pressure"),
        ("DiskPressure", "True", "node.kubernetes.io/disk-pressure"), ("NetworkUnavailable", "True", "node.kubernetes.io/network-unavailable"),
        ("PIDPressure", "True", "node.kubernetes.io/pid-pressure"),
    ]
    private static let unschedulable = "node.kubernetes.io/unschedulable"

    /// All taints that the node should have: those of others as they are, ours as its state is.
    static func wanted(_ node: Node, _ eviction: ZoneState.Eviction, _ now: Timestamp) -> [Node] {
        var ours: [(key: String, effect: String)] = []
        for (type, status, key) in byCondition where node["status"].condition(type)?["status"].string == status {
            ours.append((key, "NoSchedule"))
            let isThere = node["spec"]["taints"].list.contains { $0["key"].string == key && $0["effect"].string == "NoExecute" }
            if type == "Ready", eviction == .allowed || (isThere && eviction != .none) { ours.append((key, "NoExecute")) }
        }
        if node["spec"]["unschedulable"].bool == true { ours.append((unschedulable, "NoSchedule")) }
        let managed = Set(byCondition.map(\.key) + [unschedulable])
        var taints = node["spec"]["taints"].list.filter { taint in
            guard let key = taint["key"].string, managed.contains(key) else { return true }
            let effect = taint["effect"].string ?? ""
            if effect == "NoExecute", key != notReady, key != unreachable { return true }
            return ours.contains { $0.key == key && $0.effect == effect } || effect == "PreferNoSchedule"
        }
        for (key, effect) in ours where !taints.contains(where: { $0["key"].string == key && $0["effect"].string == effect }) {
            taints.append(["key": .string(key), "effect": .string(effect), "timeAdded": .string(now.rfc3339)])
        }
        return taints
    }
}
