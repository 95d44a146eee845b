package import Machinery
import Tree

/// Pods stay five minutes on a node that is not ready or cannot be reached, unless they say otherwise.
package struct DefaultTolerationSeconds: AdmissionPlugin {
    package init() {}
    package var name: String { "DefaultTolerationSeconds" }

    package func concerns(_ request: AdmissionRequest, _ stage: AdmissionStage) -> Bool { stage == .mutating && request.resource.collection == "pods" }

    package func admit(_ request: inout AdmissionRequest) async throws(APIError) {
        guard request.resource.collection == "pods", request.subresource.isEmpty, request.operation == .create || request.operation == .update else { return }
        for key in ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"] {
            let isTolerated = request.object["spec"]["tolerations"].list.contains { toleration in
                let own = toleration["key"].string ?? ""
                let effect = toleration["effect"].string ?? ""
                return (own.isEmpty || own == key) && (effect.isEmpty || effect == "NoExecute")
            }
            guard !isTolerated else { continue }
            request.object["spec"]["tolerations"].append(
                ["key": .string(key), "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300])
        }
    }
}

/// A new node takes no pods until it is found ready.
package struct TaintNodesByCondition: AdmissionPlugin {
    package init() {}
    package var name: String { "TaintNodesByCondition" }

    package func concerns(_ request: AdmissionRequest, _ stage: AdmissionStage) -> Bool { stage == .mutating && request.resource.collection == "nodes" }

    package func admit(_ request: inout AdmissionRequest) async throws(APIError) {
        guard request.resource.collection == "nodes", request.subresource.isEmpty, request.operation == .create else { return }
        let key = "node.kubernetes.io/not-ready"
        let isThere = request.object["spec"]["taints"].list.contains { $0["key"].string == key && $0["effect"].string == "NoSchedule" }
        if !isThere { request.object["spec"]["taints"].append(["key": .string(key), "effect": "NoSchedule"]) }
    }
}
