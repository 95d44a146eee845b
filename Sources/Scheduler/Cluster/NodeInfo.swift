import Core
import Kinds
import Machinery
import Tree

/// A node with the pods on it, bound or about to be. One of these lives as long as its node and is changed in place; what-if questions
/// are asked of a copy.
final class NodeInfo {
    let name: String
    /// Small and the node's own: its place in tables of counts.
    let slot: Int
    private(set) var node = Node.null
    private(set) var labels: [String: String] = [:]
    private(set) var zone: String?
    private(set) var taints: [Node] = []
    /// Has taints that forbid, and those that only dissuade.
    private(set) var isForbidding = false
    private(set) var isDissuading = false
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
    /// A copy for a question: tables of counts do not know it.
    private(set) var isSupposed = false

    init(name: String, slot: Int) {
        self.name = name
        self.slot = slot
    }

    /// The same state, to be changed without consequence.
    func supposed() -> NodeInfo {
        let copy = NodeInfo(name: name, slot: slot)
        copy.node = node
        copy.labels = labels
        copy.zone = zone
        copy.taints = taints
        copy.isForbidding = isForbidding
        copy.isDissuading = isDissuading
        copy.isUnschedulable = isUnschedulable
        copy.allocatable = allocatable
        copy.maxPods = maxPods
        copy.imageSizes = imageSizes
        copy.isKnown = isKnown
        copy.pods = pods
        copy.requested = requested
        copy.scoredRequested = scoredRequested
        copy.withAntiAffinity = withAntiAffinity
        copy.withPreferences = withPreferences
        copy.withPorts = withPorts
        copy.isSupposed = true
        return copy
    }

    func set(_ node: Node) {
        isKnown = true
        self.node = node
        labels = node.labels
        zone = labels["topology.kubernetes.io/zone"]
        taints = node["spec"]["taints"].list
        isForbidding = taints.contains { ["NoSchedule", "NoExecute"].contains($0["effect"].string) }
        isDissuading = taints.contains { $0["effect"].string == "PreferNoSchedule" }
        isUnschedulable = node["spec"]["unschedulable"].bool ?? false
        let amounts = PodRequests.amounts(node["status"]["allocatable"])
        allocatable = Amounts(amounts)
        maxPods = amounts["pods"]?.value ?? 0
        imageSizes = [:]
        for image in node["status"]["images"].list {
            for name in image["names"].stringList { imageSizes[name] = image["sizeBytes"].int ?? 0 }
        }
    }

    /// The node is gone; its pods are not yet.
    func unset() {
        isKnown = false
        node = .null
        labels = [:]
        zone = nil
        taints = []
        (isForbidding, isDissuading, isUnschedulable) = (false, false, false)
        allocatable = Amounts()
        maxPods = 0
        imageSizes = [:]
    }

    func add(_ pod: PodInfo) {
        if pods[pod.uid] != nil { remove(uid: pod.uid) }
        pods[pod.uid] = pod
        requested.add(pod.requests)
        scoredRequested.add(pod.scoredRequests)
        if !pod.antiAffinity.isEmpty { withAntiAffinity.insert(pod.uid) }
        if pod.hasPreferences { withPreferences.insert(pod.uid) }
        if !pod.ports.isEmpty { withPorts.insert(pod.uid) }
    }

    @discardableResult
    func remove(uid: String) -> PodInfo? {
        guard let pod = pods.removeValue(forKey: uid) else { return nil }
        requested.add(pod.requests, times: -1)
        scoredRequested.add(pod.scoredRequests, times: -1)
        if !pod.antiAffinity.isEmpty { withAntiAffinity.remove(uid) }
        if pod.hasPreferences { withPreferences.remove(uid) }
        if !pod.ports.isEmpty { withPorts.remove(uid) }
        return pod
    }
}
