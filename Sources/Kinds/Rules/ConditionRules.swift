import Machinery
import Tree

/// Conditions of the common form, as statuses of newer kinds have them.
enum ConditionRules {
    static func errors(_ conditions: Node, at path: NodePath) -> [FieldError] {
        var findings = Findings()
        var seen: Set<String> = []
        for (index, condition) in conditions.list.enumerated() {
            let at = path.element(index)
            let type = condition["type"].string ?? ""
            if !seen.insert(type).inserted { findings.duplicate(at.child("type"), type) }
            findings.format(at.child("type"), type, NameFormat.qualifiedName)
            let status = condition["status"].string ?? ""
            if !["False", "True", "Unknown"].contains(status) { findings.notSupported(at.child("status"), status, ["False", "True", "Unknown"]) }
            findings.nonNegative(at, fields: ["observedGeneration"], of: condition)
            findings.present(at.child("lastTransitionTime"), condition["lastTransitionTime"])
            let reason = condition["reason"].string ?? ""
            if reason.isEmpty {
                findings.required(at.child("reason"))
            } else if reason.wholeMatch(of: /[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?/) == nil {
                findings.invalid(at.child("reason"), .string(reason), unreasonable)
            }
            if reason.utf8.count > 1024 { findings.add(.tooLong("\(at.child("reason"))", limit: 1024)) }
            if (condition["message"].string ?? "").utf8.count > 32 << 10 { findings.add(.tooLong("\(at.child("message"))", limit: 32 << 10)) }
        }
        return findings.errors
    }

    private static let unreasonable =
        "a condition reason must start with alphabetic character, optionally followed by a string of alphanumeric characters or '_,:', and must end with an alphanumeric character or '_' (e.g. 'my_name',  or 'MY_NAME',  or 'MyName',  or 'ReasonA,ReasonB',  or 'ReasonA:ReasonB', regex used for validation is '[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?')"
}
