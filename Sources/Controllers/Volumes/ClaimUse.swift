import Machinery
import Tree

/// Which claims a pod uses.
enum ClaimUse {
    /// Names in the pod's namespace; an ephemeral volume's claim bears the names of both.
    static func claims(of pod: Node) -> [String] {
        pod["spec"]["volumes"].list.compactMap { volume in
            if volume.has("ephemeral") { return "\(pod.name)-\(volume["name"].string ?? "")" }
            return volume["persistentVolumeClaim"]["claimName"].string
        }
    }

    /// A claim that merely has the name of an ephemeral volume's, but belongs to somebody else, is not used.
    static func uses(_ pod: Node, _ claim: Node) -> Bool {
        pod["spec"]["volumes"].list.contains { volume in
            if volume.has("ephemeral") {
                return "\(pod.name)-\(volume["name"].string ?? "")" == claim.name && claim.controllerOwner?.uid == pod.uid
            }
            return volume["persistentVolumeClaim"]["claimName"].string == claim.name
        }
    }
}
