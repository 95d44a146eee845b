import Core
package import Machinery
package import Tree

/// Pods: nearly nothing of a running pod's specification can change, and a deletion gives its containers time to end.
package struct PodStrategy: KindStrategy {
    package init() {}

    package var traits: KindTraits {
        var traits = KindTraits()
        // Upstream's paths are those of the volume.
        traits.uncheckedFields = [
            "spec.volumes.downwardAPI.items.path", "spec.volumes.downwardAPI.items.fieldRef.fieldPath",
            "spec.volumes.projected.sources.serviceAccountToken.path",
            "spec.containers.livenessProbe.httpGet.httpHeaders.name", "spec.containers.readinessProbe.httpGet.httpHeaders.name",
            "spec.containers.startupProbe.httpGet.httpHeaders.name",
        ]
        traits.hasGeneration = true
        traits.resetFields["status"] = ["spec", "metadata.deletionTimestamp", "metadata.ownerReferences"]
        traits.returnsDeletedObject = true
        traits.gracePeriod = { pod, asked in
            let phase = pod["status"]["phase"].string
            if pod["spec"]["nodeName"].isEmpty || phase == "Succeeded" || phase == "Failed" { return 0 }
            let period = asked ?? pod["spec"]["terminationGracePeriodSeconds"].int ?? 0
            return period < 0 ? 1 : period
        }
        return traits
    }

    package func setDefaults(_ object: inout Node) { PodDefaults.applyToPod(&object) }

    package func prepareCreate(_ object: inout Node) {
        object["status"] = ["phase": "Pending", "qosClass": .string(PodQuality.of(object["spec"]))]
        if !object["spec"]["schedulingGates"].isEmpty {
            object["status"]["conditions"] = [
                [
                    "type": "PodScheduled", "status": "False", "reason": "SchedulingGated", "message": "Scheduling is blocked due to non-empty scheduling gates",
                    "lastTransitionTime": object["metadata"]["creationTimestamp"],
                ]
            ]
        }
        // Less than no time is a second.
        if let period = object["spec"]["terminationGracePeriodSeconds"].int, period < 0 { object["spec"]["terminationGracePeriodSeconds"] = 1 }
        PodLabelKeys.resolve(&object)
    }

    package func prepareUpdate(_ object: inout Node, old: Node, subresource: String) {
        switch subresource {
        case "status": prepareStatus(&object, old: old)
        case "ephemeralcontainers":
            let containers = object["spec"]["ephemeralContainers"]
            keepAllBut(&object, old)
            object["spec"]["ephemeralContainers"] = containers
        case "resize": prepareResize(&object, old: old)
        case "": object["status"] = old["status"]
        default: break
        }
    }

    private func prepareStatus(_ object: inout Node, old: Node) {
        object["spec"] = old["spec"]
        object["metadata"]["deletionTimestamp"] = old["metadata"]["deletionTimestamp"]
        // Old kubelets corrupt owners in a way that breaks garbage collection.
        object["metadata"]["ownerReferences"] = old["metadata"]["ownerReferences"]
        if object["status"]["qosClass"].isEmpty { object["status"]["qosClass"] = old["status"]["qosClass"] }
        if object["status"]["observedGeneration"].isEmpty { object["status"]["observedGeneration"] = old["status"]["observedGeneration"] }
        guard case .list(var conditions) = object["status"]["conditions"] else { return }
        for index in conditions.indices where conditions[index]["observedGeneration"].isEmpty {
            let before = old["status"]["conditions"].list.first { $0["type"] == conditions[index]["type"] }
            if let generation = before?["observedGeneration"], !generation.isEmpty { conditions[index]["observedGeneration"] = generation }
        }
        object["status"]["conditions"] = .list(conditions)
    }

    /// The old object, with the revision and the managers of the new one.
    private func keepAllBut(_ object: inout Node, _ old: Node) {
        let (revision, managers) = (object["metadata"]["resourceVersion"], object["metadata"]["managedFields"])
        object = old
        object["metadata"]["resourceVersion"] = revision
        object["metadata"]["managedFields"] = managers
    }

    private func prepareResize(_ object: inout Node, old: Node) {
        let new = object["spec"]
        let lists = ["containers", "initContainers"]
        // Containers that come, go or move are left for validation to refuse.
        for list in lists where new[list].list.map({ $0["name"] }) != old["spec"][list].list.map({ $0["name"] }) { return }
        keepAllBut(&object, old)
        object["spec"]["resources"] = new["resources"]
        for list in lists {
            guard case .list(var containers) = object["spec"][list] else { continue }
            for index in containers.indices {
                containers[index]["resources"] = new[list][index]["resources"]
                containers[index]["resizePolicy"] = new[list][index]["resizePolicy"]
            }
            object["spec"][list] = .list(containers)
        }
    }

    // MARK: - Validation

    package func validate(_ object: Node) -> [FieldError] {
        let spec = object["spec"]
        var findings = Findings()
        findings.add(PodSpecValidation.errors(spec, at: Self.specPath, isPod: true, podName: object.name))
        // Only what was never stored has no revision.
        guard object.revision == 0 else { return findings.errors }
        if !spec["ephemeralContainers"].isEmpty { findings.forbidden(Self.specPath.child("ephemeralContainers"), "cannot be set on create") }
        if !spec["nodeName"].isEmpty, !spec["schedulingGates"].isEmpty {
            findings.forbidden(Self.specPath.child("nodeName"), "cannot be set until all schedulingGates have been cleared")
        }
        return findings.errors
    }

    static let specPath = NodePath([.key("spec")])

    package func validateUpdate(_ object: Node, old: Node, subresource: String) -> [FieldError] {
        switch subresource {
        case "": return PodUpdate.errors(object, old: old)
        case "ephemeralcontainers":
            return PodSpecValidation.errors(object["spec"], at: Self.specPath, isPod: true, podName: object.name) + PodUpdate.ephemeralErrors(object, old: old)
        case "resize":
            return PodSpecValidation.errors(object["spec"], at: Self.specPath, isPod: true, podName: object.name) + PodUpdate.resizeErrors(object, old: old)
        case "status":
            var findings = Findings()
            let path = NodePath([.key("status"), .key("podIPs")])
            let told = object["status"]["podIPs"].list.map { $0["ip"].string ?? "" }
            let addresses = told.isEmpty ? [object["status"]["podIP"].string].compactMap { $0 } : told
            for (index, address) in addresses.enumerated() where !address.isEmpty { findings.format(path.element(index), address, AddressFormat.address) }
            return findings.errors
        default: return []
        }
    }

    package func warnings(_ object: Node, old: Node?) -> [String] {
        guard old == nil else { return [] }
        var warnings: [String] = []
        let problems = NameFormat.dnsLabel(object.name)
        if !problems.isEmpty {
            let shown = "[" + problems.joined(separator: " ") + "]"
            warnings.append("metadata.name: this is used in the Pod's hostname, which can result in surprising behavior; a DNS label is recommended: \(shown)")
        }
        return warnings + PodWarnings.of(object["spec"], at: Self.specPath)
    }
}

