import Client
import Kinds
import Machinery
import Tree

/// The extended resources of a pod that classes of devices stand for, on nodes that have none of them otherwise: a claim of the
/// pod's own asks for the devices.
struct ExtendedDevices: Sendable {
    enum Answer: Sendable { case none, refused(String), claim(Node, mappings: [Node]) }

    private let pod: PodInfo
    /// The amounts by resource, in the order of names.
    private let wanted: [(name: String, amount: Int64, deviceClass: Node)]
    /// Made by an earlier attempt.
    let existing: Node?

    /// Nil where no class stands for what the pod wants.
    init?(_ pod: PodInfo, _ ledger: DeviceLedger) {
        guard !ledger.extended.isEmpty, !pod.requests.others.isEmpty else { return nil }
        wanted = pod.requests.others.sorted { $0.key < $1.key }.compactMap { name, amount in
            guard amount > 0, let deviceClass = ledger.extended[name] else { return nil }
            return (name, amount, deviceClass)
        }
        if wanted.isEmpty { return nil }
        self.pod = pod
        existing = ledger.extendedClaim(of: pod)
    }

    func stands(for resource: String) -> Bool { wanted.contains { $0.name == resource } }

    func claim(on node: NodeInfo) -> Answer {
        if existing != nil { return .refused("cannot schedule extended resource claim") }
        let byDevices = wanted.filter { (node.allocatable.others[$0.name] ?? 0) == 0 }
        if byDevices.isEmpty { return .none }
        let (requests, mappings) = requests(byDevices.map { ($0.name, $0.deviceClass.name) })
        let claim: Node = [
            "apiVersion": "resource.k8s.io/v1", "kind": "ResourceClaim",
            "metadata": [
                "generateName": .string("\(pod.key.name)-extended-resources-"), "namespace": .string(pod.key.namespace),
                "annotations": [PodClaims.extendedAnnotation: "true"],
                "ownerReferences": [
                    ["apiVersion": "v1", "kind": "Pod", "name": .string(pod.key.name), "uid": .string(pod.uid), "controller": true]
                ],
            ],
            "spec": ["devices": ["requests": .list(requests)]],
        ]
        return .claim(claim, mappings: mappings)
    }

    private struct Request {
        let name: String
        let className: String
        let count: Int64

        var node: Node {
            ["name": .string(name), "exactly": ["deviceClassName": .string(className), "allocationMode": "ExactCount", "count": .int(count)]]
        }
    }

    /// Requests by name, and who uses which. Init containers that end use again what later containers have.
    private func requests(_ resources: [(name: String, className: String)]) -> ([Node], [Node]) {
        let spec = pod.node["spec"]
        let containers = spec["initContainers"].list + spec["containers"].list
        let starters = containers.indices.filter { $0 < spec["initContainers"].list.count && containers[$0]["restartPolicy"].string != "Always" }
        var requests: [Request] = []
        var mappings: [Node] = []
        for (resource, className) in resources {
            var lasting: [Int: Request] = [:]
            for index in containers.indices where !starters.contains(index) {
                let (request, used) = self.request(index, containers[index], resource, className, reusing: [])
                lasting[index] = request
                mappings += used.map { mapping(containers[index], resource, $0) }
            }
            var largest: Request?
            var replaced: Set<String> = []
            var starting: [(Int, String)] = []
            for index in starters {
                let later = containers.indices.dropFirst(index).compactMap { lasting[$0] }
                let (request, used) = self.request(index, containers[index], resource, className, reusing: later)
                if let request {
                    replaced.insert(request.name)
                    if largest.map({ $0.count < request.count }) ?? true { largest = request }
                }
                starting += used.map { (index, $0) }
            }
            for (index, name) in starting { mappings.append(mapping(containers[index], resource, replaced.contains(name) ? largest?.name ?? name : name)) }
            if let largest { requests.append(largest) }
            requests += lasting.values
        }
        return (requests.sorted { $0.name < $1.name }.map(\.node), mappings)
    }

    private func mapping(_ container: Node, _ resource: String, _ request: String) -> Node {
        ["containerName": container["name"], "resourceName": .string(resource), "requestName": .string(request)]
    }

    /// What a container still needs, and all requests that it uses.
    private func request(
        _ index: Int, _ container: Node, _ resource: String, _ className: String, reusing: [Request]
    ) -> (Request?, [String]) {
        let amounts = container["resources"]["requests"].fields
        guard let wanted = PodRequests.quantity(container["resources"]["requests"][resource])?.value, wanted > 0 else { return (nil, []) }
        var sum: Int64 = 0
        var used: [String] = []
        for request in reusing {
            sum += request.count
            used.append(request.name)
            if sum >= wanted { return (nil, used) }
        }
        let place = amounts.map(\.key).sorted().firstIndex(of: resource) ?? 0
        let name = "container-\(index)-request-\(place)"
        return (Request(name: name, className: className, count: wanted - sum), used + [name])
    }
}
