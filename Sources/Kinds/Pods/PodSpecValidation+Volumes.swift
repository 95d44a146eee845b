import Machinery
import Tree

extension PodSpecValidation {
    /// The sources in upstream's order, which decides which of two is the one too many.
    private static let sources: [String] = [
        "emptyDir", "hostPath", "gitRepo", "gcePersistentDisk", "awsElasticBlockStore", "secret", "nfs", "iscsi", "glusterfs", "flocker",
        "persistentVolumeClaim", "rbd", "cinder", "cephfs", "quobyte", "downwardAPI", "fc", "flexVolume", "configMap", "azureFile", "vsphereVolume",
        "photonPersistentDisk", "portworxVolume", "azureDisk", "storageos", "projected", "scaleIO", "csi", "ephemeral", "image",
    ]

    mutating func checkVolumes() {
        let path = path.child("volumes")
        for (index, volume) in spec["volumes"].list.enumerated() {
            let at = path.element(index)
            let before = findings.errors.count
            let name = volume["name"].string ?? ""
            volumeIndex = index
            source(of: volume, at)
            findings.named(at.child("name"), volume["name"], NameFormat.dnsLabel)
            if volumes.contains(name) { findings.duplicate(at.child("name"), name) }
            if findings.errors.count == before { volumes.insert(name) }
        }
    }

    private mutating func source(of volume: Node, _ path: NodePath) {
        var isFirst = true
        for kind in PodSpecValidation.sources where !volume[kind].isNull {
            guard isFirst else {
                findings.forbidden(path.child(kind), "may not specify more than 1 volume type")
                continue
            }
            isFirst = false
            source(kind, volume[kind], path.child(kind), volume)
        }
        if isFirst { findings.required(path, "must specify a volume type") }
    }

    private mutating func source(_ kind: String, _ source: Node, _ path: NodePath, _ volume: Node) {
        switch kind {
        case "emptyDir":
            if let limit = PodRequests.quantity(source["sizeLimit"]), limit.sign < 0 {
                findings.forbidden(path.child("sizeLimit"), "SizeLimit field must be a valid resource quantity")
            }
        case "hostPath":
            if source["path"].isEmpty { findings.required(path.child("path")) } else { findings.noBackSteps(path.child("path"), source["path"].string ?? "") }
        case "secret":
            findings.present(path.child("secretName"), source["secretName"])
            items(source, path)
        case "configMap":
            findings.present(path.child("name"), source["name"])
            items(source, path)
        case "persistentVolumeClaim":
            findings.present(path.child("claimName"), source["claimName"])
            let made = spec["volumes"].list.contains { !$0["ephemeral"].isNull && source["claimName"].string == "\(podName)-\($0["name"].string ?? "")" }
            if !podName.isEmpty, made {
                findings.invalid(path.child("claimName"), source["claimName"], "must not reference a PVC that gets created for an ephemeral volume")
            }
        case "nfs":
            findings.present(path.child("server"), source["server"])
            findings.present(path.child("path"), source["path"])
            let text = source["path"].string ?? ""
            if !text.hasPrefix("/") { findings.invalid(path.child("path"), .string(text), "must be an absolute path") }
        case "downwardAPI":
            findings.fileMode(path.child("defaultMode"), source["defaultMode"])
            // Upstream names the volume here, not the item.
            for file in source["items"].list { downwardFile(file, path) }
        case "projected": projected(source, path)
        case "csi":
            findings.driver(path.child("driver"), source["driver"])
            if !source["nodePublishSecretRef"].isNull, source["nodePublishSecretRef"]["name"].isEmpty {
                findings.required(path.child("nodePublishSecretRef").child("name"))
            }
        case "ephemeral": ephemeral(source, path, volume)
        case "image":
            if isPod { findings.present(path.child("reference"), source["reference"]) }
        default: break
        }
    }

    private mutating func ephemeral(_ source: Node, _ path: NodePath, _ volume: Node) {
        let template = source["volumeClaimTemplate"]
        if template.isNull { return findings.required(path.child("volumeClaimTemplate")) }
        findings.add(ClaimRules.specErrors(template["spec"], at: path.child("volumeClaimTemplate").child("spec")))
        guard !podName.isEmpty, let name = volume["name"].string, !name.isEmpty else { return }
        let claim = "\(podName)-\(name)"
        for problem in NameFormat.dnsSubdomain(claim) {
            findings.invalid(self.path.child("volumes").element(volumeIndex).child("name"), .string(name), "PVC name \(FieldError.quoted(claim)): \(problem)")
        }
    }