/// `matchLabelKeys` and their opposite become requirements of the selector when the pod is made, so that the scheduler sees one thing.
enum PodLabelKeys {
    static func resolve(_ pod: inout Node) {
        let labels = pod.labels
        for field in ["podAffinity", "podAntiAffinity"] where !pod["spec"]["affinity"][field].isNull {
            edit(&pod["spec"]["affinity"][field]["requiredDuringSchedulingIgnoredDuringExecution"]) { resolve(&$0, labels) }
            edit(&pod["spec"]["affinity"][field]["preferredDuringSchedulingIgnoredDuringExecution"]) { term in
                if !term["podAffinityTerm"].isNull { resolve(&term["podAffinityTerm"], labels) }
            }
        }
        if !pod["spec"]["topologySpreadConstraints"].isNull { edit(&pod["spec"]["topologySpreadConstraints"]) { resolve(&$0, labels) } }
    }

    private static func edit(_ list: inout Node, _ change: (inout Node) -> Void) {
        guard case .list(var items) = list else { return }
        for index in items.indices { change(&items[index]) }
        list = .list(items)
    }

    private static func resolve(_ term: inout Node, _ labels: [String: String]) {
        guard !term["labelSelector"].isNull else { return }
        for (field, operation) in [("matchLabelKeys", "In"), ("mismatchLabelKeys", "NotIn")] {
            for key in term[field].stringList {
                guard let value = labels[key] else { continue }
                term["labelSelector"]["matchExpressions"].append(["key": .string(key), "operator": .string(operation), "values": [.string(value)]])
            }
        }
    }
}
