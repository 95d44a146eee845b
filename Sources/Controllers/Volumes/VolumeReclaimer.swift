package import Client
package import Core
import Machinery
import Schema
import Tree

/// Releases volumes whose claim is gone, and says so of those that nobody here can delete. It asks the API about the claim,
/// because a view may be behind, and releasing a volume may delete data.
package struct VolumeReclaimer: Reconciler {
    private let providers: Set<String>

    /// `providers` are the provisioners that delete their volumes themselves in this process.
    package init(providers: Set<String> = []) { self.providers = providers }

    package var name: String { "persistentvolume-reclaimer" }

    package var triggers: [Trigger] {
        [
            .own(.persistentVolumes, indexes: [VolumeBinder.byClaim]),
            Trigger(.persistentVolumeClaims) { change, view in
                guard change.new == nil || change.new?.uid != change.old?.uid else { return [] }
                return view.read { Array($0[.persistentVolumes].keys("claim", change.key.description)) }
            },
        ]
    }

    package func reconcile(_ key: ObjectKey, _ view: ClusterView, _ recorder: EventRecorder, now: Timestamp) async throws -> Duration? {
        guard let volume = view.get(.persistentVolumes, key) else { return nil }
        let reference = volume["spec"]["claimRef"]
        guard let uid = reference["uid"].string, !uid.isEmpty else { return nil }
        let phase = volume["status"]["phase"].string ?? ""
        if phase != "Released", phase != "Failed" {
            guard try await isGone(ObjectKey(reference["namespace"].string ?? "", reference["name"].string ?? ""), uid, view) else { return nil }
            try await set(volume, "Released", view)
        } else {
            try await failUndeletable(volume, phase, view, recorder)
        }
        return nil
    }

    private func isGone(_ key: ObjectKey, _ uid: String, _ view: ClusterView) async throws -> Bool {
        // The common case costs nothing: a view that has the claim cannot be ahead of the API's truth for long, and its
        // deletion will ask again.
        if view.get(.persistentVolumeClaims, key)?.uid == uid { return false }
        do { return try await view.client.get(.persistentVolumeClaims, key).uid != uid } catch let error as APIError where error.code == 404 {
            return true
        }
    }

    /// Only volumes that were provisioned have somebody to delete them.
    private func failUndeletable(_ volume: Node, _ phase: String, _ view: ClusterView, _ recorder: EventRecorder) async throws {
        let policy = volume["spec"]["persistentVolumeReclaimPolicy"].string ?? "Retain"
        guard phase == "Released", policy != "Retain", volume.annotations[VolumeNames.provisionedBy] == nil else { return }
        let what = policy == "Recycle" ? "recycler" : "deleter"
        let message = "error getting \(what) volume plugin for volume \(FieldError.quoted(volume.name)): no volume plugin matched"
        try await set(volume, "Failed", message: message, view)
        recorder.record(Event(volume, .warning, reason: policy == "Recycle" ? "VolumeFailedRecycle" : "VolumeFailedDelete", message: message))
    }

    /// Of exactly the volume that was looked at.
    private func set(_ volume: Node, _ phase: String, message: String = "", _ view: ClusterView) async throws {
        var status: Node = ["phase": .string(phase)]
        if message.isEmpty { status.setNull("message") } else { status["message"] = .string(message) }
        let patch: Node = ["metadata": ["uid": .string(volume.uid), "resourceVersion": volume["metadata"]["resourceVersion"]], "status": status]
        do {
            let written = try await view.client.patch(.persistentVolumes, ObjectKey("", volume.name), .merge, patch, subresource: "status")
            await view.reached(written.revision, .persistentVolumes)
        } catch let error as APIError where error.code == 404 {}
    }
}
