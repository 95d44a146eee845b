import Client
import Machinery
import Schema
import Tree

extension VolumeBinder {
    /// The phase of a volume, and its release where its claim has another one. That its claim is gone is for `VolumeReclaimer`
    /// to find out, which asks the API: data depends on it.
    func plan(volume: Node, _ state: borrowing ClusterState) -> [Action] {
        let reference = volume["spec"]["claimRef"]
        let uid = reference["uid"].string ?? ""
        guard !reference.isNull, !uid.isEmpty else { return phase(volume, "Available").map { [$0] } ?? [] }
        guard let claim = state.get(.persistentVolumeClaims, reference["namespace"].string ?? "", reference["name"].string ?? ""), claim.uid == uid else {
            return []
        }
        let asked = claim["spec"]["volumeName"].string ?? ""
        if asked == volume.name { return phase(volume, "Bound").map { [$0] } ?? [] }
        if asked.isEmpty {
            guard VolumeMatch.mode(claim) != VolumeMatch.mode(volume) else { return [] }  // the claim's own plan binds it
            let name = FieldError.quoted(claim.name)
            let volumeName = FieldError.quoted(volume.name)
            return [
                .event(Event(
                    volume, .warning, reason: "VolumeMismatch",
                    message: "Cannot bind PersistentVolume to requested PersistentVolumeClaim \(name) due to incompatible volumeMode.")),
                .event(Event(
                    claim, .warning, reason: "VolumeMismatch",
                    message: "Cannot bind PersistentVolume \(volumeName) to requested PersistentVolumeClaim due to incompatible volumeMode.")),
            ]
        }
        return release(volume)
    }

    /// The claim has another volume. One that was made for it is of no use to anybody; any other is free again.
    private func release(_ volume: Node) -> [Action] {
        if volume.annotations[VolumeNames.provisionedBy] != nil, volume["spec"]["persistentVolumeReclaimPolicy"].string == "Delete" {
            return phase(volume, "Released").map { [$0] } ?? []
        }
        var metadata: Node = ["resourceVersion": volume["metadata"]["resourceVersion"]]
        var spec = Node.emptyMap
        if volume.annotations[VolumeNames.boundByController] != nil {
            var annotations = Node.emptyMap
            annotations.setNull(VolumeNames.boundByController)
            metadata["annotations"] = annotations
            spec.setNull("claimRef")
        } else {
            var reference = Node.emptyMap
            reference.setNull("uid")
            spec["claimRef"] = reference
        }
        return [.patch(.persistentVolumes, ObjectKey("", volume.name), .merge, ["metadata": metadata, "spec": spec])]
            + (phase(volume, "Available").map { [$0] } ?? [])
    }

    /// Nil where it is so already.
    func phase(_ volume: Node, _ phase: String) -> Action? {
        guard volume["status"]["phase"].string != phase else { return nil }
        return .patch(
            .persistentVolumes, ObjectKey("", volume.name), .merge,
            ["metadata": ["uid": .string(volume.uid)], "status": ["phase": .string(phase)]], subresource: "status")
    }
}
