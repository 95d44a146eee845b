import Kinds
import Machinery
import Tree

/// The rules of a Job's `podFailurePolicy` against a failed pod.
enum FailureRule {
    struct Judgement: Equatable {
        /// Nil where no rule matched.
        var action: String?
        /// Whether the failure counts against the limits.
        var counts: Bool { action != "Ignore" }
        /// Why the whole Job fails with the pod, where it does.
        var message: String?
    }

    /// The first rule that matches decides.
    static func judge(_ pod: Node, by rules: [Node]) -> Judgement {
        for (index, rule) in rules.enumerated() {
            guard let what = match(rule, pod) else { continue }
            let action = rule["action"].string ?? ""
            return Judgement(action: action, message: action == "FailJob" ? "\(what) matching FailJob rule at index \(index)" : nil)
        }
        return Judgement()
    }

    /// What of the pod a rule matches; nil where it does not.
    private static func match(_ rule: Node, _ pod: Node) -> String? {
        let codes = rule["onExitCodes"]
        if !codes.isNull {
            for status in pod["status"]["containerStatuses"].list + pod["status"]["initContainerStatuses"].list {
                let name = status["name"].string ?? ""
                if let wanted = codes["containerName"].string, wanted != name { continue }
                guard let code = status["state"]["terminated"]["exitCode"].int, code != 0 else { continue }
                let isListed = codes["values"].list.contains { $0.int == code }
                guard isListed == (codes["operator"].string == "In") else { continue }
                return "Container \(name) for pod \(pod.namespace)/\(pod.name) failed with exit code \(code)"
            }
            return nil
        }
        for condition in pod["status"]["conditions"].list {
            for pattern in rule["onPodConditions"].list
            where pattern["type"] == condition["type"] && condition["status"].string == pattern["status"].string ?? "True" {
                return "Pod \(pod.namespace)/\(pod.name) has condition \(condition["type"].string ?? "")"
            }
        }
        return nil
    }
}
