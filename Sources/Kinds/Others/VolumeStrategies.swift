import Core
package import Machinery
package import Tree

/// The rules of claims, as objects and as templates within pods.
enum ClaimRules {
    static func specErrors(_ spec: Node, at path: NodePath) -> [FieldError] {
        var findings = Findings()
        if spec["accessModes"].isEmpty { findings.required(path.child("accessModes"), "at least 1 access mode is required") }
        findings.add(LabelSelector.errors(spec["selector"], at: path.child("selector")))
        known(spec["accessModes"].stringList, path, &findings)
        exclusive(spec["accessModes"].stringList, path, &findings)
        let size = path.child("resources").entry("storage")
        if let amount = PodRequests.quantity(spec["resources"]["requests"]["storage"]) {
            if amount.sign <= 0 { findings.invalid(size, .string(amount.description), Findings.notPositive) }
        } else {
            findings.required(size)
        }
        for field in ["storageClassName", "volumeAttributesClassName"] {
            if let name = spec[field].string, !name.isEmpty { findings.format(path.child(field), name, NameFormat.dnsSubdomain) }
        }
        let source = spec["dataSource"]
        if !source.isNull {
            findings.present(path.child("dataSource").child("name"), source["name"])
            findings.present(path.child("dataSource").child("kind"), source["kind"])
            if source["apiGroup"].isEmpty, source["kind"].string != "PersistentVolumeClaim" {
                findings.invalid(path.child("dataSource"), source["kind"], "must be 'PersistentVolumeClaim' when referencing the default apiGroup")
            }
        }
        let reference = spec["dataSourceRef"]
        for field in ["name", "kind"] where !reference.isNull { findings.present(path.child("dataSourceRef").child(field), reference[field]) }
        // Upstream shows the path of the field here, which has nothing in JSON.
        if !source.isNull, !reference.isNull, ["apiGroup", "kind", "name"].contains(where: { source[$0] != reference[$0] }) {
            findings.invalid(path, .emptyMap, "must match dataSourceRef")
        }
        return findings.errors
    }

    private static let modes = ["ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"]

    static func known(_ modes: [String], _ path: NodePath, _ findings: inout Findings) {
        for mode in modes where !self.modes.contains(mode) { findings.notSupported(path.child("accessModes"), mode, self.modes) }
    }

    static func isOldSource(_ source: Node) -> Bool {
        switch (source["apiGroup"].string ?? "", source["kind"].string) {
        case ("", "PersistentVolumeClaim"), ("snapshot.storage.k8s.io", "VolumeSnapshot"): true
        default: false
        }
    }

    static func exclusive(_ modes: [String], _ path: NodePath, _ findings: inout Findings) {
        if modes.contains("ReadWriteOncePod"), modes.contains(where: { $0 != "ReadWriteOncePod" }) {
            findings.forbidden(path.child("accessModes"), "may not use ReadWriteOncePod with other access modes")
        }
    }
}

