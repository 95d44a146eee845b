package import Machinery
package import Store
import Tree

/// A kubelet writes its own node and the pods bound to it, and nothing else.
package struct NodeRestriction: AdmissionPlugin {
    private let store: Store
    package init(_ store: Store) { self.store = store }
    package var name: String { "NodeRestriction" }

    package func concerns(_ request: AdmissionRequest, _ stage: AdmissionStage) -> Bool { stage == .mutating && NodeAuthorizer.node(request.user) != nil }

    package func admit(_ request: inout AdmissionRequest) async throws(APIError) {
        guard let node = NodeAuthorizer.node(request.user) else { return }
        switch request.resource.collection {
        case "pods": try pod(request, node)
        case "nodes": try self.node(request, node)
        case "serviceaccounts" where request.subresource == "token": try token(request, node)
        case "coordination.k8s.io/leases": try lease(request, node)
        case "storage.k8s.io/csinodes":
            guard own(request) == node else { throw request.forbidden("can only access CSINode with the same name as the requesting node") }
        case "persistentvolumeclaims": try claim(request)
        default: return
        }
    }

    private func own(_ request: AdmissionRequest) -> String { request.name.isEmpty ? request.object.name : request.name }

    // MARK: - Pods

    private func pod(_ request: AdmissionRequest, _ node: String) throws(APIError) {
        switch (request.operation, request.subresource) {
        case (.create, ""): try mirror(request, node)
        case (.delete, ""):
            guard request.old["spec"]["nodeName"].string == node else {
                throw request.forbidden("node \(FieldError.quoted(node)) can only delete pods with spec.nodeName set to itself")
            }
        case (.update, "status"):
            guard request.old["spec"]["nodeName"].string == node else {
                throw request.forbidden("node \(FieldError.quoted(node)) can only update pod status for pods with spec.nodeName set to itself")
            }
            guard request.object["metadata"]["labels"] == request.old["metadata"]["labels"] else {
                throw request.forbidden("node \(FieldError.quoted(node)) cannot update labels through pod status")
            }
        case (.create, "eviction"):
            let pod = try store.get(Key("pods", namespace: request.namespace, name: own(request)))?.sharedNode()
            guard let pod else { throw .notFound("pods", name: own(request)) }
            guard pod["spec"]["nodeName"].string == node else {
                throw request.forbidden("node \(FieldError.quoted(node)) can only evict pods with spec.nodeName set to itself")
            }
        default: throw request.forbidden("unexpected operation \(FieldError.quoted(request.operation.rawValue))")
        }
    }

    /// Only the images of static pods are made by kubelets.
    private func mirror(_ request: AdmissionRequest, _ node: String) throws(APIError) {
        let pod = request.object
        let shown = FieldError.quoted(node)
        guard pod.annotations["kubernetes.io/config.mirror"] != nil else {
            throw request.forbidden("pod does not have \"kubernetes.io/config.mirror\" annotation, node \(shown) can only create mirror pods")
        }
        guard pod["spec"]["nodeName"].string == node else { throw request.forbidden("node \(shown) can only create pods with spec.nodeName set to itself") }
        let owners = pod.owners
        if owners.count > 1 { throw request.forbidden("node \(shown) can only create pods with a single owner reference set to itself") }
        if let owner = owners.first {
            guard owner.apiVersion == "v1", owner.kind == "Node", owner.name == node else {
                throw request.forbidden("node \(shown) can only create pods with an owner reference set to itself")
            }
        }
        guard (pod["spec"]["serviceAccountName"].string ?? "").isEmpty else { throw request.forbidden("node \(shown) can not create pods that reference a service account") }
        let references: [Node] = pod["spec"]["volumes"].list.flatMap { [$0["secret"], $0["configMap"], $0["persistentVolumeClaim"]] }
        guard references.allSatisfy(\.isNull) else {
            throw request.forbidden("node \(shown) can not create pods that reference secrets, configmaps or persistentvolumeclaims")
        }
    }

    // MARK: - Nodes

    private func node(_ request: AdmissionRequest, _ node: String) throws(APIError) {
        let name = own(request)
        guard name == node else { throw request.forbidden("node \(FieldError.quoted(node)) is not allowed to modify node \(FieldError.quoted(name))") }
        guard request.operation == .create || request.operation == .update else { return }
        let shown = FieldError.quoted(node)
        if request.operation == .create, !request.object["spec"]["configSource"].isNull {
            throw request.forbidden("node \(shown) is not allowed to create pods with a non-nil configSource")
        }
        let old = request.operation == .update ? request.old.labels : [:]
        let changed = request.object.labels.filter { old[$0.key] != $0.value }.keys + old.keys.filter { request.object.labels[$0] == nil }
        let forbidden = Set(changed).filter(NodeRestriction.isReserved).sorted()
        if !forbidden.isEmpty {
            throw request.forbidden("is not allowed to modify labels: " + forbidden.joined(separator: ", "))
        }
        guard request.operation == .update, request.subresource.isEmpty else { return }
        guard request.object["spec"]["taints"] == request.old["spec"]["taints"] else { throw request.forbidden("node \(shown) is not allowed to modify taints") }
        guard request.object["metadata"]["ownerReferences"] == request.old["metadata"]["ownerReferences"] else {
            throw request.forbidden("node \(shown) is not allowed to modify ownerReferences")
        }
    }

    private static let kubeletLabels: Set<String> = [
        "kubernetes.io/hostname", "kubernetes.io/os", "kubernetes.io/arch", "beta.kubernetes.io/os", "beta.kubernetes.io/arch",
        "beta.kubernetes.io/instance-type", "node.kubernetes.io/instance-type", "failure-domain.beta.kubernetes.io/region",
        "failure-domain.beta.kubernetes.io/zone", "failure-domain.kubernetes.io/region", "failure-domain.kubernetes.io/zone",
        "topology.kubernetes.io/region", "topology.kubernetes.io/zone", "kubernetes.io/instance-type",
    ]

    /// Labels of kubernetes.io and k8s.io that are not a kubelet's to set.
    private static func isReserved(_ label: String) -> Bool {
        let domain = label.contains("/") ? String(label.prefix { $0 != "/" }) : ""
        let isKubernetes = ["kubernetes.io", "k8s.io"].contains { domain == $0 || domain.hasSuffix("." + $0) }
        guard isKubernetes else { return false }
        if domain == "node-restriction.kubernetes.io" || domain.hasSuffix(".node-restriction.kubernetes.io") { return true }
        if kubeletLabels.contains(label) { return false }
        return !["kubelet.kubernetes.io", "node.kubernetes.io"].contains { domain == $0 || domain.hasSuffix("." + $0) }
    }

    // MARK: - Others

    private func token(_ request: AdmissionRequest, _ node: String) throws(APIError) {
        let reference = request.object["spec"]["boundObjectRef"]
        let shown = FieldError.quoted(node)
        guard !reference.isNull else { throw request.forbidden("node requested token not bound to a pod") }
        guard reference["kind"].string == "Pod", reference["apiVersion"].string == "v1" else {
            throw request.forbidden("node requested token not bound to a pod")
        }
        guard !(reference["uid"].string ?? "").isEmpty else { throw request.forbidden("node requested token with a pod binding without a uid") }
        let name = reference["name"].string ?? ""
        guard let pod = try store.get(Key("pods", namespace: request.namespace, name: name))?.sharedNode() else { throw .notFound("pods", name: name) }
        guard pod.uid == reference["uid"].string else {
            throw request.forbidden("the UID in the bound object reference (\(reference["uid"].string ?? "")) does not match the UID in record. The object might have been deleted and then recreated")
        }
        guard pod["spec"]["nodeName"].string == node else { throw request.forbidden("node requested token bound to a pod scheduled on a different node \(shown)") }
    }

    private func lease(_ request: AdmissionRequest, _ node: String) throws(APIError) {
        guard request.namespace == "kube-node-lease" else {
            throw request.forbidden("can only access leases in the \"kube-node-lease\" system namespace")
        }
        guard own(request) == node else { throw request.forbidden("can only access node lease with the same name as the requesting node") }
    }

    private func claim(_ request: AdmissionRequest) throws(APIError) {
        guard request.operation == .update, request.subresource == "status" else {
            throw request.forbidden("may only update PVC status")
        }
        var before = request.old
        var after = request.object
        for field in ["capacity", "conditions", "allocatedResourceStatuses", "currentVolumeAttributesClassName", "modifyVolumeStatus"] {
            before["status"].remove(field)
            after["status"].remove(field)
        }
        for field in ["resourceVersion", "managedFields"] {
            before["metadata"].remove(field)
            after["metadata"].remove(field)
        }
        guard before == after else { throw request.forbidden("is not allowed to update fields other than status.capacity and status.conditions") }
    }
}
