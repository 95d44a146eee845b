import Core
package import Machinery
package import Tree

/// Deployments: a selector that stays, a strategy that can move, pods that run for good.
package struct DeploymentStrategy: KindStrategy {
    package init() {}
    package var traits: KindTraits {
        var traits = KindTraits()
        traits.hasGeneration = true
        // What controllers write through the status does not count: they write annotations there.
        traits.generationCounts = ["annotations"]
        traits.statusKeeps = ["labels"]
        traits.resetFields["status"] = ["spec", "metadata.labels"]
        traits.uncheckedFields = ["spec.strategy.type"]
        return traits
    }

    package func setDefaults(_ object: inout Node) {
        PodDefaults.applyToSpec(&object["spec"]["template"]["spec"])
        if object["spec"]["strategy"]["type"].isEmpty { object["spec"]["strategy"]["type"] = "RollingUpdate" }
        guard object["spec"]["strategy"]["type"].string == "RollingUpdate" else { return }
        for field in ["maxUnavailable", "maxSurge"] where object["spec"]["strategy"]["rollingUpdate"][field].isNull {
            object["spec"]["strategy"]["rollingUpdate"][field] = "25%"
        }
    }

    package func validate(_ object: Node) -> [FieldError] {
        let (spec, path) = (object["spec"], PodStrategy.specPath)
        var findings = Findings()
        findings.nonNegative(path, fields: ["replicas"], of: spec)
        findings.add(PodTemplateRules.selectorErrors(spec["selector"], at: path.child("selector"), kind: "deployment"))
        if let failure = PodTemplateRules.selectorFailure(spec["selector"], at: path.child("selector"), "invalid label selector") {
            findings.add(failure)
        } else {
            findings.add(PodTemplateRules.mismatch(LabelSelector(object: spec["selector"]), spec["template"], at: path.child("template")))
            findings.add(PodTemplateRules.errors(spec["template"], at: path.child("template")))
            findings.add(PodTemplateRules.alwaysErrors(spec["template"], at: path.child("template"), kind: "ReplicaSet"))
        }
        strategy(spec["strategy"], path.child("strategy"), &findings)
        findings.nonNegative(path, fields: ["minReadySeconds", "revisionHistoryLimit", "progressDeadlineSeconds"], of: spec)
        if let deadline = spec["progressDeadlineSeconds"].int, deadline <= spec["minReadySeconds"].int ?? 0 {
            findings.invalid(path.child("progressDeadlineSeconds"), .int(deadline), "must be greater than minReadySeconds")
        }
        return findings.errors
    }

    private func strategy(_ strategy: Node, _ path: NodePath, _ findings: inout Findings) {
        let rolling = strategy["rollingUpdate"]
        switch strategy["type"].string {
        case "Recreate":
            if !rolling.isNull { findings.forbidden(path.child("rollingUpdate"), "may not be specified when strategy `type` is 'Recreate'") }
        case "RollingUpdate":
            let at = path.child("rollingUpdate")
            findings.amountOrPercent(at.child("maxUnavailable"), rolling["maxUnavailable"])
            findings.amountOrPercent(at.child("maxSurge"), rolling["maxSurge"])
            if Findings.number(rolling["maxUnavailable"]) == 0, Findings.number(rolling["maxSurge"]) == 0 {
                findings.invalid(at.child("maxUnavailable"), rolling["maxUnavailable"], "may not be 0 when `maxSurge` is 0")
            }
            findings.atMostAll(at.child("maxUnavailable"), rolling["maxUnavailable"])
        default: findings.notSupported(path, raw: GoStruct.shown(strategy, "apps/v1.DeploymentStrategy"), ["Recreate", "RollingUpdate"])
        }
    }

    package func validateUpdate(_ object: Node, old: Node, subresource: String) -> [FieldError] {
        guard subresource.isEmpty else { return [] }
        var findings = Findings()
        findings.immutable(PodStrategy.specPath.child("selector"), object["spec"]["selector"], old["spec"]["selector"])
        return findings.errors
    }

    package func warnings(_ object: Node, old: Node?) -> [String] {
        PodWarnings.ofTemplate(object, old: old)
    }
}

