import Core
package import Machinery
package import Store
import Tree

/// A claim that names no class gets the default one, the newest where several are marked.
package struct DefaultStorageClass: AdmissionPlugin {
    private let store: Store
    package init(_ store: Store) { self.store = store }
    package var name: String { "DefaultStorageClass" }

    package func concerns(_ request: AdmissionRequest, _ stage: AdmissionStage) -> Bool { stage == .mutating && request.resource.collection == "persistentvolumeclaims" }

    package func admit(_ request: inout AdmissionRequest) async throws(APIError) {
        guard request.resource.collection == "persistentvolumeclaims", request.subresource.isEmpty, request.operation == .create else { return }
        guard request.object["spec"]["storageClassName"].isNull,
            request.object.annotations["volume.beta.kubernetes.io/storage-class"] == nil,
            let page = try? store.list("storage.k8s.io/storageclasses")
        else { return }
        var best: Node?
        for record in page.records {
            let candidate = try record.sharedNode()
            let isDefault = ["storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class"].contains {
                candidate.annotations[$0] == "true"
            }
            guard isDefault else { continue }
            guard let current = best else {
                best = candidate
                continue
            }
            let made = candidate.creation ?? Timestamp(seconds: 0)
            let before = current.creation ?? Timestamp(seconds: 0)
            if made > before || (made == before && candidate.name < current.name) { best = candidate }
        }
        if let best { request.object["spec"]["storageClassName"] = .string(best.name) }
    }
}

/// Volumes and claims in use are kept until nobody uses them.
package struct StorageObjectInUseProtection: AdmissionPlugin {
    package init() {}
    package var name: String { "StorageObjectInUseProtection" }

    private static let finalizers = [
        "persistentvolumes": "kubernetes.io/pv-protection", "persistentvolumeclaims": "kubernetes.io/pvc-protection",
        "storage.k8s.io/volumeattributesclasses": "kubernetes.io/vac-protection",
    ]

    package func concerns(_ request: AdmissionRequest, _ stage: AdmissionStage) -> Bool { stage == .mutating && StorageObjectInUseProtection.finalizers[request.resource.collection] != nil }

    package func admit(_ request: inout AdmissionRequest) async throws(APIError) {
        guard request.operation == .create, request.subresource.isEmpty,
            let finalizer = StorageObjectInUseProtection.finalizers[request.resource.collection],
            !request.object.finalizers.contains(finalizer)
        else { return }
        request.object["metadata"]["finalizers"] = Node(request.object.finalizers + [finalizer])
    }
}

/// Only a claim whose class allows it may grow.
package struct PersistentVolumeClaimResize: AdmissionPlugin {
    private let store: Store
    package init(_ store: Store) { self.store = store }
    package var name: String { "PersistentVolumeClaimResize" }

    package func concerns(_ request: AdmissionRequest, _ stage: AdmissionStage) -> Bool { stage == .validating && request.resource.collection == "persistentvolumeclaims" }

    package func validate(_ request: AdmissionRequest) async throws(APIError) {
        guard request.resource.collection == "persistentvolumeclaims", request.operation == .update, request.subresource.isEmpty else { return }
        func size(_ claim: Node) -> Quantity {
            claim["spec"]["resources"]["requests"]["storage"].string.flatMap { try? Quantity(parsing: $0) } ?? .zero
        }
        guard size(request.old) < size(request.object) else { return }
        guard request.old["status"]["phase"].string == "Bound" else { throw request.forbidden("Only bound persistent volume claims can be expanded") }
        let name = request.object["spec"]["storageClassName"].string ?? ""
        let record = store.get(Key("storage.k8s.io/storageclasses", name: name))
        let allows = try record?.sharedNode()["allowVolumeExpansion"].bool ?? false
        guard allows else {
            throw request.forbidden(
                "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support resize")
        }
    }
}
