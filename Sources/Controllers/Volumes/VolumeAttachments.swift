package import Client
package import Core
import Kinds
import Machinery
package import Schema
import Tree

extension GroupVersionResource {
    static let volumeAttachments = GroupVersionResource(group: "storage.k8s.io", version: "v1", resource: "volumeattachments")
    static let csiDrivers = GroupVersionResource(group: "storage.k8s.io", version: "v1", resource: "csidrivers")
}

/// Asks CSI drivers to attach volumes to the nodes whose pods use them, and to detach them when no pod does any more; tells in the
/// node's status what is attached. The drivers' own attacher does the work: it answers in the status of the VolumeAttachment.
package struct VolumeAttachments: Controller {
    private let digest: @Sendable (String) -> String

    package init() { digest = { Encoding.hex(SHA256.hash(Array($0.utf8))) } }
    package var name: String { "attachdetach-controller" }

    /// Keys are nodes.
    package var triggers: [Trigger] {
        [
            Trigger(.pods, indexes: [.node, .namespace]) { change, _ in
                func facet(_ pod: Node?) -> [Node] { pod.map { [$0["spec"]["nodeName"], .bool(PodView($0).isTerminal)] } ?? [] }
                guard facet(change.old) != facet(change.new), [change.old, change.new].contains(where: { $0.map { !VolumeAttachments.claims(of: $0).isEmpty } ?? false })
                else { return [] }
                let names = [change.old, change.new].compactMap { $0.map { PodView($0).nodeName } }.filter { !$0.isEmpty }
                return Set(names).map { ObjectKey("", $0) }
            },
            Trigger(.persistentVolumeClaims) { change, view in
                guard change.old?["spec"]["volumeName"] != change.new?["spec"]["volumeName"] else { return [] }
                return view.read { state in
                    let pods = state.inNamespace(.pods, change.key.namespace).filter { VolumeAttachments.claims(of: $0).contains(change.key.name) }
                    return Set(pods.map { PodView($0).nodeName }.filter { !$0.isEmpty }).map { ObjectKey("", $0) }
                }
            },
            Trigger(.volumeAttachments) { change, _ in [change.old, change.new].compactMap { $0?["spec"]["nodeName"].string }.first.map { [ObjectKey("", $0)] } ?? [] },
            Trigger(.csiDrivers) { change, view in
                guard change.old?["spec"]["attachRequired"] != change.new?["spec"]["attachRequired"] else { return [] }
                return view.read { Array($0[.nodes].objects.keys) }
            },
            Trigger(.nodes) { change, _ in
                func facet(_ node: Node?) -> [Node] { node.map { [$0["status"]["volumesInUse"], $0["status"]["volumesAttached"]] } ?? [] }
                return facet(change.old) == facet(change.new) && change.new != nil ? [] : [change.key]
            },
        ]
    }

    package var reads: [(GroupVersionResource, [ObjectTable.Index])] { [(.persistentVolumes, [])] }

    static func claims(of pod: Node) -> [String] {
        pod["spec"]["volumes"].list.compactMap { volume in
            if let name = volume["persistentVolumeClaim"]["claimName"].string { return name }
            return volume["ephemeral"].isNull ? nil : "\(pod.name)-\(volume["name"].string ?? "")"
        }
    }

    /// A volume that must be attached, as its attachment and the node's status name it.
    private struct Wanted {
        let attachment: String
        let driver: String
        let volume: String
        let unique: String
    }

    package func plan(_ key: ObjectKey, _ state: borrowing ClusterState, now: Timestamp) -> Plan {
        let node = state.get(.nodes, key)
        let wanted = wanted(key.name, state)
        let there = state[.volumeAttachments].objects.values.filter { $0["spec"]["nodeName"].string == key.name }.sorted { $0.name < $1.name }
        var plan = Plan()
        for one in wanted.values.sorted(by: { $0.attachment < $1.attachment }) where node != nil && !there.contains(where: { $0.name == one.attachment }) {
            plan.actions.append(.create(.volumeAttachments, attachment(one, key.name)))
        }
        let inUse = Set(node?["status"]["volumesInUse"].stringList ?? [])
        var attached: [Node] = []
        for attachment in there {
            let name = attachment["spec"]["source"]["persistentVolumeName"].string ?? ""
            let volume = state.get(.persistentVolumes, "", name)
            let unique = unique(volume, attachment["spec"]["attacher"].string ?? "", name)
            let isWanted = wanted[attachment.name] != nil
            // What a pod has mounted still is not taken from under it.
            if !isWanted, isOwn(attachment, volume), !attachment.isBeingDeleted, node == nil || !inUse.contains(unique) {
                plan.actions.append(.delete(.volumeAttachments, ObjectKey("", attachment.name), DeleteOptions(uid: attachment.uid)))
            } else if attachment["status"]["attached"].bool == true, !attachment.isBeingDeleted {
                attached.append(["name": .string(unique), "devicePath": ""])
            }
        }
        guard let node, node["status"]["volumesAttached"].list != attached else { return plan }
        var status = Node.emptyMap
        if attached.isEmpty { status.setNull("volumesAttached") } else { status["volumesAttached"] = .list(attached) }
        plan.actions.append(.patch(.nodes, key, .merge, ["status": status], subresource: "status"))
        return plan
    }

    private func attachment(_ one: Wanted, _ node: String) -> Node {
        [
            "kind": "VolumeAttachment", "apiVersion": "storage.k8s.io/v1", "metadata": ["name": .string(one.attachment)],
            "spec": ["attacher": .string(one.driver), "nodeName": .string(node), "source": ["persistentVolumeName": .string(one.volume)]],
        ]
    }

    /// What others made is theirs. Ours are told by the name; of a volume that is gone, by the look of it.
    private func isOwn(_ attachment: Node, _ volume: Node?) -> Bool {
        guard let handle = volume?["spec"]["csi"]["volumeHandle"].string else { return attachment.name.hasPrefix("csi-") && attachment.name.utf8.count == 68 }
        let spec = attachment["spec"]
        return attachment.name == ownName(handle, spec["attacher"].string ?? "", spec["nodeName"].string ?? "")
    }

    /// Upstream's, so that its drivers find them.
    private func ownName(_ handle: String, _ driver: String, _ node: String) -> String { "csi-" + digest(handle + driver + node) }

    /// By the name of the attachment. Drivers that say that they need none have none.
    private func wanted(_ node: String, _ state: borrowing ClusterState) -> [String: Wanted] {
        var out: [String: Wanted] = [:]
        for pod in state[.pods].objects("node", node) where !PodView(pod).isTerminal {
            for claim in VolumeAttachments.claims(of: pod) {
                guard let volumeName = state.get(.persistentVolumeClaims, pod.namespace, claim)?["spec"]["volumeName"].string, !volumeName.isEmpty,
                    let volume = state.get(.persistentVolumes, "", volumeName), let driver = volume["spec"]["csi"]["driver"].string,
                    state.get(.csiDrivers, "", driver)?["spec"]["attachRequired"].bool ?? true
                else { continue }
                let handle = volume["spec"]["csi"]["volumeHandle"].string ?? ""
                let name = ownName(handle, driver, node)
                out[name] = Wanted(attachment: name, driver: driver, volume: volumeName, unique: unique(volume, driver, volumeName))
            }
        }
        return out
    }

    private func unique(_ volume: Node?, _ driver: String, _ name: String) -> String {
        "kubernetes.io/csi/\(driver)^\(volume?["spec"]["csi"]["volumeHandle"].string ?? name)"
    }
}
