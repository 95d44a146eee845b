package import Machinery
package import Store
import Tree

/// Nothing is made in a namespace that is not there or is being deleted; the namespaces that every cluster needs stay.
package struct NamespaceLifecycle: AdmissionPlugin {
    private let store: Store
    package init(_ store: Store) { self.store = store }
    package var name: String { "NamespaceLifecycle" }

    private static let immortal: Set<String> = ["default", "kube-system", "kube-public"]

    /// Deletions are only ever validated.
    package func concerns(_ request: AdmissionRequest, _ stage: AdmissionStage) -> Bool { stage == .mutating || request.operation == .delete }

    package func admit(_ request: inout AdmissionRequest) async throws(APIError) { try check(request) }

    package func validate(_ request: AdmissionRequest) async throws(APIError) { try check(request) }

    private func check(_ request: AdmissionRequest) throws(APIError) {
        if request.resource.collection == "namespaces" {
            if request.operation == .delete, NamespaceLifecycle.immortal.contains(request.name) {
                throw request.forbidden("this namespace may not be deleted")
            }
            return
        }
        guard !request.namespace.isEmpty, request.operation != .delete else { return }
        guard let record = store.get(Key("namespaces", name: request.namespace)) else { throw .notFound("namespaces", name: request.namespace) }
        guard request.operation == .create, try record.sharedNode()["status"]["phase"].string == "Terminating" else { return }
        var error = request.forbidden("unable to create new content in namespace \(request.namespace) because it is being terminated")
        error.details?.causes.append(
            .init(reason: "NamespaceTerminating", message: "namespace \(request.namespace) is being terminated", field: "metadata.namespace"))
        throw error
    }
}