/// Replica sets and replication controllers, which differ in how they select.
package struct ReplicaStrategy: KindStrategy {
    private let isController: Bool
    package init(isController: Bool = false) { self.isController = isController }

    package var traits: KindTraits {
        var traits = KindTraits()
        traits.hasGeneration = true
        traits.orphansByDefault = isController
        if isController { traits.nameRule = .longName }
        return traits
    }

    package func setDefaults(_ object: inout Node) {
        if isController {
            let labels = object["spec"]["template"]["metadata"]["labels"]
            if !labels.isEmpty {
                if object["spec"]["selector"].isEmpty { object["spec"]["selector"] = labels }
                if object["metadata"]["labels"].isEmpty { object["metadata"]["labels"] = labels }
            }
            guard !object["spec"]["template"].isNull else { return }
        }
        PodDefaults.applyToSpec(&object["spec"]["template"]["spec"])
    }

    package func validate(_ object: Node) -> [FieldError] {
        let (spec, path) = (object["spec"], PodStrategy.specPath)
        let template = path.child("template")
        var findings = Findings()
        findings.nonNegative(path, fields: ["replicas", "minReadySeconds"], of: spec)
        if isController {
            if spec["selector"].isEmpty { findings.required(path.child("selector")) }
            if spec["template"].isNull {
                findings.required(template)
                return findings.errors
            }
            findings.add(PodTemplateRules.mismatch(LabelSelector(equals: spec["selector"].stringMap), spec["template"], at: template))
        } else {
            // Upstream names the deployment here too.
            findings.add(PodTemplateRules.selectorErrors(spec["selector"], at: path.child("selector"), kind: "deployment"))
            if let failure = PodTemplateRules.selectorFailure(spec["selector"], at: path.child("selector"), "invalid label selector") {
                return findings.errors + [failure]
            }
            findings.add(PodTemplateRules.mismatch(LabelSelector(object: spec["selector"]), spec["template"], at: template))
        }
        findings.add(PodTemplateRules.errors(spec["template"], at: template))
        findings.add(PodTemplateRules.alwaysErrors(spec["template"], at: template, kind: isController ? "ReplicationController" : "ReplicaSet"))
        return findings.errors
    }

    package func warnings(_ object: Node, old: Node?) -> [String] { PodWarnings.ofTemplate(object, old: old) }

    package func validateUpdate(_ object: Node, old: Node, subresource: String) -> [FieldError] {
        var findings = Findings()
        if subresource == "status" {
            statusErrors(object["status"], &findings)
        } else if subresource.isEmpty, !isController {
            findings.immutable(PodStrategy.specPath.child("selector"), object["spec"]["selector"], old["spec"]["selector"])
        }
        return findings.errors
    }

    private func statusErrors(_ status: Node, _ findings: inout Findings) {
        let path = NodePath([.key("status")])
        let all = ["fullyLabeledReplicas", "readyReplicas", "availableReplicas"]
        findings.nonNegative(path, fields: ["replicas"] + all + ["observedGeneration"], of: status)
        let replicas = status["replicas"].int ?? 0
        for field in all where (status[field].int ?? 0) > replicas {
            findings.invalid(path.child(field), status[field], "cannot be greater than status.replicas")
        }
        if (status["availableReplicas"].int ?? 0) > (status["readyReplicas"].int ?? 0) {
            findings.invalid(path.child("availableReplicas"), status["availableReplicas"], "cannot be greater than readyReplicas")
        }
    }
}

