import Client
import Core
import Linux
import Machinery
import Schema
import Tree

/// The Services that the network itself answers for: `kube-dns`, and `kubernetes` with the API server behind it.
struct NetworkObjects: Sendable {
    let client: any ClusterClient
    let dnsAddress: IPAddress
    /// The first of the service range.
    let apiAddress: IPAddress
    /// Where the API server listens for nodes and pods; nil leaves `kubernetes` to others.
    let apiEndpoint: (address: IPAddress, port: UInt16)?

    /// Makes what is missing, and points `kubernetes` at where the API is now.
    func ensure() async throws {
        try await create(.services, dnsService)
        guard let apiEndpoint else { return }
        try await create(.services, apiService(apiEndpoint.port))
        let (endpoints, slice) = (self.endpoints(apiEndpoint), self.slice(apiEndpoint))
        try await put(.endpoints, endpoints) { $0["subsets"] = endpoints["subsets"] }
        try await put(.endpointSlices, slice) {
            $0["endpoints"] = slice["endpoints"]
            $0["ports"] = slice["ports"]
        }
    }

    private func create(_ resource: GroupVersionResource, _ object: Node) async throws {
        do {
            _ = try await client.get(resource, ObjectKey(object.namespace, object.name))
        } catch let error as APIError where error.reason == "NotFound" {
            do { _ = try await client.create(resource, namespace: object.namespace, object) } catch let error as APIError
                where error.reason == "AlreadyExists"
            {}
        }
    }

    private func put(_ resource: GroupVersionResource, _ object: Node, _ change: (inout Node) -> Void) async throws {
        try await create(resource, object)
        let present = try await client.get(resource, ObjectKey(object.namespace, object.name))
        if NetworkObjects.sockets(present) == NetworkObjects.sockets(object) { return }
        var changed = present
        change(&changed)
        _ = try await client.update(resource, changed, subresource: nil)
    }

    /// What counts of Endpoints and slices, apart from defaults that the server adds.
    private static func sockets(_ object: Node) -> [String] {
        let subsets = object["subsets"].list.flatMap { subset in
            subset["addresses"].list.compactMap(\.["ip"].string) + subset["ports"].list.map { "\($0["name"].string ?? "")=\($0["port"].int ?? 0)" }
        }
        return subsets + object["endpoints"].list.flatMap(\.["addresses"].stringList)
            + object["ports"].list.map { "\($0["name"].string ?? "")=\($0["port"].int ?? 0)" }
    }

    private var dnsService: Node {
        [
            "apiVersion": "v1", "kind": "Service",
            "metadata": [
                "name": "kube-dns", "namespace": "kube-system",
                "labels": ["k8s-app": "kube-dns", "kubernetes.io/cluster-service": "true", "kubernetes.io/name": "CoreDNS"],
            ],
            // Without a selector: the nodes answer on this address themselves.
            "spec": [
                "type": "ClusterIP", "clusterIP": .string(dnsAddress.description), "clusterIPs": [.string(dnsAddress.description)],
                "ports": [
                    ["name": "dns", "port": 53, "protocol": "UDP", "targetPort": 53],
                    ["name": "dns-tcp", "port": 53, "protocol": "TCP", "targetPort": 53],
                ],
            ],
        ]
    }

    private static let apiLabels: Node = ["component": "apiserver", "provider": "kubernetes"]

    private func apiService(_ port: UInt16) -> Node {
        [
            "apiVersion": "v1", "kind": "Service", "metadata": ["name": "kubernetes", "namespace": "default", "labels": NetworkObjects.apiLabels],
            "spec": [
                "type": "ClusterIP", "clusterIP": .string(apiAddress.description), "clusterIPs": [.string(apiAddress.description)],
                "ports": [["name": "https", "port": 443, "protocol": "TCP", "targetPort": .int(Int64(port))]],
            ],
        ]
    }

    private func endpoints(_ api: (address: IPAddress, port: UInt16)) -> Node {
        [
            "apiVersion": "v1", "kind": "Endpoints",
            "metadata": ["name": "kubernetes", "namespace": "default", "labels": ["endpointslice.kubernetes.io/skip-mirror": "true"]],
            "subsets": [
                [
                    "addresses": [["ip": .string(api.address.description)]],
                    "ports": [["name": "https", "port": .int(Int64(api.port)), "protocol": "TCP"]],
                ]
            ],
        ]
    }

    private func slice(_ api: (address: IPAddress, port: UInt16)) -> Node {
        [
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
            "metadata": ["name": "kubernetes", "namespace": "default", "labels": ["kubernetes.io/service-name": "kubernetes"]],
            "addressType": "IPv4", "endpoints": [["addresses": [.string(api.address.description)], "conditions": ["ready": true]]],
            "ports": [["name": "https", "port": .int(Int64(api.port)), "protocol": "TCP"]],
        ]
    }
}
