package import Client
import Containers
import Core
import Machinery
import Synchronization
import Tree

extension Kubelet {
    package func endpoint(_ path: String) async -> NodeAnswer {
        switch path {
        case "/healthz", "/healthz/ping", "/livez", "/readyz": NodeAnswer(body: Array("ok".utf8))
        case "/pods", "/pods/": json(podList)
        case "/stats/summary": json(StatsSummary.of(await stats()))
        case "/configz": json(configuration)
        case "/metrics": NodeAnswer(contentType: MetricsText.contentType, body: Array(metrics.utf8))
        case "/metrics/resource": NodeAnswer(contentType: MetricsText.contentType, body: Array(MetricsText.resources(await stats()).utf8))
        default: .notFound
        }
    }

    private func json(_ node: Node) -> NodeAnswer { NodeAnswer(contentType: "application/json", body: JSONWriter.write(node)) }

    /// The pods as this node has them: what the API does not know yet is in the status.
    private var podList: Node {
        let pods = workers.sorted { $0.uid < $1.uid }.map { worker -> Node in
            let (pod, status) = worker.state.withLock { ($0.pod, $0.status) }
            var node = pod.node
            node.remove("kind")
            node.remove("apiVersion")
            if !status.isNull { node["status"] = status }
            return node
        }
        return ["kind": "PodList", "apiVersion": "v1", "metadata": [:], "items": .list(pods)]
    }

    private var metrics: String {
        let containers = workers.reduce(0) { $0 + $1.state.withLock { $0.containers.values.count { $0.container.state.isRunning } } }
        var text = MetricsText()
        text.gauge("kubelet_node_name", "The node's name. The count is always 1.", [(["node": parts.node.name], "1")])
        text.gauge("kubelet_running_pods", "Pods that have a sandbox.", [([:], "\(workers.count { $0.state.withLock { $0.sandbox != nil } })")])
        text.gauge("kubelet_running_containers", "Containers by their state.", [(["container_state": "running"], "\(containers)")])
        return text.text
    }

    private var configuration: Node {
        let node = parts.node
        return [
            "kubeletconfig": [
                "kind": "KubeletConfiguration", "apiVersion": "kubelet.config.k8s.io/v1beta1", "port": .int(Int64(node.port)),
                "clusterDomain": .string(node.clusterDomain), "clusterDNS": Node(node.clusterDNS), "maxPods": .int(node.capacity["pods"]?.value ?? 110),
                "nodeLeaseDurationSeconds": .int(Int64(node.leaseSeconds)), "seccompDefault": true,
                "containerLogMaxFiles": .int(Int64(node.logRotation.files)), "containerLogMaxSize": .string("\(node.logRotation.bytes >> 20)Mi"),
            ]
        ]
    }
}

/// A node's use of resources in the form of upstream's `/stats/summary`.
enum StatsSummary {
    static func of(_ stats: NodeStats) -> Node {
        var node: Node = ["nodeName": .string(stats.node), "startTime": .string(stats.startedAt.rfc3339)]
        add(stats.usage, to: &node)
        let pods = stats.pods.map { pod -> Node in
            var out: Node = ["podRef": ["name": .string(pod.key.name), "namespace": .string(pod.key.namespace), "uid": .string(pod.uid)]]
            out["startTime"] = pod.containers.map(\.startedAt).min().map { .string($0.rfc3339) } ?? .null
            out["containers"] = .list(
                pod.containers.map { container in
                    var out: Node = ["name": .string(container.name), "startTime": .string(container.startedAt.rfc3339)]
                    add(container.usage, to: &out)
                    return out
                })
            add(pod.usage, to: &out)
            return out
        }
        return ["node": node, "pods": .list(pods)]
    }

    private static func add(_ usage: ResourceUsage, to node: inout Node) {
        func number(_ value: UInt64) -> Node { .int(Int64(clamping: value)) }
        node["cpu"] = ["time": .string(usage.time.rfc3339), "usageCoreNanoSeconds": number(usage.cpuNanoseconds)]
        node["memory"] = [
            "time": .string(usage.time.rfc3339), "usageBytes": number(usage.memoryUsage), "workingSetBytes": number(usage.memoryWorkingSet),
            "rssBytes": number(usage.memoryRSS),
        ]
    }
}
