import Client
import Machinery
import Schema
import Tree

extension VolumeBinder {
    /// A claim that takes any volume that does.
    func plan(unbound claim: Node, _ state: borrowing ClusterState) -> [Action] {
        let className = VolumeMatch.storageClass(claim)
        let storageClass = className.isEmpty ? nil : state.get(.storageClasses, "", className)
        let delays = storageClass?["volumeBindingMode"].string == "WaitForFirstConsumer"
        let table = state[.persistentVolumes]
        let volumes = table.objects("free", className) + table.objects("claim", "\(claim.namespace)/\(claim.name)")
        if let volume = VolumeMatch.best(claim, among: volumes, delaysBinding: delays) { return bind(volume, claim) }
        if VolumeMatch.namesNoClass(claim), let standard = VolumeBinder.defaultClass(state) {
            return [patch(claim, ["spec": ["storageClassName": .string(standard.name)]])]
        }
        if className.isEmpty {
            return tell(
                claim, .normal, "FailedBinding", "no persistent volumes available for this claim and no storage class is set") + pending(claim)
        }
        if delays, claim.annotations[VolumeNames.selectedNode] == nil { return waits(claim, state) + pending(claim) }
        return provision(claim, className, storageClass)
    }

    /// The newest of the classes that are marked as default.
    static func defaultClass(_ state: borrowing ClusterState) -> Node? {
        state[.storageClasses].objects.values.filter {
            $0.annotations[VolumeNames.defaultClass] == "true" || $0.annotations[VolumeNames.betaDefaultClass] == "true"
        }.min { a, b in
            let x = a["metadata"]["creationTimestamp"].string ?? ""
            let y = b["metadata"]["creationTimestamp"].string ?? ""
            return x == y ? a.name < b.name : x > y
        }
    }

    private func waits(_ claim: Node, _ state: borrowing ClusterState) -> [Action] {
        let pods = state[.pods].objects("unscheduled-by-claim", "\(claim.namespace)/\(claim.name)").map(\.name).sorted()
        if pods.isEmpty { return tell(claim, .normal, "WaitForFirstConsumer", "waiting for first consumer to be created before binding") }
        let who = pods.count == 1 ? "pod" : "pods"
        return tell(claim, .normal, "WaitForPodScheduled", "waiting for \(who) \(pods.joined(separator: ",")) to be scheduled")
    }

    /// Says who is to make the volume; who that is, watches claims.
    private func provision(_ claim: Node, _ className: String, _ storageClass: Node?) -> [Action] {
        guard let storageClass else {
            return tell(claim, .warning, "ProvisioningFailed", "storageclass.storage.k8s.io \(FieldError.quoted(className)) not found") + pending(claim)
        }
        let provisioner = storageClass["provisioner"].string ?? ""
        if provisioner.hasPrefix("kubernetes.io/") {
            return tell(claim, .warning, "ProvisioningFailed", "no volume plugin matched name: \(provisioner)") + pending(claim)
        }
        guard claim.annotations[VolumeNames.provisioner] != provisioner else { return pending(claim) }
        let annotations: Node = [VolumeNames.provisioner: .string(provisioner), VolumeNames.betaProvisioner: .string(provisioner)]
        return [patch(claim, ["metadata": ["annotations": annotations]])]
            + tell(
                claim, .normal, "ExternalProvisioning",
                "Waiting for a volume to be created either by the external provisioner '\(provisioner)' or manually by the system administrator. "
                    + "If volume creation is delayed, please verify that the provisioner is running and correctly registered.") + pending(claim)
    }

    /// A claim that asks for one volume by name.
    func plan(asking claim: Node, _ state: borrowing ClusterState) -> [Action] {
        guard let volume = state.get(.persistentVolumes, "", claim["spec"]["volumeName"].string ?? "") else { return pending(claim) }
        if volume["spec"]["claimRef"].isNull {
            guard let why = VolumeMatch.refusal(volume, claim) else { return bind(volume, claim) }
            return tell(claim, .warning, "VolumeMismatch", "Cannot bind to requested volume \(FieldError.quoted(volume.name)): \(why)") + pending(claim)
        }
        if VolumeMatch.isBound(volume, to: claim) { return bind(volume, claim) }
        return tell(claim, .warning, "FailedBinding", "volume \(FieldError.quoted(volume.name)) already bound to a different claim.") + pending(claim)
    }