/// Daemon sets: one pod a node, replaced by surge or by absence, never both.
package struct DaemonSetStrategy: KindStrategy {
    package init() {}
    package var traits: KindTraits {
        var traits = KindTraits()
        traits.hasGeneration = true
        traits.updateChecks = .changesFirst
        traits.hiddenAnnotations = [DaemonSetStrategy.generationKey]
        traits.uncheckedFields = ["spec.updateStrategy.type"]
        return traits
    }

    package func setDefaults(_ object: inout Node) {
        // A field of upstream's own, which every object of its shows.
        if object.annotations[DaemonSetStrategy.generationKey] == nil { count(&object, 0) }
        PodDefaults.applyToSpec(&object["spec"]["template"]["spec"])
        if object["spec"]["updateStrategy"]["type"].isEmpty { object["spec"]["updateStrategy"]["type"] = "RollingUpdate" }
        guard object["spec"]["updateStrategy"]["type"].string == "RollingUpdate" else { return }
        for (field, value) in [("maxUnavailable", Int64(1)), ("maxSurge", 0)] where object["spec"]["updateStrategy"]["rollingUpdate"][field].isNull {
            object["spec"]["updateStrategy"]["rollingUpdate"][field] = .int(value)
        }
    }

    package func prepareCreate(_ object: inout Node) { count(&object, 1) }

    package func warnings(_ object: Node, old: Node?) -> [String] { PodWarnings.ofTemplate(object, old: old) }

    package func prepareUpdate(_ object: inout Node, old: Node, subresource: String) {
        let before = old.annotations[DaemonSetStrategy.generationKey].flatMap { Int64($0) } ?? 0
        guard subresource.isEmpty else { return count(&object, before) }
        // The template's generation is the server's to count.
        count(&object, object["spec"]["template"] == old["spec"]["template"] ? before : before + 1)
    }

    private static let generationKey = "deprecated.daemonset.template.generation"
    private func count(_ object: inout Node, _ generation: Int64) {
        object["metadata"]["annotations"][DaemonSetStrategy.generationKey] = .string("\(generation)")
    }

    package func validate(_ object: Node) -> [FieldError] {
        let (spec, path) = (object["spec"], PodStrategy.specPath)
        let template = path.child("template")
        var findings = Findings()
        let problems = LabelSelector.errors(spec["selector"], at: path.child("selector"))
        findings.add(problems)
        let selector = LabelSelector(object: spec["selector"])
        if problems.isEmpty, !selector.matches(spec["template"]["metadata"]["labels"]) {
            findings.invalid(
                template.child("metadata").child("labels"), spec["template"]["metadata"]["labels"], "`selector` does not match template `labels`")
        }
        if !spec["selector"].isNull, selector.isEverything { findings.invalid(path.child("selector"), spec["selector"], "empty selector is invalid for daemonset") }
        findings.add(PodTemplateRules.errors(spec["template"], at: template))
        findings.add(PodTemplateRules.alwaysErrors(spec["template"], at: template, kind: "DaemonSet"))
        findings.nonNegative(path, fields: ["minReadySeconds"], of: spec)
        let strategy = spec["updateStrategy"]
        switch strategy["type"].string {
        case "RollingUpdate": rolling(strategy["rollingUpdate"], path.child("updateStrategy").child("rollingUpdate"), &findings)
        case "OnDelete": break
        default:
            let shown = GoStruct.shown(strategy, "apps/v1.DaemonSetUpdateStrategy")
            findings.notSupported(path.child("updateStrategy"), raw: shown, ["RollingUpdate", "OnDelete"])
        }
        findings.nonNegative(path, fields: ["revisionHistoryLimit"], of: spec)
        return findings.errors
    }

    private func rolling(_ rolling: Node, _ path: NodePath, _ findings: inout Findings) {
        for field in ["maxUnavailable", "maxSurge"] { findings.amountOrPercent(path.child(field), rolling[field]) }
        for field in ["maxUnavailable", "maxSurge"] { findings.atMostAll(path.child(field), rolling[field]) }
        let (absent, surplus) = (Findings.number(rolling["maxUnavailable"]) != 0, Findings.number(rolling["maxSurge"]) != 0)
        if absent, surplus { findings.invalid(path.child("maxSurge"), rolling["maxSurge"], "may not be set when maxUnavailable is non-zero") }
        if !absent, !surplus { findings.required(path.child("maxUnavailable"), "cannot be 0 when maxSurge is 0") }
    }

    package func validateUpdate(_ object: Node, old: Node, subresource: String) -> [FieldError] {
        guard subresource.isEmpty else { return [] }
        var findings = Findings()
        findings.immutable(PodStrategy.specPath.child("selector"), object["spec"]["selector"], old["spec"]["selector"])
        return findings.errors
    }
}
