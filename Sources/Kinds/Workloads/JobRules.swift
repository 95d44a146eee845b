import Machinery
import Tree

/// The rules of a job's specification, its own or a cron job's template of one.
enum JobRules {
    static func errors(_ spec: Node, at path: NodePath) -> [FieldError] {
        var findings = Findings()
        findings.nonNegative(
            path,
            fields: [
                "parallelism", "completions", "activeDeadlineSeconds", "backoffLimit", "ttlSecondsAfterFinished", "backoffLimitPerIndex", "maxFailedIndexes",
            ], of: spec)
        if !spec["maxFailedIndexes"].isNull, spec["backoffLimitPerIndex"].isNull {
            findings.required(path.child("backoffLimitPerIndex"), "when maxFailedIndexes is specified")
        }
        if spec["completionMode"].string == "Indexed" {
            indexed(spec, path, &findings)
        } else {
            for field in ["backoffLimitPerIndex", "maxFailedIndexes"] where !spec[field].isNull {
                findings.invalid(path.child(field), spec[field], "requires indexed completion mode")
            }
            if !spec["successPolicy"].isNull { findings.invalid(path.child("successPolicy"), spec["successPolicy"], "requires indexed completion mode") }
        }
        failurePolicy(spec, path.child("podFailurePolicy"), &findings)
        if !spec["podFailurePolicy"].isNull, spec["podReplacementPolicy"].string == "TerminatingOrFailed" {
            findings.notSupported(path.child("podReplacementPolicy"), "TerminatingOrFailed", ["Failed"])
        }
        findings.add(PodTemplateRules.errors(spec["template"], at: path.child("template")))
        let policy = spec["template"]["spec"]["restartPolicy"].string ?? ""
        let at = path.child("template").child("spec").child("restartPolicy")
        if policy == "Always" || policy.isEmpty {
            findings.required(at, "valid values: \"OnFailure\", \"Never\"")
        } else if policy != "OnFailure", policy != "Never" {
            findings.notSupported(at, policy, ["OnFailure", "Never"])
        } else if !spec["podFailurePolicy"].isNull, policy != "Never" {
            findings.invalid(at, .string(policy), "only \"Never\" is supported when podFailurePolicy is specified")
        }
        return findings.errors
    }

    private static func indexed(_ spec: Node, _ path: NodePath, _ findings: inout Findings) {
        let (completions, failed, parallelism) = (spec["completions"].int, spec["maxFailedIndexes"].int, spec["parallelism"].int)
        if completions == nil { findings.required(path.child("completions"), "when completion mode is Indexed") }
        if let parallelism, parallelism > 100_000 {
            findings.invalid(path.child("parallelism"), .int(parallelism), "must be less than or equal to 100000 when completion mode is Indexed")
        }
        if let completions, let failed, failed > completions {
            findings.invalid(path.child("maxFailedIndexes"), .int(failed), "must be less than or equal to completions")
        }
        if let failed, failed > 100_000 { findings.invalid(path.child("maxFailedIndexes"), .int(failed), "must be less than or equal to 100000") }
        guard let completions, completions > 100_000, !spec["backoffLimitPerIndex"].isNull else { return }
        let limit = "must be less than or equal to 10000 when completions are above 100000 and used with backoff limit per index"
        if failed == nil { findings.required(path.child("maxFailedIndexes"), "must be specified when completions is above 100000") }
        if let parallelism, parallelism > 10_000 { findings.invalid(path.child("parallelism"), .int(parallelism), limit) }
        if let failed, failed > 10_000 { findings.invalid(path.child("maxFailedIndexes"), .int(failed), limit) }
    }

    private static func failurePolicy(_ spec: Node, _ path: NodePath, _ findings: inout Findings) {
        let rules = spec["podFailurePolicy"]["rules"].list
        if rules.count > 20 { findings.add(.tooMany("\(path.child("rules"))", actual: rules.count, limit: 20)) }
        for (index, rule) in rules.enumerated() {
            let at = path.child("rules").element(index)
            let action = rule["action"].string ?? ""
            if action.isEmpty { findings.required(at.child("action"), "valid values: [\"Count\" \"FailIndex\" \"FailJob\" \"Ignore\"]") }
            if action == "FailIndex", spec["backoffLimitPerIndex"].isNull {
                findings.invalid(at.child("action"), .string(action), "requires the backoffLimitPerIndex to be set")
            }
            let (codes, conditions) = (rule["onExitCodes"], rule["onPodConditions"].list)
            if codes.isNull, conditions.isEmpty { findings.invalid(at, rule, "specifying one of OnExitCodes and OnPodConditions is required") }
            if !codes.isNull, !conditions.isEmpty { findings.invalid(at, rule, "specifying both OnExitCodes and OnPodConditions is not supported") }
            guard !codes.isNull else { continue }
            let values = codes["values"].list
            if values.isEmpty { findings.invalid(at.child("onExitCodes").child("values"), .list(values), "at least one value is required") }
            if codes["operator"].string == "In", let zero = values.firstIndex(of: 0) {
                findings.invalid(at.child("onExitCodes").child("values").element(zero), 0, "must not be 0 for the In operator")
            }
        }
    }
}