    /// A claim that was bound once: its volume is there and is its own, or what it held is lost.
    func plan(bound claim: Node, _ state: borrowing ClusterState) -> [Action] {
        guard let name = claim["spec"]["volumeName"].string, !name.isEmpty else {
            return lost(claim, "ClaimLost", "Bound claim has lost reference to PersistentVolume. Data on the volume is lost!")
        }
        guard let volume = state.get(.persistentVolumes, "", name) else {
            return lost(claim, "ClaimLost", "Bound claim has lost its PersistentVolume. Data on the volume is lost!")
        }
        let reference = volume["spec"]["claimRef"]
        if reference.isNull || reference["uid"].string == claim.uid { return bind(volume, claim) }
        return lost(claim, "ClaimMisbound", "Two claims are bound to the same volume, this one is bound incorrectly")
    }

    // MARK: - Writes

    /// The volume first: who has it in writing is whose it is. Only what is missing is written.
    func bind(_ volume: Node, _ claim: Node) -> [Action] {
        var actions: [Action] = []
        let reference = volume["spec"]["claimRef"]
        if reference["uid"].string != claim.uid {
            var metadata: Node = ["resourceVersion": volume["metadata"]["resourceVersion"]]
            if reference.isNull { metadata["annotations"] = [VolumeNames.boundByController: "yes"] }
            let wanted: Node = [
                "kind": "PersistentVolumeClaim", "apiVersion": "v1", "namespace": .string(claim.namespace), "name": .string(claim.name),
                "uid": .string(claim.uid), "resourceVersion": claim["metadata"]["resourceVersion"],
            ]
            actions.append(.patch(.persistentVolumes, ObjectKey("", volume.name), .merge, ["metadata": metadata, "spec": ["claimRef": wanted]]))
        }
        if let action = phase(volume, "Bound") { actions.append(action) }
        let asked = claim["spec"]["volumeName"].string ?? ""
        if asked != volume.name || claim.annotations[VolumeNames.bindCompleted] == nil {
            var annotations: Node = [VolumeNames.bindCompleted: "yes"]
            if asked.isEmpty { annotations[VolumeNames.boundByController] = "yes" }
            actions.append(patch(claim, ["metadata": ["annotations": annotations], "spec": ["volumeName": .string(volume.name)]]))
        }
        if let action = boundStatus(claim, volume) { actions.append(action) }
        return actions
    }

    /// The capacity of a bound claim follows its growth, which is not the binder's business.
    private func boundStatus(_ claim: Node, _ volume: Node) -> Action? {
        var status = claim["status"]
        if status["phase"].string != "Bound" || status["capacity"].isEmpty { status["capacity"] = volume["spec"]["capacity"] }
        status["phase"] = "Bound"
        status["accessModes"] = volume["spec"]["accessModes"]
        if let name = volume["spec"]["volumeAttributesClassName"].string { status["currentVolumeAttributesClassName"] = .string(name) }
        guard status != claim["status"] else { return nil }
        return .patch(
            .persistentVolumeClaims, ObjectKey(claim.namespace, claim.name), .merge, ["metadata": ["uid": .string(claim.uid)], "status": status],
            subresource: "status")
    }

    private func pending(_ claim: Node) -> [Action] {
        claim["status"]["phase"].string == "Pending" ? [] : [status(claim, ["phase": "Pending"])]
    }

    private func lost(_ claim: Node, _ reason: String, _ message: String) -> [Action] {
        guard claim["status"]["phase"].string != "Lost" else { return [] }
        var lost: Node = ["phase": "Lost"]
        lost.setNull("accessModes")
        lost.setNull("capacity")
        return [status(claim, lost)] + tell(claim, .warning, reason, message)
    }

    private func status(_ claim: Node, _ status: Node) -> Action {
        .patch(
            .persistentVolumeClaims, ObjectKey(claim.namespace, claim.name), .merge, ["metadata": ["uid": .string(claim.uid)], "status": status],
            subresource: "status")
    }

    /// Of exactly the claim that was read.
    private func patch(_ claim: Node, _ change: Node) -> Action {
        var change = change
        change["metadata"]["resourceVersion"] = claim["metadata"]["resourceVersion"]
        return .patch(.persistentVolumeClaims, ObjectKey(claim.namespace, claim.name), .merge, change)
    }

    private func tell(_ about: Node, _ type: Event.Kind, _ reason: String, _ message: String) -> [Action] {
        [.event(Event(about, type, reason: reason, message: message))]
    }
}
