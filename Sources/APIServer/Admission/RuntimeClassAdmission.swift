package import Machinery
package import Store
import Tree

/// What a pod's runtime class costs and where it runs, written into the pod.
package struct RuntimeClassAdmission: AdmissionPlugin {
    private let store: Store
    package init(_ store: Store) { self.store = store }
    package var name: String { "RuntimeClass" }

    package func concerns(_ request: AdmissionRequest, _ stage: AdmissionStage) -> Bool { request.resource.collection == "pods" }

    package func admit(_ request: inout AdmissionRequest) async throws(APIError) {
        guard request.resource.collection == "pods", request.subresource.isEmpty, request.operation == .create, let found = try runtimeClass(request) else { return }
        let overhead = found["overhead"]["podFixed"]
        if !overhead.fields.isEmpty {
            let given = request.object["spec"]["overhead"]
            if !given.fields.isEmpty, given != overhead {
                throw request.forbidden("pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead")
            }
            request.object["spec"]["overhead"] = overhead
        }
        let scheduling = found["scheduling"]
        for (key, value) in scheduling["nodeSelector"].fields {
            let own = request.object["spec"]["nodeSelector"][key]
            if !own.isNull, own != value {
                throw request.forbidden(
                    "conflict: runtimeClass.scheduling.nodeSelector[\(key)] = \(value.string ?? ""); pod.spec.nodeSelector[\(key)] = \(own.string ?? "")")
            }
            request.object["spec"]["nodeSelector"][key] = value
        }
        for toleration in scheduling["tolerations"].list where !request.object["spec"]["tolerations"].list.contains(toleration) {
            request.object["spec"]["tolerations"].append(toleration)
        }
    }

    package func validate(_ request: AdmissionRequest) async throws(APIError) {
        guard request.resource.collection == "pods", request.subresource.isEmpty, request.operation == .create else { return }
        let found = try runtimeClass(request)
        if found == nil, !request.object["spec"]["overhead"].fields.isEmpty {
            throw request.forbidden("pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead")
        }
    }

    private func runtimeClass(_ request: AdmissionRequest) throws(APIError) -> Node? {
        guard let name = request.object["spec"]["runtimeClassName"].string, !name.isEmpty else { return nil }
        guard let record = store.get(Key("node.k8s.io/runtimeclasses", name: name)) else {
            throw request.forbidden("pod rejected: RuntimeClass \(FieldError.quoted(name)) not found")
        }
        return try record.sharedNode()
    }
}
