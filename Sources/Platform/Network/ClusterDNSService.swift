import Client
import Linux
import Machinery
import Schema
import Tree

/// The Service `kube-dns`: there whenever the cluster's DNS is, whose address it reserves. It selects no pods, since every node answers
/// on that address itself.
struct ClusterDNSService: Sendable {
    let client: any ClusterClient
    let address: IPAddress

    /// Makes it where it is missing; one that is there stays as it is.
    func ensure() async throws {
        do {
            _ = try await client.get(.services, ObjectKey("kube-system", "kube-dns"))
        } catch let error as APIError where error.reason == "NotFound" {
            do { _ = try await client.create(.services, namespace: "kube-system", object) } catch let error as APIError
                where error.reason == "AlreadyExists"
            {}
        }
    }

    private var object: Node {
        [
            "apiVersion": "v1", "kind": "Service",
            "metadata": [
                "name": "kube-dns", "namespace": "kube-system",
                "labels": ["k8s-app": "kube-dns", "kubernetes.io/cluster-service": "true", "kubernetes.io/name": "CoreDNS"],
            ],
            "spec": [
                "type": "ClusterIP", "clusterIP": .string(address.description), "clusterIPs": [.string(address.description)],
                "ports": [
                    ["name": "dns", "port": 53, "protocol": "UDP", "targetPort": 53],
                    ["name": "dns-tcp", "port": 53, "protocol": "TCP", "targetPort": 53],
                ],
            ],
        ]
    }
}
