import Core
import Machinery
package import Tree

/// The object of a node that nobody runs. The label is what makes a node emulated: whoever sets it on a node without an agent has
/// one, and it is all that a restarted daemon needs to know.
package enum EmulatedNode {
    package static let label = "jangada.dev/emulated"

    package static func isOne(_ node: Node?) -> Bool { node?["metadata"]["labels"][label].string == "true" }

    static func make(_ name: String, _ shape: EmulatedShape, address: String, now: Timestamp) -> Node {
        var labels = shape.labels
        labels["kubernetes.io/hostname"] = name
        for (key, value) in ["kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64"] where labels[key] == nil { labels[key] = value }
        if !shape.flavor.isEmpty { labels["node.kubernetes.io/instance-type"] = shape.flavor }
        labels[label] = "true"
        var spec = Node.emptyMap
        if !shape.taints.isEmpty { spec["taints"] = .list(shape.taints) }
        let amounts = Node(shape.resources.mapValues { "\($0)" })
        return [
            "apiVersion": "v1", "kind": "Node", "metadata": ["name": .string(name), "labels": Node(labels)], "spec": spec,
            "status": [
                "capacity": amounts, "allocatable": amounts, "conditions": .list(conditions(old: [], now: now)),
                "addresses": [["type": "InternalIP", "address": .string(address)], ["type": "Hostname", "address": .string(name)]],
                "nodeInfo": nodeInfo, "daemonEndpoints": ["kubeletEndpoint": ["Port": 0]],
            ],
        ]
    }

    private static let nodeInfo: Node = [
        "machineID": "", "systemUUID": "", "bootID": "", "kernelVersion": "", "osImage": "emulated", "containerRuntimeVersion": "emulated://1",
        "kubeletVersion": "v1.36.0", "kubeProxyVersion": "", "operatingSystem": "linux", "architecture": "amd64",
    ]

    /// What a healthy agent would tell; transition times stay where the state does.
    static func conditions(old: [Node], now: Timestamp) -> [Node] {
        let healthy: [(type: String, status: String, reason: String, message: String)] = [
            ("MemoryPressure", "False", "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
            ("DiskPressure", "False", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
            ("PIDPressure", "False", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
            ("Ready", "True", "KubeletReady", "kubelet is posting ready status"),
        ]
        return healthy.map { condition in
            let before = old.first { $0["type"].string == condition.type }
            let same = before?["status"].string == condition.status
            return [
                "type": .string(condition.type), "status": .string(condition.status), "lastHeartbeatTime": .string(now.rfc3339),
                "lastTransitionTime": same ? before?["lastTransitionTime"] ?? .string(now.rfc3339) : .string(now.rfc3339),
                "reason": .string(condition.reason), "message": .string(condition.message),
            ]
        }
    }

    static func isReady(_ node: Node) -> Bool {
        node["status"]["conditions"].list.contains { $0["type"].string == "Ready" && $0["status"].string == "True" }
    }

    static func address(_ node: Node?) -> String {
        node?["status"]["addresses"].list.first { $0["type"].string == "InternalIP" }?["address"].string ?? ""
    }

    /// A lease as a node's agent keeps it.
    static func lease(_ node: Node, seconds: Int64, now: Timestamp) -> Node {
        [
            "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
            "metadata": [
                "name": .string(node.name), "namespace": "kube-node-lease",
                "ownerReferences": [["apiVersion": "v1", "kind": "Node", "name": .string(node.name), "uid": .string(node.uid)]],
            ],
            "spec": ["holderIdentity": .string(node.name), "leaseDurationSeconds": .int(seconds), "renewTime": .string(now.rfc3339Micro)],
        ]
    }
}
