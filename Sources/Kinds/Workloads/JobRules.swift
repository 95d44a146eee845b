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
        }
        successPolicy(spec, path.child("successPolicy"), &findings)
        failurePolicy(spec, path.child("podFailurePolicy"), &findings)
        if let policy = spec["podReplacementPolicy"].string {
            let known = spec["podFailurePolicy"].isNull ? ["Failed", "TerminatingOrFailed"] : ["Failed"]
            if !known.contains(policy) { findings.notSupported(path.child("podReplacementPolicy"), policy, known) }
        }
        if let manager = spec["managedBy"].string {
            let at = path.child("managedBy")
            findings.add(FieldError.domainPrefixedPath(manager, at: "\(at)"))
            if manager.utf8.count > 63 { findings.add(.tooLong("\(at)", limit: 63)) }
        }
        findings.add(PodTemplateRules.errors(spec["template"], at: path.child("template")))
        let policy = spec["template"]["spec"]["restartPolicy"].string ?? ""
        let at = path.child("template").child("spec").child("restartPolicy")
        if !policy.isEmpty, !["Always", "OnFailure", "Never"].contains(policy) { findings.notSupported(at, policy, ["Always", "OnFailure", "Never"]) }
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
            let names = ["containers", "initContainers"].flatMap { spec["template"]["spec"][$0].list }.map { $0["name"].string ?? "" }
            if !codes.isNull { exitCodes(codes, at.child("onExitCodes"), names, &findings) }
            for (step, condition) in conditions.enumerated() {
                let at = at.child("onPodConditions").element(step)
                findings.format(at.child("type"), condition["type"].string ?? "", NameFormat.qualifiedName)
                findings.oneOf(at.child("status"), condition["status"], ["False", "True", "Unknown"])
            }
            // Upstream shows nothing of the rule here.
            if codes.isNull, conditions.isEmpty { findings.add(.invalid("\(at)", "specifying one of OnExitCodes and OnPodConditions is required")) }
            if !codes.isNull, !conditions.isEmpty { findings.add(.invalid("\(at)", "specifying both OnExitCodes and OnPodConditions is not supported")) }
        }
    }

    private static func exitCodes(_ codes: Node, _ path: NodePath, _ names: [String], _ findings: inout Findings) {
        let operation = codes["operator"].string ?? ""
        if operation.isEmpty {
            findings.required(path.child("operator"), "valid values: [\"In\" \"NotIn\"]")
        } else if operation != "In", operation != "NotIn" {
            findings.notSupported(path.child("operator"), operation, ["In", "NotIn"])
        }
        if let name = codes["containerName"].string, !names.contains(name) {
            findings.invalid(path.child("containerName"), .string(name), "must be one of the container or initContainer names in the pod template")
        }
        let (values, at) = (codes["values"].list, path.child("values"))
        if values.isEmpty {
            findings.invalid(at, codes["values"], "at least one value is required")
        } else if values.count > 255 {
            findings.add(.tooMany("\(at)", actual: values.count, limit: 255))
        }
        var seen: Set<Int64> = []
        var isOrdered = true
        for (index, value) in values.enumerated() {
            let number = value.int ?? 0
            if operation == "In", number == 0 { findings.invalid(at.element(index), 0, "must not be 0 for the In operator") }
            if !seen.insert(number).inserted {
                findings.add(.duplicate("\(at.element(index))", value.jsonText))
            } else if index > 0, (values[index - 1].int ?? 0) > number {
                isOrdered = false
            }
        }
        if !isOrdered { findings.invalid(at, .list(values), "must be ordered") }
    }

    // MARK: - Success

    private static func successPolicy(_ spec: Node, _ path: NodePath, _ findings: inout Findings) {
        let policy = spec["successPolicy"]
        guard !policy.isNull else { return }
        guard spec["completionMode"].string == "Indexed" else {
            let rules = policy["rules"].list.map { rule -> Node in
                ["SucceededIndexes": rule["succeededIndexes"], "SucceededCount": rule["succeededCount"]]
            }
            let shown: Node = ["Rules": rules.isEmpty ? .null : .list(rules)]
            findings.invalid(path, shown, "requires indexed completion mode")
            return
        }
        let rules = policy["rules"].list
        if rules.isEmpty { findings.required(path.child("rules"), "at least one rules must be specified when the successPolicy is specified") }
        if rules.count > 20 { findings.add(.tooMany("\(path.child("rules"))", actual: rules.count, limit: 20)) }
        for (index, rule) in rules.enumerated() { success(rule, spec, path.child("rules").element(index), &findings) }
    }

    private static func success(_ rule: Node, _ spec: Node, _ path: NodePath, _ findings: inout Findings) {
        let (indexes, count) = (rule["succeededIndexes"].string, rule["succeededCount"].int)
        if indexes == nil, count == nil { return findings.required(path, "at least one of succeededCount or succeededIndexes must be specified") }
        var total: Int64 = 0
        let completions = spec["completions"].int ?? 0
        if let indexes {
            let at = path.child("succeededIndexes")
            if indexes.utf8.count > 64 * 1024 { findings.add(.tooLong("\(at)", limit: 64 * 1024)) }
            switch IndexIntervals.count(indexes, completions) {
            case .success(let number): total = number
            case .failure(let problem): findings.invalid(at, .string(indexes), "error parsing succeededIndexes: \(problem.words)")
            }
        }
        guard let count else { return }
        let at = path.child("succeededCount")
        if count < 0 { findings.invalid(at, .int(count), Findings.negative) }
        if count > completions { findings.invalid(at, .int(count), "must be less than or equal to \(completions) (the number of specified completions)") }
        if indexes != nil, count > total {
            findings.invalid(at, .int(count), "must be less than or equal to \(total) (the number of indexes in the specified succeededIndexes field)")
        }
    }
}

/// Lists of indexes such as `1,3-5`, in order and without overlap.
enum IndexIntervals {
    struct Problem: Error { let words: String }

    static func count(_ text: String, _ completions: Int64) -> Result<Int64, Problem> {
        if text.isEmpty { return .success(0) }
        var total: Int64 = 0
        var last: Int64?
        for part in text.split(separator: ",", omittingEmptySubsequences: false) {
            let bounds = part.split(separator: "-", omittingEmptySubsequences: false)
            if bounds.count > 2 {
                return .failure(Problem(words: "the fragment \"\(part)\" violates the requirement that an index interval can have at most two parts separated by '-'"))
            }
            var numbers: [Int64] = []
            for bound in bounds {
                guard let number = Int64(bound) else { return .failure(Problem(words: "cannot convert string to integer for index: \"\(bound)\"")) }
                if number >= completions { return .failure(Problem(words: "too large index: \"\(bound)\"")) }
                numbers.append(number)
            }
            if let last, last >= numbers[0] { return .failure(Problem(words: "non-increasing order, previous: \(last), current: \(numbers[0])")) }
            if numbers.count == 2, numbers[0] >= numbers[1] {
                return .failure(Problem(words: "non-increasing order, previous: \(numbers[0]), current: \(numbers[1])"))
            }
            total += (numbers.last ?? 0) - numbers[0] + 1
            last = numbers.last
        }
        return .success(total)
    }
}
