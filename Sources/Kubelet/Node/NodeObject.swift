import Core
import Linux
import Machinery
import OCI
import Tree

/// The node as the API has it. Pure, but for what the machine says of itself.
enum NodeObject {
    static func labels(_ node: NodeConfiguration) -> [String: String] {
        let architecture = Platform.host.architecture
        var labels = [
            "kubernetes.io/hostname": node.hostname, "kubernetes.io/os": "linux", "kubernetes.io/arch": architecture, "beta.kubernetes.io/os": "linux",
            "beta.kubernetes.io/arch": architecture,
        ]
        if !node.instanceType.isEmpty {
            labels["node.kubernetes.io/instance-type"] = node.instanceType
            labels["beta.kubernetes.io/instance-type"] = node.instanceType
        }
        return labels.merging(node.labels) { $1 }
    }

    static func make(_ node: NodeConfiguration) -> Node {
        var object: Node = ["apiVersion": "v1", "kind": "Node", "metadata": ["name": .string(node.name), "labels": Node(labels(node))], "spec": [:]]
        if let first = node.podCIDRs.first {
            object["spec"]["podCIDR"] = .string(first)
            object["spec"]["podCIDRs"] = Node(node.podCIDRs)
        }
        if !node.providerID.isEmpty { object["spec"]["providerID"] = .string(node.providerID) }
        if !node.taints.isEmpty {
            object["spec"]["taints"] = .list(node.taints.map { taint in
                var out: Node = ["key": .string(taint.key), "effect": .string(taint.effect)]
                if !taint.value.isEmpty { out["value"] = .string(taint.value) }
                return out
            })
        }
        return object
    }

    /// All of the status but its conditions.
    static func status(_ node: NodeConfiguration, images: [Node]) -> Node {
        func list(_ values: [String: Quantity]) -> Node { Node(values.mapValues { "\($0)" }) }
        let text: (String) -> String = { path in ((try? Files.text(path)) ?? "").trimmed }
        return [
            "addresses": .list(node.addresses.map { ["type": "InternalIP", "address": .string($0)] } + [["type": "Hostname", "address": .string(node.hostname)]]),
            "capacity": list(node.capacity), "allocatable": list(node.allocatable),
            "daemonEndpoints": ["kubeletEndpoint": ["Port": .int(Int64(node.port))]],
            "nodeInfo": [
                "machineID": .string(text("/etc/machine-id")), "systemUUID": .string(text("/sys/class/dmi/id/product_uuid")),
                "bootID": .string(text("/proc/sys/kernel/random/boot_id")), "kernelVersion": .string(text("/proc/sys/kernel/osrelease")),
                "osImage": .string(osImage), "containerRuntimeVersion": .string("jangada://\(node.version.drop { $0 == "v" })"),
                "kubeletVersion": .string(node.version), "kubeProxyVersion": "", "operatingSystem": "linux",
                "architecture": .string(Platform.host.architecture),
            ],
            "images": .list(images),
        ]
    }

    private static var osImage: String {
        for line in ((try? Files.text("/etc/os-release")) ?? "").split(separator: "\n") where line.hasPrefix("PRETTY_NAME=") {
            return String(line.dropFirst(12).filter { $0 != "\"" })
        }
        return "Linux"
    }

    /// A condition of a healthy node; what is wrong comes as the other arguments.
    static func condition(_ type: String, _ isTrue: Bool, _ reason: String, _ message: String, old: Node?, now: Timestamp) -> Node {
        let status = isTrue ? "True" : "False"
        let same = old?["status"].string == status
        return [
            "type": .string(type), "status": .string(status), "lastHeartbeatTime": .string(now.rfc3339),
            "lastTransitionTime": same ? old?["lastTransitionTime"] ?? .string(now.rfc3339) : .string(now.rfc3339), "reason": .string(reason),
            "message": .string(message),
        ]
    }

    /// Whether somebody has written that nothing was heard of the node's kubelet.
    static func isDoubted(_ node: Node) -> Bool {
        let own: Set = ["MemoryPressure", "DiskPressure", "PIDPressure", "Ready"]
        return node["status"]["conditions"].list.contains { own.contains($0["type"].string ?? "") && $0["status"].string == "Unknown" }
    }

    static func conditions(old: [Node], now: Timestamp) -> [Node] {
        func previous(_ type: String) -> Node? { old.first { $0["type"].string == type } }
        return [
            condition("MemoryPressure", false, "KubeletHasSufficientMemory", "kubelet has sufficient memory available", old: previous("MemoryPressure"), now: now),
            condition("DiskPressure", false, "KubeletHasNoDiskPressure", "kubelet has no disk pressure", old: previous("DiskPressure"), now: now),
            condition("PIDPressure", false, "KubeletHasSufficientPID", "kubelet has sufficient PID available", old: previous("PIDPressure"), now: now),
            condition("Ready", true, "KubeletReady", "kubelet is posting ready status", old: previous("Ready"), now: now),
        ]
    }
}

extension String {
    fileprivate var trimmed: String { String(drop { $0.isWhitespace }.reversed().drop { $0.isWhitespace }.reversed()) }
}
