import Core
package import Machinery
package import Tree

/// Stateful sets: little of the specification changes once pods and claims carry their names.
package struct StatefulSetStrategy: KindStrategy {
    package init() {}
    package var traits: KindTraits {
        var traits = KindTraits()
        traits.hasGeneration = true
        traits.nameRule = .dnsLabel
        traits.uncheckedFields = ["spec.updateStrategy.type"]
        return traits
    }

    package func setDefaults(_ object: inout Node) {
        PodDefaults.applyToSpec(&object["spec"]["template"]["spec"])
        if object["spec"]["podManagementPolicy"].isEmpty { object["spec"]["podManagementPolicy"] = "OrderedReady" }
        if object["spec"]["updateStrategy"]["type"].isEmpty {
            object["spec"]["updateStrategy"]["type"] = "RollingUpdate"
            if object["spec"]["updateStrategy"]["rollingUpdate"].isNull { object["spec"]["updateStrategy"]["rollingUpdate"] = .emptyMap }
        }
        if object["spec"]["updateStrategy"]["type"].string == "RollingUpdate", !object["spec"]["updateStrategy"]["rollingUpdate"].isNull,
            object["spec"]["updateStrategy"]["rollingUpdate"]["partition"].isNull
        {
            object["spec"]["updateStrategy"]["rollingUpdate"]["partition"] = 0
        }
        for field in ["whenDeleted", "whenScaled"] where object["spec"]["persistentVolumeClaimRetentionPolicy"][field].isEmpty {
            object["spec"]["persistentVolumeClaimRetentionPolicy"][field] = "Retain"
        }
        guard case .list(var claims) = object["spec"]["volumeClaimTemplates"] else { return }
        for index in claims.indices {
            if claims[index]["status"]["phase"].isEmpty { claims[index]["status"]["phase"] = "Pending" }
            claims[index]["apiVersion"] = "v1"
            claims[index]["kind"] = "PersistentVolumeClaim"
        }
        object["spec"]["volumeClaimTemplates"] = .list(claims)
    }

    /// Upstream's gate for more than one pod at once is off.
    package func prepareCreate(_ object: inout Node) { dropSurplus(&object) }
    package func prepareUpdate(_ object: inout Node, old: Node, subresource: String) {
        if old["spec"]["updateStrategy"]["rollingUpdate"]["maxUnavailable"].isNull { dropSurplus(&object) }
    }

    private func dropSurplus(_ object: inout Node) {
        guard !object["spec"]["updateStrategy"]["rollingUpdate"].isNull else { return }
        object["spec"]["updateStrategy"]["rollingUpdate"].remove("maxUnavailable")
    }

    package func validate(_ object: Node) -> [FieldError] {
        let (spec, path) = (object["spec"], PodStrategy.specPath)
        var findings = Findings()
        if let policy = spec["podManagementPolicy"].string, !["OrderedReady", "Parallel"].contains(policy) {
            findings.invalid(path.child("podManagementPolicy"), .string(policy), "must be 'OrderedReady' or 'Parallel'")
        }
        strategy(spec["updateStrategy"], path.child("updateStrategy"), &findings)
        for field in ["whenDeleted", "whenScaled"] {
            findings.oneOf(path.child("persistentVolumeClaimRetentionPolicy").child(field), spec["persistentVolumeClaimRetentionPolicy"][field], ["Retain", "Delete"])
        }
        findings.nonNegative(path, fields: ["replicas", "minReadySeconds"], of: spec)
        findings.nonNegative(path.child("ordinals.start"), spec["ordinals"]["start"])
        if object.revision == 0, let service = spec["serviceName"].string, !service.isEmpty {
            findings.format(path.child("serviceName"), service, NameFormat.dnsLabel)
        }
        for (index, claim) in spec["volumeClaimTemplates"].list.enumerated() {
            findings.add(ClaimRules.specErrors(claim["spec"], at: path.child("volumeClaimTemplates").element(index).child("spec")))
        }
        findings.add(PodTemplateRules.selectorErrors(spec["selector"], at: path.child("selector"), kind: "statefulset"))
        template(spec, path.child("template"), &findings)
        return findings.errors
    }

    /// The claims' volumes, the hostname and the subdomain are set on each pod: the template need not have them.
    private func template(_ spec: Node, _ path: NodePath, _ findings: inout Findings) {
        var template = spec["template"]
        guard LabelSelector.errors(spec["selector"], at: path).isEmpty else {
            return findings.invalid(PodStrategy.specPath.child("selector"), spec["selector"], "")
        }
        findings.add(PodTemplateRules.mismatch(LabelSelector(object: spec["selector"]), template, at: path))
        template["spec"].remove("hostname")
        template["spec"].remove("subdomain")
        var names: [Node] = []
        for claim in spec["volumeClaimTemplates"].list where !names.contains(claim["metadata"]["name"]) { names.append(claim["metadata"]["name"]) }
        var volumes = names.map { name -> Node in ["name": name, "persistentVolumeClaim": ["claimName": name]] }
        volumes += template["spec"]["volumes"].list.filter { !names.contains($0["name"]) }
        if !volumes.isEmpty { template["spec"]["volumes"] = .list(volumes) }
        findings.add(PodTemplateRules.errors(template, at: path))
        // Upstream looks at these twice.
        findings.add(ObjectMeta.labelErrors(template["metadata"]["labels"], at: path.child("labels")))
        findings.add(ObjectMeta.annotationErrors(template["metadata"]["annotations"], at: path.child("annotations")))
        findings.add(PodTemplateRules.alwaysErrors(template, at: path, kind: "StatefulSet"))
    }

    private func strategy(_ strategy: Node, _ path: NodePath, _ findings: inout Findings) {
        let rolling = strategy["rollingUpdate"]
        let at = path.child("rollingUpdate")
        switch strategy["type"].string {
        case "OnDelete":
            if !rolling.isNull { findings.invalid(at, GoStruct.shown(rolling, "apps/v1.RollingUpdateStatefulSetStrategy"), "only allowed for updateStrategy 'RollingUpdate'") }
        case "RollingUpdate":
            findings.nonNegative(at, fields: ["partition"], of: rolling)
            guard !rolling["maxUnavailable"].isNull else { return }
            findings.amountOrPercent(at.child("maxUnavailable"), rolling["maxUnavailable"])
            if Findings.number(rolling["maxUnavailable"]) == 0 { findings.invalid(at.child("maxUnavailable"), rolling["maxUnavailable"], "cannot be 0") }
            findings.atMostAll(at.child("maxUnavailable"), rolling["maxUnavailable"])
        default: findings.invalid(path, GoStruct.shown(strategy, "apps/v1.StatefulSetUpdateStrategy"), "must be 'RollingUpdate' or 'OnDelete'")
        }
    }

    package func warnings(_ object: Node, old: Node?) -> [String] {
        let template = PodWarnings.ofTemplate(object, old: old)
        guard let limit = object["spec"]["revisionHistoryLimit"].int, limit < 0 else { return template }
        return template + ["spec.revisionHistoryLimit: a negative value retains all historical revisions; a value >= 0 is recommended"]
    }

    private static let changeable = [
        "replicas", "template", "updateStrategy", "minReadySeconds", "ordinals", "revisionHistoryLimit", "persistentVolumeClaimRetentionPolicy",
    ]

    package func validateUpdate(_ object: Node, old: Node, subresource: String) -> [FieldError] {
        guard subresource.isEmpty else { return [] }
        var spec = object["spec"]
        for field in StatefulSetStrategy.changeable { spec[field] = old["spec"][field] }
        if spec == old["spec"] { return [] }
        return [
            .forbidden(
                "spec",
                "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden"
            )
        ]
    }
}
