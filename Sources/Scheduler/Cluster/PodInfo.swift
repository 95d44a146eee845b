package import Client
package import Core
import Kinds
import Machinery
package import Tree

/// A pod read once for all questions that scheduling asks of it.
package final class PodInfo: Sendable {
    package let node: Node
    package let key: ObjectKey
    package let uid: String
    package let labels: [String: String]
    package let priority: Int64
    package let creation: Timestamp
    package let nodeName: String
    let requests: Amounts
    /// For spreading load also over pods that ask for nothing.
    let scoredRequests: Amounts
    let required: RequiredNodes
    let tolerations: [Node]
    let ports: [HostPort]
    let affinity: [AffinityTerm]
    let antiAffinity: [AffinityTerm]
    let preferredAffinity: [(weight: Int64, term: AffinityTerm)]
    let preferredAntiAffinity: [(weight: Int64, term: AffinityTerm)]
    let spreads: [SpreadConstraint]
    let claims: [String]
    let resourceClaims: PodClaims
    /// With their tags.
    let images: [String]
    let containerCount: Int
    /// Its controller, by which pods are spread where they do not say how.
    let owner: String
    /// Whether others' placement may be judged by its wishes.
    let hasPreferences: Bool

    package init(_ pod: Node) {
        node = pod
        key = ObjectKey(pod.namespace, pod.name)
        uid = pod.uid
        labels = pod.labels
        priority = pod["spec"]["priority"].int ?? 0
        creation = pod.creation ?? Timestamp(seconds: 0)
        nodeName = pod["spec"]["nodeName"].string ?? ""
        requests = Amounts(PodRequests.total(pod))
        var scored = requests
        if scored.milliCPU == 0 { scored.milliCPU = 100 }
        if scored.memory == 0 { scored.memory = 200 << 20 }
        scoredRequests = scored
        let spec = pod["spec"]
        required = RequiredNodes(pod: pod)
        tolerations = spec["tolerations"].list
        ports = HostPort.all(spec)
        let affinityNode = spec["affinity"]["podAffinity"]
        let antiNode = spec["affinity"]["podAntiAffinity"]
        affinity = AffinityTerm.required(affinityNode, pod)
        antiAffinity = AffinityTerm.required(antiNode, pod)
        preferredAffinity = AffinityTerm.preferred(affinityNode, pod)
        preferredAntiAffinity = AffinityTerm.preferred(antiNode, pod)
        spreads = spec["topologySpreadConstraints"].list.map { SpreadConstraint($0, labels: pod.labels) }
        claims = spec["volumes"].list.compactMap { volume in
            if let name = volume["persistentVolumeClaim"]["claimName"].string { return name }
            return volume["ephemeral"].isNull ? nil : "\(pod.name)-\(volume["name"].string ?? "")"
        }
        resourceClaims = PodClaims(pod)
        containerCount = spec["containers"].list.count + spec["initContainers"].list.count
        let images = (spec["containers"].list + spec["initContainers"].list).map { $0["image"] } + spec["volumes"].list.map { $0["image"]["reference"] }
        self.images = images.compactMap { $0.string.map(PodInfo.normalized) }
        owner = pod.controllerOwner?.uid ?? ""
        hasPreferences = !affinity.isEmpty || !preferredAffinity.isEmpty || !preferredAntiAffinity.isEmpty
    }

    private static func normalized(_ image: String) -> String {
        guard let colon = image.lastIndex(of: ":") else { return image + ":latest" }
        if let slash = image.lastIndex(of: "/"), slash > colon { return image + ":latest" }
        return image
    }

    var schedulerName: String { node["spec"]["schedulerName"].string ?? "default-scheduler" }
    package var isGated: Bool { !node["spec"]["schedulingGates"].isEmpty }
    var nominatedNode: String { node["status"]["nominatedNodeName"].string ?? "" }
    var mayPreempt: Bool { node["spec"]["preemptionPolicy"].string != "Never" }
    var isTerminating: Bool { node.isBeingDeleted }
}

/// A port of the node that a pod wants for itself.
struct HostPort: Sendable, Hashable {
    let address: String
    let transport: String
    let port: Int64

