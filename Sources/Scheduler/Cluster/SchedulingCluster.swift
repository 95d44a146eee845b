import Client
import Core
import Kinds
import Machinery
import Schema
import Tree

/// What the scheduler believes of the cluster: its nodes with bound and assumed pods, claims and volumes.
struct SchedulingCluster: Sendable {
    private(set) var nodes: [String: NodeInfo] = [:]
    /// Of the nodes that exist, in a stable order.
    private(set) var names: [String] = []
    /// On which node each pod is, by uid.
    private(set) var places: [String: String] = [:]
    private(set) var antiAffinityPods = 0
    private(set) var preferencePods = 0
    var namespaceLabels: [String: [String: String]] = [:]
    var claims: [ObjectKey: Node] = [:]
    var volumes: [String: Node] = [:]
    var storageClasses: [String: Node] = [:]
    var budgets: [ObjectKey: Node] = [:]
    /// How many volumes of each driver a node can attach; only nodes and drivers that say so.
    var attachLimits: [String: [String: Int64]] = [:]
    /// Pods that wait for room on a node, by uid: victims are leaving for them.
    private(set) var nominated: [String: (node: String, pod: PodInfo)] = [:]

    subscript(_ name: String) -> NodeInfo? { nodes[name].flatMap { $0.isKnown ? $0 : nil } }

    mutating func setNode(_ name: String, _ node: Node?) {
        if let node {
            if self[name] == nil {
                let at = names.firstIndex { $0 > name } ?? names.endIndex
                names.insert(name, at: at)
            }
            nodes[name, default: NodeInfo(name: name)].set(node)
        } else {
            names.removeAll { $0 == name }
            nodes[name]?.unset()
            if nodes[name]?.pods.isEmpty == true { nodes[name] = nil }
        }
    }

    mutating func place(_ pod: PodInfo, on node: String) {
        remove(uid: pod.uid)
        places[pod.uid] = node
        nodes[node, default: NodeInfo(name: node)].add(pod)
        if !pod.antiAffinity.isEmpty { antiAffinityPods += 1 }
        if !pod.affinity.isEmpty || !pod.preferredAffinity.isEmpty || !pod.preferredAntiAffinity.isEmpty { preferencePods += 1 }
        nominated[pod.uid] = nil
    }

    @discardableResult
    mutating func remove(uid: String) -> Bool {
        guard let node = places.removeValue(forKey: uid), let pod = nodes[node]?.pods[uid] else { return false }
        if !pod.antiAffinity.isEmpty { antiAffinityPods -= 1 }
        if !pod.affinity.isEmpty || !pod.preferredAffinity.isEmpty || !pod.preferredAntiAffinity.isEmpty { preferencePods -= 1 }
        nodes[node]?.remove(uid: uid)
        if nodes[node]?.isKnown == false, nodes[node]?.pods.isEmpty == true { nodes[node] = nil }
        return true
    }

    mutating func nominate(_ pod: PodInfo, on node: String?) {
        nominated[pod.uid] = node.flatMap { $0.isEmpty ? nil : ($0, pod) }
    }

    /// The node as a pod finds it that may not take what others were promised.
    func node(_ name: String, withNominatedFor pod: PodInfo) -> NodeInfo? {
        guard !nominated.isEmpty, var node = self[name] else { return nil }
        var changed = false
        for (uid, other) in nominated where other.node == name && uid != pod.uid && other.pod.priority >= pod.priority {
            node.add(other.pod)
            changed = true
        }
        return changed ? node : nil
    }

    /// The same cluster with another state of one node: for asking what if.
    func replacing(_ node: NodeInfo) -> SchedulingCluster {
        var copy = self
        copy.nodes[node.name] = node
        return copy
    }
}
