import Machinery
import Tree

/// What holds for the pod templates of all workloads.
enum PodTemplateRules {
    /// The template itself, wherever it stands.
    static func errors(_ template: Node, at path: NodePath) -> [FieldError] {
        var findings = Findings()
        findings.add(ObjectMeta.labelErrors(template["metadata"]["labels"], at: path.child("labels")))
        findings.add(ObjectMeta.annotationErrors(template["metadata"]["annotations"], at: path.child("annotations")))
        findings.add(PodSpecValidation.errors(template["spec"], at: path.child("spec"), isPod: false))
        if !template["spec"]["ephemeralContainers"].isEmpty {
            findings.forbidden(path.child("spec").child("ephemeralContainers"), "ephemeral containers not allowed in pod template")
        }
        return findings.errors
    }

    /// Sets whose pods run for good.
    static func alwaysErrors(_ template: Node, at path: NodePath, kind: String) -> [FieldError] {
        var findings = Findings()
        let spec = path.child("spec")
        let policy = template["spec"]["restartPolicy"].string ?? ""
        if policy != "Always" { findings.notSupported(spec.child("restartPolicy"), policy, ["Always"]) }
        if !template["spec"]["activeDeadlineSeconds"].isNull {
            findings.forbidden(spec.child("activeDeadlineSeconds"), "activeDeadlineSeconds in \(kind) is not Supported")
        }
        return findings.errors
    }

    static func mismatch(_ selector: LabelSelector, _ template: Node, at path: NodePath) -> [FieldError] {
        guard !selector.isEverything, !selector.matches(template["metadata"]["labels"]) else { return [] }
        let labels = template["metadata"]["labels"]
        return [
            .invalid(
                "\(path.child("metadata").child("labels"))", ObjectMeta.shown(labels), "`selector` does not match template `labels`")
        ]
    }

    /// A selector that cannot be compiled; the template is then not looked at.
    static func selectorFailure(_ selector: Node, at path: NodePath, _ words: String) -> FieldError? {
        LabelSelector.errors(selector, at: path).isEmpty ? nil : .invalid("\(path)", ObjectMeta.shown(selector), words)
    }

    /// A selector that must be there and say something.
    static func selectorErrors(_ selector: Node, at path: NodePath, kind: String) -> [FieldError] {
        if selector.isNull { return [.required("\(path)")] }
        var errors = LabelSelector.errors(selector, at: path)
        if selector["matchLabels"].isEmpty, selector["matchExpressions"].isEmpty {
            errors.append(.invalid("\(path)", ObjectMeta.shown(selector), "empty selector is invalid for \(kind)"))
        }
        return errors
    }
}
