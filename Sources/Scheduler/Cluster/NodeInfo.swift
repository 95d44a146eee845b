import Core
import Kinds
import Machinery
import Tree

/// A node with the pods on it, bound or about to be.
struct NodeInfo: Sendable {
    private(set) var name: String
    private(set) var labels: [String: String] = [:]
    private(set) var taints: [Node] = []
    private(set) var isUnschedulable = false
    private(set) var allocatable = Amounts()
    private(set) var maxPods: Int64 = 0
    private(set) var imageSizes: [String: Int64] = [:]
    /// False for a node that only its pods tell of.
    private(set) var isKnown = false

    private(set) var pods: [String: PodInfo] = [:]
    private(set) var requested = Amounts()
    private(set) var scoredRequested = Amounts()
    private(set) var withAntiAffinity: Set<String> = []
    private(set) var withPreferences: Set<String> = []
    private(set) var withPorts: Set<String> = []
    private(set) var byOwner: [String: Int64] = [:]

    init(name: String) { self.name = name }

    mutating func set(_ node: Node) {
        isKnown = true
        labels = node.labels
        taints = node["spec"]["taints"].list
        isUnschedulable = node["spec"]["unschedulable"].bool ?? false
        let amounts = PodRequests.amounts(node["status"]["allocatable"])
        allocatable = Amounts(amounts)
        maxPods = amounts["pods"]?.value ?? 0
        imageSizes = [:]
        for image in node["status"]["images"].list {
            for name in image["names"].stringList { imageSizes[name] = image["sizeBytes"].int ?? 0 }
        }
    }

    mutating func unset() {
        var empty = NodeInfo(name: name)
        for pod in pods.values { empty.add(pod) }
        self = empty
    }

    mutating func add(_ pod: PodInfo) {
        if pods[pod.uid] != nil { remove(uid: pod.uid) }
        pods[pod.uid] = pod
        requested.add(pod.requests)
        scoredRequested.add(pod.scoredRequests)
        if !pod.antiAffinity.isEmpty { withAntiAffinity.insert(pod.uid) }
        if !pod.affinity.isEmpty || !pod.preferredAffinity.isEmpty || !pod.preferredAntiAffinity.isEmpty { withPreferences.insert(pod.uid) }
        if !pod.ports.isEmpty { withPorts.insert(pod.uid) }
        if !pod.owner.isEmpty { byOwner[pod.owner, default: 0] += 1 }
    }

    @discardableResult
    mutating func remove(uid: String) -> Bool {
        guard let pod = pods.removeValue(forKey: uid) else { return false }
        requested.add(pod.requests, times: -1)
        scoredRequested.add(pod.scoredRequests, times: -1)
        withAntiAffinity.remove(uid)
        withPreferences.remove(uid)
        withPorts.remove(uid)
        if !pod.owner.isEmpty {
            byOwner[pod.owner, default: 1] -= 1
            if byOwner[pod.owner] == 0 { byOwner[pod.owner] = nil }
        }
        return true
    }
}
