import Client
import Core
import Kinds
import Machinery
import Schema
import Tree

/// What the scheduler believes of the cluster: its nodes with bound and assumed pods, claims and volumes.
struct SchedulingCluster {
    /// The nodes that exist, by name, in a stable order.
    private(set) var nodes: [NodeInfo] = []
    /// With those that only pods tell of.
    private var byName: [String: NodeInfo] = [:]
    private var freeSlots: [Int] = []
    /// On which node each pod is, by uid.
    private(set) var places: [String: String] = [:]
    private(set) var antiAffinityPods = 0
    private(set) var preferencePods = 0
    /// On how many nodes each image is.
    private(set) var imageNodes: [String: Int] = [:]
    private let counts = Shared()
    var namespaceLabels: [String: [String: String]] = [:]
    var claims: [ObjectKey: Node] = [:]
    var volumes: [String: Node] = [:]
    var storageClasses: [String: Node] = [:]
    var budgets: [ObjectKey: Node] = [:]
    /// How many volumes of each driver a node can attach; only nodes and drivers that say so.
    var attachLimits: [String: [String: Int64]] = [:]
    /// What Services select, by namespace and name, and the selectors of sets by uid: by these pods spread that do not say how.
    var serviceSelectors: [String: [String: [String: String]]] = [:]
    var ownerSelectors: [String: LabelSelector] = [:]
    var devices = DeviceLedger()
    /// Pods that wait for room on a node, by uid: victims are leaving for them.
    private(set) var nominated: [String: (node: String, pod: PodInfo)] = [:]
    private var replacement: NodeInfo?

    /// Of one cluster, whatever is supposed of it.
    private final class Shared { var cache = MatchCountCache() }

    subscript(_ name: String) -> NodeInfo? {
        if let replacement, replacement.name == name { return replacement }
        return byName[name].flatMap { $0.isKnown ? $0 : nil }
    }

    /// All that there are, also nodes that only pods tell of.
    var known: Dictionary<String, NodeInfo>.Values { byName.values }

    func counts(of selector: LabelSelector, in namespaces: Set<String>, counting: Bool = false) -> MatchCounts {
        counts.cache.counts(.init(namespaces: namespaces, selector: selector, counting: counting), byName.values)
    }

    private mutating func info(_ name: String) -> NodeInfo {
        if let info = byName[name] { return info }
        let info = NodeInfo(name: name, slot: freeSlots.popLast() ?? byName.count)
        byName[name] = info
        return info
    }

    private mutating func dropIfEmpty(_ name: String) {
        guard let info = byName[name], !info.isKnown, info.pods.isEmpty else { return }
        byName[name] = nil
        freeSlots.append(info.slot)
    }

    mutating func setNode(_ name: String, _ node: Node?) {
        if let node {
            let info = info(name)
            if !info.isKnown { nodes.insert(info, at: place(name)) }
            count(info.imageSizes.keys, -1)
            info.set(node)
            count(info.imageSizes.keys, 1)
        } else if let info = self[name] {
            nodes.remove(at: place(name))
            count(info.imageSizes.keys, -1)
            info.unset()
            dropIfEmpty(name)
        }
    }

    private mutating func count(_ images: some Sequence<String>, _ sign: Int) {
        for image in images {
            imageNodes[image, default: 0] += sign
            if imageNodes[image] == 0 { imageNodes[image] = nil }
        }
    }

    /// Where a node of that name is, or would be.
    private func place(_ name: String) -> Int {
        var (low, high) = (0, nodes.count)
        while low < high {
            let middle = (low + high) / 2
            if nodes[middle].name < name { low = middle + 1 } else { high = middle }
        }
        return low
    }

    mutating func place(_ pod: PodInfo, on name: String) {
        remove(uid: pod.uid)
        places[pod.uid] = name
        let info = info(name)
        info.add(pod)
        counts.cache.changed(pod, on: info, 1)
        if !pod.antiAffinity.isEmpty { antiAffinityPods += 1 }
        if pod.hasPreferences { preferencePods += 1 }
        nominated[pod.uid] = nil
    }

    @discardableResult
    mutating func remove(uid: String) -> Bool {
        guard let name = places.removeValue(forKey: uid), let info = byName[name], let pod = info.remove(uid: uid) else { return false }
        counts.cache.changed(pod, on: info, -1)
        if !pod.antiAffinity.isEmpty { antiAffinityPods -= 1 }
        if pod.hasPreferences { preferencePods -= 1 }
        dropIfEmpty(name)
        return true
    }

    mutating func nominate(_ pod: PodInfo, on node: String?) {
        nominated[pod.uid] = node.flatMap { $0.isEmpty ? nil : ($0, pod) }
    }

    /// The node as a pod finds it that may not take what others were promised.
    func node(_ node: NodeInfo, withNominatedFor pod: PodInfo) -> NodeInfo? {
        guard !nominated.isEmpty else { return nil }
        let others = nominated.filter { $0.value.node == node.name && $0.key != pod.uid && $0.value.pod.priority >= pod.priority }
        guard !others.isEmpty else { return nil }
        let crowded = node.supposed()
        for other in others.values { crowded.add(other.pod) }
        return crowded
    }

    /// The same cluster with another state of one node: for asking what if.
    func replacing(_ node: NodeInfo) -> SchedulingCluster {
        var copy = self
        copy.replacement = node
        let index = place(node.name)
        if index < nodes.count, nodes[index].name == node.name { copy.nodes[index] = node }
        return copy
    }
}
