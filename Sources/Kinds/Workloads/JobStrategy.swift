import Core
package import Machinery
package import Tree

/// Jobs: unless the client selects itself, the server labels the pods with the job's identity and selects those.
package struct JobStrategy: KindStrategy {
    package init() {}
    package var traits: KindTraits {
        var traits = KindTraits()
        traits.hasGeneration = true
        traits.orphansByDefault = true
        traits.sharesTemplateLabels = true
        traits.updateChecks = .contentTwice
        traits.deletionWarning =
            "child pods are preserved by default when jobs are deleted; set propagationPolicy=Background to remove them or set propagationPolicy=Orphan to suppress this warning"
        return traits
    }

    private static let nameKeys = ["job-name", "batch.kubernetes.io/job-name"]
    private static let uidKeys = ["controller-uid", "batch.kubernetes.io/controller-uid"]

    package func setDefaults(_ object: inout Node) {
        let spec = object["spec"]
        PodDefaults.applyToSpec(&object["spec"]["template"]["spec"])
        // A job that says nothing of either runs one pod once.
        if spec["completions"].isNull, spec["parallelism"].isNull { object["spec"]["completions"] = 1 }
        if spec["parallelism"].isNull { object["spec"]["parallelism"] = 1 }
        if spec["backoffLimit"].isNull { object["spec"]["backoffLimit"] = spec["backoffLimitPerIndex"].isNull ? 6 : .int(Int64(Int32.max)) }
        let labels = spec["template"]["metadata"]["labels"]
        if !labels.isEmpty, object["metadata"]["labels"].isEmpty { object["metadata"]["labels"] = labels }
        if spec["completionMode"].isNull { object["spec"]["completionMode"] = "NonIndexed" }
        if spec["suspend"].isNull { object["spec"]["suspend"] = false }
        if spec["podReplacementPolicy"].isNull {
            object["spec"]["podReplacementPolicy"] = spec["podFailurePolicy"].isNull ? "TerminatingOrFailed" : "Failed"
        }
        if spec["manualSelector"].isNull { object["spec"]["manualSelector"] = false }
    }

    package func prepareCreate(_ object: inout Node) {
        guard object["spec"]["manualSelector"].bool != true else { return }
        // Labels that the client set stay: validation refuses those that are wrong.
        func label(_ keys: [String], _ value: String) {
            for key in keys where !object["spec"]["template"]["metadata"]["labels"].has(key) {
                object["spec"]["template"]["metadata"]["labels"][key] = .string(value)
            }
        }
        label(JobStrategy.nameKeys, object.name)
        label(JobStrategy.uidKeys, object.uid)
        let key = JobStrategy.uidKeys[1]
        if !object["spec"]["selector"]["matchLabels"].has(key) { object["spec"]["selector"]["matchLabels"][key] = .string(object.uid) }
    }

    // MARK: - Validation

    package func validate(_ object: Node) -> [FieldError] {
        let (spec, path) = (object["spec"], PodStrategy.specPath)
        var findings = Findings()
        if object.revision == 0 { generatedSelector(object, &findings) }
        findings.add(JobRules.errors(spec, at: path))
        if spec["selector"].isNull {
            findings.required(path.child("selector"))
        } else {
            findings.add(LabelSelector.errors(spec["selector"], at: path.child("selector")))
        }
        findings.add(PodTemplateRules.mismatch(LabelSelector(object: spec["selector"]), spec["template"], at: path.child("template")))
        if object.revision == 0, spec["completionMode"].string == "Indexed", let count = spec["completions"].int, count > 0 {
            let last = "\(object.name)-\(count - 1)"
            if !NameFormat.dnsLabel(last).isEmpty {
                findings.add(.invalid("metadata.name", quoted: object.name, "will not able to create pod with invalid DNS label: \(last)"))
            }
        }
        return findings.errors
    }

    private func generatedSelector(_ object: Node, _ findings: inout Findings) {
        let spec = object["spec"]
        guard spec["manualSelector"].bool != true, !spec["selector"].isNull else { return }
        var expected: [String: String] = [:]
        let labels = spec["template"]["metadata"]["labels"].stringMap
        let pairs = [(JobStrategy.uidKeys[0], object.uid), (JobStrategy.nameKeys[0], object.name), (JobStrategy.uidKeys[1], object.uid), (JobStrategy.nameKeys[1], object.name)]
        for (key, value) in pairs {
            expected[key] = value
            let path = PodStrategy.specPath.child("template").child("metadata").child("labels")
            if labels[key] == nil {
                findings.required(path, "must be '\(value)'")
            } else if labels[key] != value {
                findings.invalid(path.entry(key), spec["template"]["metadata"]["labels"], "must be '\(value)'")
            }
        }
        if !LabelSelector(object: spec["selector"]).matches(expected) {
            findings.invalid(PodStrategy.specPath.child("selector"), spec["selector"], "`selector` not auto-generated")
        }
    }

    package func validateUpdate(_ object: Node, old: Node, subresource: String) -> [FieldError] {
        guard subresource.isEmpty else { return [] }
        let (spec, before, path) = (object["spec"], old["spec"], PodStrategy.specPath)
        var findings = Findings()
        if spec["completionMode"].string != "Indexed" {
            findings.immutable(path.child("completions"), spec["completions"], before["completions"])
        } else if spec["completions"] != before["completions"], !spec["completions"].isNull, spec["completions"] != spec["parallelism"] {
            findings.invalid(path.child("completions"), spec["completions"], "can only be modified in tandem with spec.parallelism")
        }
        findings.immutable(path.child("selector"), spec["selector"], before["selector"])
        template(spec, before, neverStarted: old["status"]["startTime"].isNull, path.child("template"), &findings)
        for field in ["completionMode", "podFailurePolicy", "backoffLimitPerIndex", "managedBy", "successPolicy"] {
            findings.immutable(path.child(field), spec[field], before[field])
        }
        return findings.errors
    }

    /// While a job is suspended and has not started, where its pods may go can still change.
    private func template(_ spec: Node, _ old: Node, neverStarted: Bool, _ path: NodePath, _ findings: inout Findings) {
        var before = old["template"]
        let template = spec["template"]
        if old["suspend"].bool == true {
            if neverStarted {
                for field in ["nodeSelector", "tolerations", "schedulingGates"] { before["spec"][field] = template["spec"][field] }
                for field in ["labels", "annotations"] { before["metadata"][field] = template["metadata"][field] }
                if !template["spec"]["affinity"]["nodeAffinity"].isNull || !before["spec"]["affinity"].isNull {
                    before["spec"]["affinity"]["nodeAffinity"] = template["spec"]["affinity"]["nodeAffinity"]
                    if before["spec"]["affinity"].isEmpty, template["spec"]["affinity"].isNull { before["spec"].remove("affinity") }
                }
            }
            for list in ["containers", "initContainers"] {
                guard case .list(var containers) = before["spec"][list], containers.count == template["spec"][list].list.count else { continue }
                for index in containers.indices { containers[index]["resources"] = template["spec"][list][index]["resources"] }
                before["spec"][list] = .list(containers)
            }
        }
        findings.immutable(path, template, before)
    }
}
