package import Client
import Core
import Emulation
package import Schema
package import Tree

/// What `jangada status` shows of a cluster's objects.
package enum ClusterStatus {
    /// The resources that a status reads; to be declared on the view.
    package static let resources: [GroupVersionResource] = [.nodes, .pods, .services, .deployments]

    /// `nodes`, `pods`, `deployments` and the `services` with an address of their own, from what the view holds.
    package static func node(_ view: ClusterView) -> Node {
        view.read { state in
            let pods = Array(state[.pods].objects.values)
            var podsOn: [String: Int64] = [:]
            for pod in pods where !isFinished(pod) { podsOn[pod["spec"]["nodeName"].string ?? "", default: 0] += 1 }
            // Those that a person made by the hundred are counted, not listed.
            let emulated = state[.nodes].objects.values.count(where: EmulatedNode.isOne)
            let nodes = state[.nodes].objects.values.filter { !EmulatedNode.isOne($0) }.map { node -> Node in
                let name = node["metadata"]["name"].string ?? ""
                return [
                    "name": .string(name), "ready": .bool(isReady(node)),
                    "address": Node(node["status"]["addresses"].list.first { $0["type"] == "InternalIP" }?["address"].string),
                    "pods": .int(podsOn[name] ?? 0),
                ]
            }
            let services = state[.services].objects.values.filter { $0["spec"]["type"] == "LoadBalancer" }.map { service -> Node in
                [
                    "namespace": service["metadata"]["namespace"], "name": service["metadata"]["name"],
                    "addresses": Node(service["status"]["loadBalancer"]["ingress"].list.compactMap { $0["ip"].string ?? $0["hostname"].string }),
                    "ports": .list(service["spec"]["ports"].list.map { $0["port"] }),
                ]
            }
            return [
                "nodes": .list(nodes.sorted { text($0, "name") < text($1, "name") }),
                "pods": ["total": .int(Int64(pods.count)), "running": .int(Int64(pods.count { $0["status"]["phase"] == "Running" }))],
                "emulatedNodes": .int(Int64(emulated)),
                "deployments": .int(Int64(state[.deployments].objects.count)),
                "services": .list(services.sorted { (text($0, "namespace"), text($0, "name")) < (text($1, "namespace"), text($1, "name")) }),
            ]
        }
    }

    package static func isReady(_ node: Node) -> Bool {
        node["status"]["conditions"].list.contains { $0["type"] == "Ready" && $0["status"] == "True" }
    }

    private static func isFinished(_ pod: Node) -> Bool { ["Succeeded", "Failed"].contains(pod["status"]["phase"].string) }

    private static func text(_ node: Node, _ key: String) -> String { node[key].string ?? "" }
}
