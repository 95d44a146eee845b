package import Client
package import Core
import Kinds
import Machinery
package import Schema
import Tree

/// Makes the volumes of claims whose class names its provider, lets them grow, and deletes them once released.
///
/// A volume's name follows from its claim's uid, and what lies under it is made before the object and goes before it, so a
/// crash anywhere leaves something that the next attempt takes up.
package struct VolumeProvisioner: Reconciler {
    private let provider: any VolumeProvider

    package init(_ provider: any VolumeProvider) { self.provider = provider }

    package var name: String { "volume-provisioner-\(provider.name)" }

    package var triggers: [Trigger] { [.own(.persistentVolumeClaims), .own(.persistentVolumes)] }
    package var reads: [(GroupVersionResource, [ObjectTable.Index])] { [(.storageClasses, []), (.nodes, [])] }

    static func volumeName(_ claim: Node) -> String { "pvc-\(claim.uid)" }

    /// Whether there is a volume of that name, or a claim that may get one.
    static func isKnown(_ name: String, _ view: ClusterView) -> Bool {
        view.read { state in
            state.get(.persistentVolumes, "", name) != nil || state[.persistentVolumeClaims].objects.values.contains { volumeName($0) == name }
        }
    }

    package func reconcile(_ key: ObjectKey, _ view: ClusterView, _ recorder: EventRecorder, now: Timestamp) async throws -> Duration? {
        if key.namespace.isEmpty {
            if let volume = view.get(.persistentVolumes, key) { try await reconcile(volume: volume, view, recorder) }
        } else if let claim = view.get(.persistentVolumeClaims, key), !claim.isBeingDeleted {
            if claim["spec"]["volumeName"].string?.isEmpty == false {
                try await grow(claim, view, recorder)
            } else if claim.annotations[VolumeNames.provisioner] == provider.name {
                try await make(claim, view, recorder)
            }
        }
        return nil
    }

    // MARK: - Making

    private func make(_ claim: Node, _ view: ClusterView, _ recorder: EventRecorder) async throws {
        let name = VolumeProvisioner.volumeName(claim)
        guard view.get(.persistentVolumes, ObjectKey("", name)) == nil,
            let storageClass = view.get(.storageClasses, ObjectKey("", VolumeMatch.storageClass(claim))),
            storageClass["provisioner"].string == provider.name
        else { return }
        do {
            let spec = try await spec(name, claim, storageClass, view)
            var volume: Node = [
                "apiVersion": "v1", "kind": "PersistentVolume",
                "metadata": [
                    "name": .string(name), "annotations": [VolumeNames.provisionedBy: .string(provider.name)],
                    "finalizers": [.string(VolumeNames.volumeProtection), .string(VolumeNames.provisionerFinalizer)],
                ],
            ]
            volume["spec"] = spec
            let made = try await view.client.create(.persistentVolumes, namespace: "", volume)
            recorder.record(Event(claim, reason: "ProvisioningSucceeded", message: "Successfully provisioned volume \(name)"))
            await view.reached(made.revision, .persistentVolumes)
        } catch let error as APIError where error.reason == "AlreadyExists" {
            return
        } catch {
            recorder.record(
                Event(
                    claim, .warning, reason: "ProvisioningFailed",
                    message: "failed to provision volume with StorageClass \(FieldError.quoted(storageClass.name)): \(error)"))
            throw error
        }
    }

    private func spec(_ name: String, _ claim: Node, _ storageClass: Node, _ view: ClusterView) async throws -> Node {
        guard VolumeMatch.mode(claim) == "Filesystem" else { throw APIError.badRequest("block volumes are not supported") }
        guard claim["spec"]["dataSource"].isNull, claim["spec"]["dataSourceRef"].isNull else {
            throw APIError.badRequest("volumes from a data source are not supported")
        }
        guard claim["spec"]["selector"].isNull else { throw APIError.badRequest("claim.Spec.Selector is not supported for dynamic provisioning") }
        var node: Node?
        if let chosen = claim.annotations[VolumeNames.selectedNode], !chosen.isEmpty {
            if let seen = view.get(.nodes, ObjectKey("", chosen)) { node = seen } else { node = try await view.client.get(.nodes, ObjectKey("", chosen)) }
        }
        let size = VolumeMatch.requested(claim)
        var spec = try await provider.create(
            VolumeRequest(
                name: name, claim: ObjectKey(claim.namespace, claim.name), size: size, parameters: storageClass["parameters"].stringMap, node: node))
        spec["capacity"] = ["storage": .string(size.description)]
        spec["accessModes"] = claim["spec"]["accessModes"]
        spec["persistentVolumeReclaimPolicy"] = .string(storageClass["reclaimPolicy"].string ?? "Delete")
        spec["storageClassName"] = .string(storageClass.name)
        spec["volumeMode"] = "Filesystem"
        if !storageClass["mountOptions"].isEmpty { spec["mountOptions"] = storageClass["mountOptions"] }
        spec["claimRef"] = [
            "kind": "PersistentVolumeClaim", "apiVersion": "v1", "namespace": .string(claim.namespace), "name": .string(claim.name),
            "uid": .string(claim.uid), "resourceVersion": claim["metadata"]["resourceVersion"],
        ]
        return spec
    }

    // MARK: - Growing

    /// The volume first, then what the claim says of it; either may already be done.
    private func grow(_ claim: Node, _ view: ClusterView, _ recorder: EventRecorder) async throws {
        guard claim["status"]["phase"].string == "Bound", let name = claim["spec"]["volumeName"].string,
            let volume = view.get(.persistentVolumes, ObjectKey("", name)), volume.annotations[VolumeNames.provisionedBy] == provider.name,
            volume["spec"]["claimRef"]["uid"].string == claim.uid, !volume.isBeingDeleted
        else { return }
        let wanted = VolumeMatch.requested(claim)
        let has = PodRequests.quantity(claim["status"]["capacity"]["storage"]) ?? .zero
        guard has < wanted else { return }
        var size = VolumeMatch.capacity(volume)
        if size < wanted {
            size = try await provider.expand(volume: name, to: wanted)
            _ = try await view.client.patch(
                .persistentVolumes, ObjectKey("", name), .merge,
                [
                    "metadata": ["uid": .string(volume.uid), "resourceVersion": volume["metadata"]["resourceVersion"]],
                    "spec": ["capacity": ["storage": .string(size.description)]],
                ], subresource: nil)
        }
        let written = try await view.client.patch(
            .persistentVolumeClaims, ObjectKey(claim.namespace, claim.name), .merge,
            ["metadata": ["uid": .string(claim.uid)], "status": ["capacity": ["storage": .string(size.description)]]], subresource: "status")
        recorder.record(Event(claim, reason: "VolumeResizeSuccessful", message: "Resize volume succeeded"))
        await view.reached(written.revision, .persistentVolumeClaims)
    }

    // MARK: - Deleting

    private func reconcile(volume: Node, _ view: ClusterView, _ recorder: EventRecorder) async throws {
        guard volume.annotations[VolumeNames.provisionedBy] == provider.name else { return }
        let key = ObjectKey("", volume.name)
        let isDeletable = volume["spec"]["persistentVolumeReclaimPolicy"].string == "Delete"
        if volume.isBeingDeleted {
            // Others, and the claim, come first.
            guard volume.finalizers == [VolumeNames.provisionerFinalizer] else { return }
            if isDeletable { try await remove(volume, view, recorder) }
            try await Finalizers.set(volume, .persistentVolumes, [], view)
        } else if isDeletable, volume["status"]["phase"].string == "Released" {
            try await remove(volume, view, recorder)
            let rest = volume.finalizers.filter { $0 != VolumeNames.provisionerFinalizer }
            if rest != volume.finalizers { try await Finalizers.set(volume, .persistentVolumes, rest, view) }
            do { _ = try await view.client.delete(.persistentVolumes, key, DeleteOptions(uid: volume.uid)) } catch let error as APIError
                where error.code == 404
            {}
        }
    }

    /// A view may be behind: a volume that somebody just took back from Released keeps its data.
    private func remove(_ seen: Node, _ view: ClusterView, _ recorder: EventRecorder) async throws {
        let volume: Node
        do { volume = try await view.client.get(.persistentVolumes, ObjectKey("", seen.name)) } catch let error as APIError where error.code == 404 { return }
        guard volume.revision == seen.revision else { throw APIError.conflict("persistentvolumes", name: seen.name, why: "the volume has changed") }
        do { try await provider.delete(volume: seen.name) } catch {
            recorder.record(Event(volume, .warning, reason: "VolumeFailedDelete", message: "\(error)"))
            throw error
        }
    }
}