/// Claims: a bound claim may grow, and that is nearly all.
package struct PersistentVolumeClaimStrategy: KindStrategy {
    package init() {}
    package var traits: KindTraits {
        var traits = KindTraits()
        traits.returnsDeletedObject = true
        return traits
    }

    package func prepareCreate(_ object: inout Node) {
        object["status"] = ["phase": "Pending"]
        agree(&object)
    }

    package func prepareUpdate(_ object: inout Node, old: Node, subresource: String) {
        if subresource.isEmpty { agree(&object) }
    }

    private func agree(_ object: inout Node) {
        // The two ways to name a source agree, where the older one can say it.
        var source = object["spec"]["dataSource"]
        let reference = object["spec"]["dataSourceRef"]
        // What the older way cannot say is dropped, as older servers did.
        if !source.isNull, reference.isNull, !ClaimRules.isOldSource(source) {
            object["spec"].remove("dataSource")
            source = .null
        }
        if !source.isNull, reference.isNull { object["spec"]["dataSourceRef"] = source }
        if source.isNull, !reference.isNull, reference["namespace"].isEmpty,
            reference["apiGroup"].isEmpty ? reference["kind"].string == "PersistentVolumeClaim" : true
        {
            object["spec"]["dataSource"] = reference
        }
    }

    package func validate(_ object: Node) -> [FieldError] { ClaimRules.specErrors(object["spec"], at: PodStrategy.specPath) }

    package func validateUpdate(_ object: Node, old: Node, subresource: String) -> [FieldError] {
        guard subresource.isEmpty else { return [] }
        var findings = Findings()
        var (new, before) = (object["spec"], old["spec"])
        if before["volumeName"].isEmpty { before["volumeName"] = new["volumeName"] }
        // A class may still be given to a claim that has none.
        if before["storageClassName"].isNull { before["storageClassName"] = new["storageClassName"] }
        if old["status"]["phase"].string == "Bound" {
            new["resources"]["requests"]["storage"] = before["resources"]["requests"]["storage"]
            new["volumeAttributesClassName"] = before["volumeAttributesClassName"]
        }
        if new != before {
            findings.forbidden(PodStrategy.specPath, "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims")
        }
        let key = "storage"
        if let wanted = PodRequests.quantity(object["spec"]["resources"]["requests"][key]),
            let asked = PodRequests.quantity(old["spec"]["resources"]["requests"][key]), wanted < asked,
            wanted <= PodRequests.quantity(old["status"]["capacity"][key]) ?? .zero
        {
            findings.forbidden(NodePath([.key("spec.resources.requests.storage")]), "field can not be less than status.capacity")
        }
        findings.immutable(NodePath([.key("volumeMode")]), object["spec"]["volumeMode"], old["spec"]["volumeMode"])
        return findings.errors
    }
}

