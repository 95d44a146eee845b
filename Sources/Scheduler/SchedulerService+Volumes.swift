import Client
import Core
import Machinery
import Schema
import Tree

extension SchedulerService {
    /// Tells which volumes and which node were chosen for the claims that waited, and returns when all are bound.
    func bindVolumes(_ binding: SchedulerCore.Binding) async throws {
        guard !binding.volumes.isEmpty else { return }
        for (volume, claim) in binding.volumes.matches {
            let reference: Node = [
                "apiVersion": "v1", "kind": "PersistentVolumeClaim", "namespace": .string(claim.namespace), "name": .string(claim.name),
                "uid": .string(claim.uid), "resourceVersion": claim["metadata"]["resourceVersion"],
            ]
            _ = try await view.client.patch(
                .persistentVolumes, ObjectKey("", volume.name), .merge,
                [
                    "metadata": [
                        "resourceVersion": volume["metadata"]["resourceVersion"], "annotations": ["pv.kubernetes.io/bound-by-controller": "yes"],
                    ], "spec": ["claimRef": reference],
                ], subresource: nil)
        }
        for claim in binding.volumes.provisions where claim.annotations["volume.kubernetes.io/selected-node"] == nil {
            _ = try await view.client.patch(
                .persistentVolumeClaims, ObjectKey(claim.namespace, claim.name), .merge,
                ["metadata": ["uid": .string(claim.uid), "annotations": ["volume.kubernetes.io/selected-node": .string(binding.node)]]], subresource: nil)
        }
        for claim in binding.volumes.matches.map(\.claim) + binding.volumes.provisions { try await bound(claim, within: binding.profile.volumePatience) }
    }

    private func bound(_ claim: Node, within patience: Duration) async throws {
        let key = ObjectKey(claim.namespace, claim.name)
        let deadline = time.now() + patience
        while true {
            guard let current = view.get(.persistentVolumeClaims, key), current.uid == claim.uid, !current.isBeingDeleted else {
                throw APIError.notFound("persistentvolumeclaims", name: claim.name)
            }
            if current["status"]["phase"].string == "Bound", current["spec"]["volumeName"].string?.isEmpty == false { return }
            if time.now() >= deadline { throw APIError.timeout("binding volumes: context deadline exceeded") }
            // The table changes with every event of claims, this one's among them.
            let seen = view.read { $0[.persistentVolumeClaims].revision }
            await view.reached(seen + 1, .persistentVolumeClaims)
            try Task.checkCancellation()
        }
    }
}