    static func all(_ spec: Node) -> [HostPort] {
        let containers = spec["containers"].list + spec["initContainers"].list.filter { $0["restartPolicy"].string == "Always" }
        return containers.flatMap { container in
            container["ports"].list.compactMap { port in
                guard let number = port["hostPort"].int, number > 0 else { return nil }
                let address = port["hostIP"].string ?? ""
                return HostPort(address: address.isEmpty ? "0.0.0.0" : address, transport: port["protocol"].string ?? "TCP", port: number)
            }
        }
    }

    func conflicts(with other: HostPort) -> Bool {
        port == other.port && transport == other.transport && (address == other.address || address == "0.0.0.0" || other.address == "0.0.0.0")
    }
}

/// Which pods a pod wants to be near to or far from, and by which label nearness is told.
struct AffinityTerm: Sendable {
    let selector: LabelSelector
    let namespaces: Set<String>
    let namespaceSelector: LabelSelector?
    let topologyKey: String

    init(_ term: Node, _ pod: Node) {
        var extra: [LabelSelector.Requirement] = []
        let labels = pod.labels
        for key in term["matchLabelKeys"].stringList { if let value = labels[key] { extra.append(.init(key, .isIn, [value])) } }
        for key in term["mismatchLabelKeys"].stringList { if let value = labels[key] { extra.append(.init(key, .notIn, [value])) } }
        let own = LabelSelector(object: term["labelSelector"])
        selector = own.matchesNothing || extra.isEmpty ? own : LabelSelector(own.requirements + extra)
        topologyKey = term["topologyKey"].string ?? ""
        let named = term["namespaces"].stringList
        let hasSelector = !term["namespaceSelector"].isNull
        namespaces = named.isEmpty && !hasSelector ? [pod.namespace] : Set(named)
        namespaceSelector = hasSelector ? LabelSelector(object: term["namespaceSelector"]) : nil
    }

    func matches(_ pod: PodInfo, _ namespaceLabels: [String: [String: String]]) -> Bool {
        let inNamespace = namespaces.contains(pod.key.namespace) || namespaceSelector?.matches(namespaceLabels[pod.key.namespace] ?? [:]) == true
        return inNamespace && selector.matches(pod.labels)
    }

    static func required(_ affinity: Node, _ pod: Node) -> [AffinityTerm] {
        affinity["requiredDuringSchedulingIgnoredDuringExecution"].list.map { AffinityTerm($0, pod) }
    }

    static func preferred(_ affinity: Node, _ pod: Node) -> [(weight: Int64, term: AffinityTerm)] {
        affinity["preferredDuringSchedulingIgnoredDuringExecution"].list.map { ($0["weight"].int ?? 0, AffinityTerm($0["podAffinityTerm"], pod)) }
    }
}

/// How evenly pods are to be spread over the values of a node label.
struct SpreadConstraint: Sendable {
    let topologyKey: String
    private(set) var selector: LabelSelector
    let maxSkew: Int64
    let minDomains: Int64
    let isHard: Bool
    let honorsAffinity: Bool
    let honorsTaints: Bool

    init(_ node: Node, labels: [String: String]) {
        topologyKey = node["topologyKey"].string ?? ""
        let extra = node["matchLabelKeys"].stringList.compactMap { key in labels[key].map { LabelSelector.Requirement(key, .isIn, [$0]) } }
        let own = LabelSelector(object: node["labelSelector"])
        selector = own.matchesNothing || extra.isEmpty ? own : LabelSelector(own.requirements + extra)
        maxSkew = node["maxSkew"].int ?? 1
        minDomains = node["minDomains"].int ?? 1
        isHard = node["whenUnsatisfiable"].string != "ScheduleAnyway"
        honorsAffinity = node["nodeAffinityPolicy"].string != "Ignore"
        honorsTaints = node["nodeTaintsPolicy"].string == "Honor"
    }

    /// The same for other pods.
    func selecting(_ selector: LabelSelector) -> SpreadConstraint {
        var copy = self
        copy.selector = selector
        return copy
    }
}