/// Volumes: where the bytes are does not change.
package struct PersistentVolumeStrategy: KindStrategy {
    package init() {}
    package var traits: KindTraits {
        var traits = KindTraits()
        traits.returnsDeletedObject = true
        traits.updateChecks = .contentTwice
        return traits
    }

    private static let sources = [
        "hostPath", "gcePersistentDisk", "awsElasticBlockStore", "glusterfs", "flocker", "nfs", "rbd", "quobyte", "cephfs", "iscsi", "cinder", "fc",
        "flexVolume", "azureFile", "vsphereVolume", "photonPersistentDisk", "portworxVolume", "azureDisk", "scaleIO", "local", "storageos", "csi",
    ]

    package func prepareCreate(_ object: inout Node) { object["status"] = ["phase": "Pending", "lastPhaseTransitionTime": .string(Timestamp.now().rfc3339)] }

    package func prepareUpdate(_ object: inout Node, old: Node, subresource: String) {
        guard subresource == "status" else { return }
        let (time, before) = (object["status"]["lastPhaseTransitionTime"], old["status"]["lastPhaseTransitionTime"])
        if object["status"]["phase"] == old["status"]["phase"] {
            if time.isNull { object["status"]["lastPhaseTransitionTime"] = before }
        } else if time.isNull || time == before {
            object["status"]["lastPhaseTransitionTime"] = .string(Timestamp.now().rfc3339)
        }
    }

    package func validate(_ object: Node) -> [FieldError] {
        let (spec, path) = (object["spec"], PodStrategy.specPath)
        var findings = Findings()
        if spec["accessModes"].isEmpty { findings.required(path.child("accessModes")) }
        ClaimRules.known(spec["accessModes"].stringList, path, &findings)
        ClaimRules.exclusive(spec["accessModes"].stringList, path, &findings)
        let capacity = spec["capacity"]
        if capacity.isEmpty { findings.required(path.child("capacity")) }
        if !capacity.has("storage") || capacity.fields.count > 1 {
            findings.notSupported(path.child("capacity"), raw: capacity, ["storage"])
        }
        for (name, value) in capacity.fields {
            if let amount = PodRequests.quantity(value), amount.sign <= 0 {
                findings.invalid(path.child("capacity").entry(name), .string(amount.description), Findings.notPositive)
            }
        }
        let required = spec["nodeAffinity"]["required"]
        if !spec["nodeAffinity"].isNull {
            let at = path.child("nodeAffinity").child("required")
            if required.isNull { findings.required(at, "must specify required node constraints") } else { findings.nodeSelector(required, at) }
        }
        source(spec, path, &findings)
        if let name = spec["storageClassName"].string, !name.isEmpty { findings.format(path.child("storageClassName"), name, NameFormat.dnsSubdomain) }
        return findings.errors
    }

    private func source(_ spec: Node, _ path: NodePath, _ findings: inout Findings) {
        let given = PersistentVolumeStrategy.sources.filter { !spec[$0].isNull }
        if given.isEmpty { findings.required(path, "must specify a volume type") }
        for extra in given.dropFirst() { findings.forbidden(path.child(extra), "may not specify more than 1 volume type") }
        guard let kind = given.first else { return }
        let (source, at) = (spec[kind], path.child(kind))
        switch kind {
        case "hostPath":
            if source["path"].isEmpty { findings.required(at.child("path")) } else { findings.noBackSteps(at.child("path"), source["path"].string ?? "") }
            if source["path"].string == "/", spec["persistentVolumeReclaimPolicy"].string == "Recycle" {
                findings.forbidden(path.child("persistentVolumeReclaimPolicy"), "may not be 'recycle' for a hostPath mount of '/'")
            }
        case "local":
            if source["path"].isEmpty { findings.required(at.child("path")) } else { findings.noBackSteps(at.child("path"), source["path"].string ?? "") }
            if spec["nodeAffinity"]["required"].isNull { findings.required(path.child("nodeAffinity"), "Local volume requires node affinity") }
        case "csi":
            findings.driver(at.child("driver"), source["driver"])
            findings.present(at.child("volumeHandle"), source["volumeHandle"])
        case "nfs":
            findings.present(at.child("server"), source["server"])
            findings.present(at.child("path"), source["path"])
        default: break
        }
    }

    package func validateUpdate(_ object: Node, old: Node, subresource: String) -> [FieldError] {
        guard subresource.isEmpty else { return [] }
        var findings = Findings()
        for kind in PersistentVolumeStrategy.sources where object["spec"][kind] != old["spec"][kind] {
            var new = object["spec"][kind]
            let before = old["spec"][kind]
            if kind == "csi", before["controllerExpandSecretRef"].isNull { new["controllerExpandSecretRef"] = .null }
            if new != before {
                findings.forbidden(NodePath([.key("spec.persistentvolumesource")]), "spec.persistentvolumesource is immutable after creation")
                break
            }
        }
        findings.immutable(NodePath([.key("volumeMode")]), object["spec"]["volumeMode"], old["spec"]["volumeMode"])
        let (affinity, before) = (object["spec"]["nodeAffinity"], old["spec"]["nodeAffinity"])
        if !before.isNull, PersistentVolumeStrategy.renewed(before) != PersistentVolumeStrategy.renewed(affinity) {
            findings.invalid(NodePath([.key("nodeAffinity")]), affinity, "\(ObjectMeta.immutableMessage), except for updating from beta label to GA")
        }
        return findings.errors
    }

    private static let renewedKeys = [
        "failure-domain.beta.kubernetes.io/zone": "topology.kubernetes.io/zone", "failure-domain.beta.kubernetes.io/region": "topology.kubernetes.io/region",
        "beta.kubernetes.io/instance-type": "node.kubernetes.io/instance-type", "beta.kubernetes.io/os": "kubernetes.io/os",
        "beta.kubernetes.io/arch": "kubernetes.io/arch",
    ]

    /// With the names that labels have today.
    private static func renewed(_ affinity: Node) -> Node {
        var out = affinity
        guard case .list(var terms) = affinity["required"]["nodeSelectorTerms"] else { return out }
        for term in terms.indices {
            guard case .list(var expressions) = terms[term]["matchExpressions"] else { continue }
            for index in expressions.indices {
                if let key = expressions[index]["key"].string, let name = renewedKeys[key] { expressions[index]["key"] = .string(name) }
            }
            terms[term]["matchExpressions"] = .list(expressions)
        }
        out["required"]["nodeSelectorTerms"] = .list(terms)
        return out
    }
}
