import Client
import Core
import Kinds
import Machinery
import Tree

/// What a pod's claims say about nodes: where bound volumes are, and which claims wait for a node to be chosen.
struct VolumeState: Sendable {
    /// A claim without a volume, that is bound when its pod has a node.
    struct Waiting: Sendable {
        let claim: Node
        let storageClass: Node
        /// Existing volumes that would do, the smallest first.
        let candidates: [Node]
    }

    private(set) var bound: [Node] = []
    private(set) var missingVolume = false
    private(set) var waiting: [Waiting] = []
    /// Set when no node will do, whatever it is.
    private(set) var refusal: String?

    var concernsNodes: Bool { missingVolume || !bound.isEmpty || !waiting.isEmpty }

    static let none = VolumeState()
    private init() {}

    init(_ pod: PodInfo, _ cluster: SchedulingCluster) {
        for name in pod.claims {
            guard let claim = cluster.claims[ObjectKey(pod.key.namespace, name)] else {
                refusal = "persistentvolumeclaim \"\(name)\" not found"
                return
            }
            if claim.isBeingDeleted {
                refusal = "persistentvolumeclaim \"\(name)\" is being deleted"
                return
            }
            let volume = claim["spec"]["volumeName"].string ?? ""
            let isBound = claim.annotations["pv.kubernetes.io/bind-completed"] != nil || claim["status"]["phase"].string == "Bound"
            if !volume.isEmpty, isBound {
                if let volume = cluster.volumes[volume] { bound.append(volume) } else { missingVolume = true }
                continue
            }
            let storageClass = cluster.storageClasses[claim["spec"]["storageClassName"].string ?? ""]
            guard volume.isEmpty, let storageClass, storageClass["volumeBindingMode"].string == "WaitForFirstConsumer" else {
                refusal = "pod has unbound immediate PersistentVolumeClaims"
                return
            }
            waiting.append(Waiting(claim: claim, storageClass: storageClass, candidates: VolumeState.candidates(claim, cluster)))
        }
    }

    private static func candidates(_ claim: Node, _ cluster: SchedulingCluster) -> [Node] {
        guard let wanted = PodRequests.quantity(claim["spec"]["resources"]["requests"]["storage"]) else { return [] }
        let selector = claim["spec"]["selector"].isNull ? LabelSelector.everything : LabelSelector(object: claim["spec"]["selector"])
        func size(_ volume: Node) -> Quantity { PodRequests.quantity(volume["spec"]["capacity"]["storage"]) ?? .zero }
        return cluster.volumes.values.filter { volume in
            volume["status"]["phase"].string == "Available" && volume["spec"]["claimRef"].isNull && !volume.isBeingDeleted
                && (volume["spec"]["storageClassName"].string ?? "") == (claim["spec"]["storageClassName"].string ?? "")
                && (volume["spec"]["volumeMode"].string ?? "Filesystem") == (claim["spec"]["volumeMode"].string ?? "Filesystem")
                && Set(volume["spec"]["accessModes"].stringList).isSuperset(of: claim["spec"]["accessModes"].stringList)
                && size(volume) >= wanted && selector.matches(volume["metadata"]["labels"])
        }.sorted { size($0) == size($1) ? $0.name < $1.name : size($0) < size($1) }
    }

    private static func isReachable(_ volume: Node, _ node: NodeInfo) -> Bool {
        let required = volume["spec"]["nodeAffinity"]["required"]
        return required.isNull || NodeSelector(required).matches(labels: node.labels, name: node.name)
    }

    func refusal(_ node: NodeInfo) -> Refusal? {
        if missingVolume { return Refusal(.volumes, "node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)") }
        if !bound.allSatisfy({ VolumeState.isReachable($0, node) }) { return Refusal(.volumes, "node(s) didn't match PersistentVolume's node affinity") }
        if choice(node) == nil { return Refusal(.volumes, "node(s) didn't find available persistent volumes to bind") }
        return nil
    }

    private static let zoneLabels = [
        "topology.kubernetes.io/zone", "topology.kubernetes.io/region", "failure-domain.beta.kubernetes.io/zone", "failure-domain.beta.kubernetes.io/region",
    ]

    /// A bound volume that names zones is reached from nodes in one of them; a node that names none may be anywhere.
    func zoneRefusal(_ node: NodeInfo) -> Refusal? {
        guard !bound.isEmpty, VolumeState.zoneLabels.contains(where: { node.labels[$0] != nil }) else { return nil }
        for volume in bound {
            for label in VolumeState.zoneLabels {
                guard let zones = volume.labels[label] else { continue }
                let stable = label.replacingPrefix("failure-domain.beta.kubernetes.io/", with: "topology.kubernetes.io/")
                let here = node.labels[label] ?? node.labels[stable]
                guard let here, zones.components("__").contains(here) else { return Refusal(.zones, "node(s) had no available volume zone") }
            }
        }
        return nil
    }

    /// What to do about the waiting claims if this node is chosen.
    struct Choice: Sendable, Equatable {
        /// Existing volumes to be bound.
        var matches: [(volume: Node, claim: Node)] = []
        /// Claims whose volume is to be made for the node.
        var provisions: [Node] = []
        var isEmpty: Bool { matches.isEmpty && provisions.isEmpty }

        static func == (a: Choice, b: Choice) -> Bool {
            a.provisions == b.provisions && a.matches.map(\.volume) == b.matches.map(\.volume) && a.matches.map(\.claim) == b.matches.map(\.claim)
        }
    }

    func choice(_ node: NodeInfo) -> Choice? {
        var choice = Choice()
        var taken: Set<String> = []
        for entry in waiting {
            let chosen = entry.claim.annotations["volume.kubernetes.io/selected-node"] ?? ""
            if !chosen.isEmpty {
                // Its volume is being made for that node.
                guard chosen == node.name else { return nil }
                choice.provisions.append(entry.claim)
            } else if let volume = entry.candidates.first(where: { !taken.contains($0.name) && VolumeState.isReachable($0, node) }) {
                taken.insert(volume.name)
                choice.matches.append((volume, entry.claim))
            } else if VolumeState.canProvision(entry.storageClass, node) {
                choice.provisions.append(entry.claim)
            } else {
                return nil
            }
        }
        return choice
    }

    private static func canProvision(_ storageClass: Node, _ node: NodeInfo) -> Bool {
        let provisioner = storageClass["provisioner"].string ?? ""
        if provisioner.isEmpty || provisioner == "kubernetes.io/no-provisioner" { return false }
        let topologies = storageClass["allowedTopologies"].list
        return topologies.isEmpty
            || topologies.contains { term in
                term["matchLabelExpressions"].list.allSatisfy { expression in
                    guard let value = node.labels[expression["key"].string ?? ""] else { return false }
                    return expression["values"].stringList.contains(value)
                }
            }
    }
}

extension String {
    fileprivate func replacingPrefix(_ prefix: String, with other: String) -> String { hasPrefix(prefix) ? other + dropFirst(prefix.count) : self }

    /// The parts between a separator of two equal characters.
    fileprivate func components(_ separator: String) -> [String] {
        var out: [String] = []
        var rest = Substring(self)
        while let range = rest.indices.first(where: { rest[$0...].hasPrefix(separator) }) {
            out.append(String(rest[..<range]))
            rest = rest[range...].dropFirst(separator.count)
        }
        return out + [String(rest)]
    }
}
