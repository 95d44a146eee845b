package import Client
import Core
import Machinery
import Schema
import Tree

/// The service `kubernetes` in `default`, by which pods find the API, with its endpoints, and the object that tells the range of
/// service addresses. Made at the start, put right at each later start.
package struct ClusterService: Sendable {
    private let client: any ClusterClient
    private let address: String
    private let port: Int
    private let serviceAddress: String
    private let cidr: String

    /// `address` and `port` are where pods and nodes reach this server.
    package init(client: any ClusterClient, address: String, port: Int, serviceAddress: String, cidr: String) {
        self.client = client
        self.address = address
        self.port = port
        self.serviceAddress = serviceAddress
        self.cidr = cidr
    }

    private static let labels: Node = ["component": "apiserver", "provider": "kubernetes"]

    package func ensure() async throws {
        try await ensure(
            .init(group: "networking.k8s.io", version: "v1", resource: "servicecidrs"),
            [
                "kind": "ServiceCIDR", "apiVersion": "networking.k8s.io/v1", "metadata": ["name": "kubernetes"], "spec": ["cidrs": [.string(cidr)]],
            ], compares: ["spec"])
        try await readyCIDR()
        try await ensure(
            .init(group: "", version: "v1", resource: "services"),
            [
                "kind": "Service", "apiVersion": "v1", "metadata": ["name": "kubernetes", "namespace": "default", "labels": ClusterService.labels],
                "spec": [
                    "type": "ClusterIP", "clusterIP": .string(serviceAddress),
                    "ipFamilyPolicy": "SingleStack", "sessionAffinity": "None", "internalTrafficPolicy": "Cluster",
                    "ports": [["name": "https", "protocol": "TCP", "port": 443, "targetPort": .int(Int64(port))]],
                ],
            ], compares: ["spec"])
        try await ensure(
            .init(group: "", version: "v1", resource: "endpoints"),
            [
                "kind": "Endpoints", "apiVersion": "v1",
                "metadata": ["name": "kubernetes", "namespace": "default", "labels": ["endpointslice.kubernetes.io/skip-mirror": "true"]],
                "subsets": [
                    ["addresses": [["ip": .string(address)]], "ports": [["name": "https", "port": .int(Int64(port)), "protocol": "TCP"]]]
                ],
            ], compares: ["subsets"])
        try await ensure(
            .init(group: "discovery.k8s.io", version: "v1", resource: "endpointslices"),
            [
                "kind": "EndpointSlice", "apiVersion": "discovery.k8s.io/v1",
                "metadata": ["name": "kubernetes", "namespace": "default", "labels": ["kubernetes.io/service-name": "kubernetes"]],
                "addressType": "IPv4", "endpoints": [["addresses": [.string(address)], "conditions": ["ready": true]]],
                "ports": [["name": "https", "port": .int(Int64(port)), "protocol": "TCP"]],
            ], compares: ["endpoints", "ports"])
    }

    private func ensure(_ resource: GroupVersionResource, _ object: Node, compares fields: [String]) async throws {
        // Asked for first: an address that the object itself holds would be refused to a creation.
        do {
            var current = try await client.get(resource, ObjectKey(object.namespace, object.name))
            var isChanged = false
            for field in fields where !ClusterService.covers(current[field], object[field]) {
                current[field] = object[field]
                isChanged = true
            }
            if isChanged { _ = try await client.update(resource, current, subresource: nil) }
        } catch let error as APIError where error.code == 404 {
            _ = try await client.create(resource, namespace: object.namespace, object)
        }
    }

    /// Whether the stored form, which has defaults besides, says what is wanted.
    private static func covers(_ stored: Node, _ wanted: Node) -> Bool {
        switch (stored, wanted) {
        case (.map, .map(let fields)): fields.allSatisfy { covers(stored[$0.key], $0.value) }
        case (.list(let a), .list(let b)): a.count == b.count && zip(a, b).allSatisfy { covers($0, $1) }
        default: stored == wanted
        }
    }

    private func readyCIDR() async throws {
        let resource = GroupVersionResource(group: "networking.k8s.io", version: "v1", resource: "servicecidrs")
        var current = try await client.get(resource, ObjectKey("", "kubernetes"))
        guard !current["status"]["conditions"].list.contains(where: { $0["type"].string == "Ready" && $0["status"].string == "True" }) else { return }
        current["status"]["conditions"] = [
            [
                "type": "Ready", "status": "True", "reason": "", "message": "Kubernetes Service CIDR is ready",
                "lastTransitionTime": .string(Timestamp.now().rfc3339),
            ]
        ]
        _ = try await client.update(resource, current, subresource: "status")
    }
}
