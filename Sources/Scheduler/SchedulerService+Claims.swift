import Client
import Core
import Kinds
import Machinery
import Schema
import Tree

extension SchedulerService {
    /// Keeps a claim with devices from vanishing.
    private static let finalizer = "resource.kubernetes.io/delete-protection"

    /// Writes which devices the claims have and that the pod uses them.
    func bindClaims(_ binding: SchedulerCore.Binding) async throws {
        for (claim, allocation) in binding.devices.claims {
            let key = ObjectKey(claim.namespace, claim.name)
            var current = try await view.client.get(.resourceClaims, key)
            guard current.uid == claim.uid, !current.isBeingDeleted else { throw APIError.notFound("resourceclaims", group: "resource.k8s.io", name: claim.name) }
            if !allocation.isNull, current["status"]["allocation"].isNull {
                let finalizers = current["metadata"]["finalizers"].stringList
                if !finalizers.contains(SchedulerService.finalizer) {
                    current["metadata"]["finalizers"] = Node(finalizers + [SchedulerService.finalizer])
                    current = try await view.client.update(.resourceClaims, current, subresource: nil)
                }
                current["status"]["allocation"] = allocation
            }
            guard !current["status"]["allocation"].isNull else { throw APIError.conflict("resourceclaims", group: "resource.k8s.io", name: claim.name, why: "its devices were given back meanwhile") }
            if !current["status"]["reservedFor"].list.contains(where: { $0["uid"].string == binding.pod.uid }) {
                let consumer: Node = ["resource": "pods", "name": .string(binding.pod.key.name), "uid": .string(binding.pod.uid)]
                current["status"]["reservedFor"] = .list(current["status"]["reservedFor"].list + [consumer])
            } else if allocation.isNull {
                continue
            }
            // Conditional on the revision: two schedulers cannot give one device twice without one of them noticing.
            _ = try await view.client.update(.resourceClaims, current, subresource: "status")
        }
    }
}
