package import Machinery
package import Store
import Tree

/// A pod that gets a node gets the node's zone and region as labels, so that its containers can read them.
package struct PodTopologyLabels: AdmissionPlugin {
    private let store: Store
    package init(_ store: Store) { self.store = store }
    package var name: String { "PodTopologyLabels" }

    private static let labels = ["topology.kubernetes.io/zone", "topology.kubernetes.io/region"]

    package func concerns(_ request: AdmissionRequest, _ stage: AdmissionStage) -> Bool { stage == .mutating && request.resource.collection == "pods" }

    package func admit(_ request: inout AdmissionRequest) async throws(APIError) {
        guard request.resource.collection == "pods", request.operation == .create else { return }
        let node: String
        switch request.subresource {
        case "": node = request.object["spec"]["nodeName"].string ?? ""
        case "binding" where request.object["target"]["kind"].string == "Node": node = request.object["target"]["name"].string ?? ""
        default: return
        }
        guard !node.isEmpty, let record = store.get(Key("nodes", name: node)) else { return }
        let found = try record.sharedNode().labels
        for label in PodTopologyLabels.labels {
            if let value = found[label] { request.object["metadata"]["labels"][label] = .string(value) }
        }
    }
}
