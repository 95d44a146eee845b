import Machinery
package import Tree

/// A pod's tree under the names that a kubelet uses. Knows nothing but what the tree says.
package struct PodView: Sendable, Equatable {
    package enum Role: Sendable, Hashable {
        /// Runs to its end before the next one.
        case initial
        /// An init container that stays: `restartPolicy: Always`.
        case sidecar
        case regular
        case ephemeral
    }

    package let node: Node
    package init(_ node: Node) { self.node = node }

    package var spec: Node { node["spec"] }
    package var status: Node { node["status"] }
    package var uid: String { node.uid }
    package var name: String { node.name }
    package var namespace: String { node.namespace }
    /// `name_namespace(uid)`, as upstream writes pods into messages.
    package var title: String { "\(name)_\(namespace)(\(uid))" }

    package var containers: [Node] { spec["containers"].list }
    package var initContainers: [Node] { spec["initContainers"].list }
    package var ephemeralContainers: [Node] { spec["ephemeralContainers"].list }
    package var restartPolicy: String { spec["restartPolicy"].string ?? "Always" }
    package var usesHostNetwork: Bool { spec["hostNetwork"].bool ?? false }
    package var sidecars: [Node] { initContainers.filter(PodView.isSidecar) }

    package static func isSidecar(_ container: Node) -> Bool { container["restartPolicy"].string == "Always" }

    /// Init, regular, then ephemeral containers, each with its part in the pod.
    package var all: [(role: Role, container: Node)] {
        initContainers.map { (PodView.isSidecar($0) ? .sidecar : .initial, $0) } + containers.map { (.regular, $0) }
            + ephemeralContainers.map { (.ephemeral, $0) }
    }

    package func container(_ name: String) -> (role: Role, container: Node)? {
        all.first { $0.container["name"].string == name }
    }

    /// Where events about a container point.
    package func fieldPath(_ name: String) -> String {
        switch container(name)?.role {
        case .initial, .sidecar: "spec.initContainers{\(name)}"
        case .ephemeral: "spec.ephemeralContainers{\(name)}"
        default: "spec.containers{\(name)}"
        }
    }

    /// What the API says of a container, in whichever of the three lists.
    package func containerStatus(_ name: String) -> Node? {
        for list in ["initContainerStatuses", "containerStatuses", "ephemeralContainerStatuses"] {
            if let found = status[list].list.first(where: { $0["name"].string == name }) { return found }
        }
        return nil
    }

    /// Seconds until containers are killed, once the pod ends: of the deletion, else of the spec.
    package var gracePeriod: Int64 {
        let seconds = node.isBeingDeleted ? node["metadata"]["deletionGracePeriodSeconds"].int : nil
        return max(0, seconds ?? spec["terminationGracePeriodSeconds"].int ?? 30)
    }

    package var isTerminal: Bool { ["Succeeded", "Failed"].contains(status["phase"].string ?? "") }
}

/// Whether a container that ended with a code runs again.
package enum RestartPolicy {
    package static func restarts(_ container: Node, role: PodView.Role, pod: PodView, exitCode: Int32) -> Bool {
        if role == .ephemeral { return false }
        for rule in container["restartPolicyRules"].list where matches(rule["exitCodes"], exitCode) { return rule["action"].string != "DoNotRestart" }
        switch container["restartPolicy"].string ?? pod.restartPolicy {
        case "Never": return false
        case "OnFailure": return exitCode != 0
        // An init container is done once it succeeded, whatever the pod's policy.
        default: return role != .initial || exitCode != 0
        }
    }

    private static func matches(_ rule: Node, _ code: Int32) -> Bool {
        let listed = rule["values"].list.contains { $0.int == Int64(code) }
        return switch rule["operator"].string {
        case "In": listed
        case "NotIn": !listed
        default: false
        }
    }
}
