package import Client
package import Core
import Machinery
import Schema
import Tree

/// Keeps claims that pods use: puts the finalizer on those that lack it, and takes it from one being deleted once no pod uses it.
package struct ClaimProtection: Reconciler {
    package init() {}
    package var name: String { "pvc-protection-controller" }

    package var triggers: [Trigger] {
        [
            .own(.persistentVolumeClaims),
            Trigger(.pods) { change, view in
                // Only the end of a pod frees a claim.
                guard let pod = change.old, change.new == nil || change.new?.uid != pod.uid else { return [] }
                return ClaimUse.claims(of: pod).map { ObjectKey(pod.namespace, $0) }.filter { view.get(.persistentVolumeClaims, $0)?.isBeingDeleted == true }
            },
        ]
    }

    package func reconcile(_ key: ObjectKey, _ view: ClusterView, _ recorder: EventRecorder, now: Timestamp) async throws -> Duration? {
        guard let claim = view.get(.persistentVolumeClaims, key) else { return nil }
        let isProtected = claim.finalizers.contains(VolumeNames.claimProtection)
        if claim.isBeingDeleted == false {
            if !isProtected { try await Finalizers.set(claim, .persistentVolumeClaims, claim.finalizers + [VolumeNames.claimProtection], view) }
            return nil
        }
        guard isProtected else { return nil }
        // The view of pods may be behind that of claims: ask. A pod without a node does not count, since no kubelet starts
        // a pod whose claim is being deleted.
        let pods = try await view.client.list(.pods, ListOptions(namespace: key.namespace)).items
        let isUsed = pods.contains { !($0["spec"]["nodeName"].string ?? "").isEmpty && ClaimUse.uses($0, claim) }
        if !isUsed { try await Finalizers.set(claim, .persistentVolumeClaims, claim.finalizers.filter { $0 != VolumeNames.claimProtection }, view) }
        return nil
    }
}

/// Keeps volumes that are bound to a claim.
package struct VolumeProtection: Reconciler {
    package init() {}
    package var name: String { "pv-protection-controller" }
    package var triggers: [Trigger] { [.own(.persistentVolumes)] }

    package func reconcile(_ key: ObjectKey, _ view: ClusterView, _ recorder: EventRecorder, now: Timestamp) async throws -> Duration? {
        guard let volume = view.get(.persistentVolumes, key) else { return nil }
        let isProtected = volume.finalizers.contains(VolumeNames.volumeProtection)
        if !volume.isBeingDeleted {
            if !isProtected { try await Finalizers.set(volume, .persistentVolumes, volume.finalizers + [VolumeNames.volumeProtection], view) }
        } else if isProtected, volume["status"]["phase"].string != "Bound" {
            try await Finalizers.set(volume, .persistentVolumes, volume.finalizers.filter { $0 != VolumeNames.volumeProtection }, view)
        }
        return nil
    }
}

/// Writing of `metadata.finalizers`.
enum Finalizers {
    /// The whole list, so of exactly the object that was read. An object that is gone needs none.
    static func set(_ object: Node, _ resource: GroupVersionResource, _ finalizers: [String], _ view: ClusterView) async throws {
        let metadata: Node = [
            "uid": .string(object.uid), "resourceVersion": object["metadata"]["resourceVersion"], "finalizers": Node(finalizers),
        ]
        do {
            let written = try await view.client.patch(resource, ObjectKey(object.namespace, object.name), .merge, ["metadata": metadata], subresource: nil)
            await view.reached(written.revision, resource)
        } catch let error as APIError where error.code == 404 {}
    }
}