    // MARK: - Files

    private mutating func items(_ source: Node, _ path: NodePath) {
        findings.fileMode(path.child("defaultMode"), source["defaultMode"])
        for (index, item) in source["items"].list.enumerated() { keyToPath(item, path.child("items").element(index)) }
    }

    private mutating func keyToPath(_ item: Node, _ path: NodePath) {
        findings.present(path.child("key"), item["key"])
        findings.present(path.child("path"), item["path"])
        findings.unreserved(path.child("path"), item["path"].string ?? "")
        findings.fileMode(path.child("mode"), item["mode"])
    }

    private mutating func downwardFile(_ file: Node, _ path: NodePath) {
        findings.present(path.child("path"), file["path"])
        findings.unreserved(path.child("path"), file["path"].string ?? "")
        if !file["fieldRef"].isNull {
            volumeFieldReference(file["fieldRef"], path.child("fieldRef"))
            if !file["resourceFieldRef"].isNull { findings.invalid(path, "resource", "fieldRef and resourceFieldRef can not be specified simultaneously") }
        } else if !file["resourceFieldRef"].isNull {
            resourceReference(file["resourceFieldRef"], path.child("resourceFieldRef"), needsContainer: true)
        } else {
            findings.required(path, "one of fieldRef and resourceFieldRef is required")
        }
        findings.fileMode(path.child("mode"), file["mode"])
    }

    private mutating func projected(_ source: Node, _ path: NodePath) {
        findings.fileMode(path.child("defaultMode"), source["defaultMode"])
        var paths: Set<String> = []
        for (index, one) in source["sources"].list.enumerated() {
            let at = path.child("sources").element(index)
            let kinds = ["secret", "configMap", "downwardAPI", "serviceAccountToken", "clusterTrustBundle", "podCertificate"].filter { !one[$0].isNull }
            for kind in kinds { projection(kind, one[kind], at.child(kind), path, &paths) }
            if kinds.count > 1 { findings.forbidden(at, "may not specify more than 1 volume type per source") }
        }
    }

    private mutating func projection(_ kind: String, _ source: Node, _ path: NodePath, _ volume: NodePath, _ paths: inout Set<String>) {
        var targets: [String] = []
        switch kind {
        case "secret", "configMap":
            findings.present(path.child("name"), source["name"])
            for (index, item) in source["items"].list.enumerated() { keyToPath(item, path.child("items").element(index)) }
            targets = source["items"].list.compactMap { $0["path"].string }
        case "downwardAPI":
            for file in source["items"].list { downwardFile(file, volume) }
            targets = source["items"].list.compactMap { $0["path"].string }
        case "serviceAccountToken":
            if isPod, spec["serviceAccountName"].isEmpty { findings.forbidden(path, "must not be specified when serviceAccountName is not set") }
            if let seconds = source["expirationSeconds"].int {
                if seconds < 600 { findings.invalid(path.child("expirationSeconds"), .int(seconds), "may not specify a duration less than 10 minutes") }
                if seconds > 1 << 32 { findings.invalid(path.child("expirationSeconds"), .int(seconds), "may not specify a duration larger than 2^32 seconds") }
            }
            findings.present(volume.child("path"), source["path"])
            findings.unreserved(volume.child("path"), source["path"].string ?? "")
        default: break
        }
        for target in targets where !target.isEmpty {
            if !paths.insert(target).inserted { findings.invalid(volume, source["name"], "conflicting duplicate paths") }
        }
    }
}

/// Names of volume drivers.
enum CSIFormat {
    static func driverName(_ name: String) -> [String] { NameFormat.dnsSubdomain(name.lowercased()) }
}

extension Findings {
    /// The name of a volume driver, which must be there.
    mutating func driver(_ path: NodePath, _ value: Node) {
        if let name = value.string, name.utf8.count > 63 { add(.tooLong("\(path)", limit: 63)) }
        named(path, value, CSIFormat.driverName)
    }
}
