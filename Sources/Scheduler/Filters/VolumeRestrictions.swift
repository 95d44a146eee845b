import Client
import Kinds
import Machinery
import Tree

/// What pods that are there forbid a pod about volumes: claims that one pod has to itself, disks that are written from one place,
/// and as many volumes of a driver as a node can attach.
struct VolumeRestrictions {
    private let disks: [Node]
    private let isTaken: Bool
    /// Volumes that the pod would bring along, by driver.
    private let wanted: [String: Set<String>]
    private let cluster: SchedulingCluster?

    var hasRestrictions: Bool { !disks.isEmpty || isTaken }
    var hasLimits: Bool { cluster != nil }

    init(_ pod: PodInfo, _ cluster: SchedulingCluster) {
        disks = pod.node["spec"]["volumes"].list.filter { volume in VolumeRestrictions.diskKinds.contains { !volume[$0].isNull } }
        let exclusive = Set(pod.claims.filter { name in
            cluster.claims[ObjectKey(pod.key.namespace, name)]?["spec"]["accessModes"].stringList.contains("ReadWriteOncePod") == true
        })
        isTaken = !exclusive.isEmpty
            && cluster.known.contains { node in
                node.pods.values.contains { $0.key.namespace == pod.key.namespace && $0.uid != pod.uid && !exclusive.isDisjoint(with: $0.claims) }
            }
        let wanted = cluster.attachLimits.isEmpty ? [:] : VolumeRestrictions.attached(pod, cluster)
        self.wanted = wanted
        self.cluster = wanted.isEmpty ? nil : cluster
    }

    private static let diskKinds = ["gcePersistentDisk", "awsElasticBlockStore", "iscsi", "rbd"]

    func refusal(_ node: NodeInfo) -> Refusal? {
        if !disks.isEmpty, node.pods.values.contains(where: { other in disks.contains { VolumeRestrictions.conflicts($0, other.node) } }) {
            return Refusal(.restrictions, "node(s) had no available disk", isResolvable: true)
        }
        if isTaken {
            let reason = "node(s) unavailable due to PersistentVolumeClaim with ReadWriteOncePod access mode already in-use by another pod"
            return Refusal(.restrictions, reason, isResolvable: true)
        }
        return nil
    }

    func limit(_ node: NodeInfo) -> Refusal? {
        guard let cluster, let limits = cluster.attachLimits[node.name] else { return nil }
        var there: [String: Set<String>] = [:]
        for other in node.pods.values where !other.claims.isEmpty {
            for (driver, volumes) in VolumeRestrictions.attached(other, cluster) { there[driver, default: []].formUnion(volumes) }
        }
        for (driver, volumes) in wanted {
            guard let most = limits[driver] else { continue }
            let all = (there[driver] ?? []).union(volumes)
            // What is there already costs nothing again.
            if all.count > (there[driver] ?? []).count, Int64(all.count) > most { return Refusal(.limits, "node(s) exceed max volume count", isResolvable: true) }
        }
        return nil
    }

    /// The volumes of a pod that a driver attaches; those still to be made are known by their claim.
    private static func attached(_ pod: PodInfo, _ cluster: SchedulingCluster) -> [String: Set<String>] {
        var out: [String: Set<String>] = [:]
        for name in pod.claims {
            guard let claim = cluster.claims[ObjectKey(pod.key.namespace, name)] else { continue }
            if let volume = cluster.volumes[claim["spec"]["volumeName"].string ?? ""] {
                if let driver = volume["spec"]["csi"]["driver"].string { out[driver, default: []].insert(volume["spec"]["csi"]["volumeHandle"].string ?? volume.name) }
            } else if let provisioner = cluster.storageClasses[claim["spec"]["storageClassName"].string ?? ""]?["provisioner"].string {
                out[provisioner, default: []].insert("\(pod.key.namespace)/\(name)")
            }
        }
        return out
    }

    private static func conflicts(_ volume: Node, _ pod: Node) -> Bool {
        pod["spec"]["volumes"].list.contains { other in
            func both(_ kind: String) -> (Node, Node)? { volume[kind].isNull || other[kind].isNull ? nil : (volume[kind], other[kind]) }
            func areReadOnly(_ a: Node, _ b: Node) -> Bool { a["readOnly"].bool == true && b["readOnly"].bool == true }
            if let (a, b) = both("gcePersistentDisk"), a["pdName"] == b["pdName"], !areReadOnly(a, b) { return true }
            if let (a, b) = both("awsElasticBlockStore"), a["volumeID"] == b["volumeID"] { return true }
            if let (a, b) = both("iscsi"), a["iqn"] == b["iqn"], !areReadOnly(a, b) { return true }
            if let (a, b) = both("rbd"), a["image"] == b["image"], a["pool"].string ?? "rbd" == b["pool"].string ?? "rbd", !areReadOnly(a, b) {
                return !Set(a["monitors"].stringList).isDisjoint(with: b["monitors"].stringList)
            }
            return false
        }
    }
}
