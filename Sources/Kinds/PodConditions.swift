package import Core
package import Tree

/// The conditions of a pod's status, each type at most once.
package enum PodConditions {
    package static func get(_ pod: Node, _ type: String) -> Node? {
        pod["status"]["conditions"].list.first { $0["type"].string == type }
    }

    package static func isTrue(_ pod: Node, _ type: String) -> Bool { get(pod, type)?["status"].string == "True" }

    /// Sets a condition; its transition time moves only when its status changes. True when anything changed.
    @discardableResult
    package static func set(_ object: inout Node, type: String, status: String, reason: String = "", message: String = "", now: Timestamp = .now()) -> Bool {
        var conditions = object["status"]["conditions"].list
        var condition: Node = ["type": .string(type), "status": .string(status)]
        if !reason.isEmpty { condition["reason"] = .string(reason) }
        if !message.isEmpty { condition["message"] = .string(message) }
        if let index = conditions.firstIndex(where: { $0["type"].string == type }) {
            let old = conditions[index]
            if !old["observedGeneration"].isNull { condition["observedGeneration"] = old["observedGeneration"] }
            condition["lastProbeTime"] = old["lastProbeTime"]
            let changed = old["status"].string != status
            condition["lastTransitionTime"] = changed ? .string(now.rfc3339) : old["lastTransitionTime"]
            if condition == old { return false }
            conditions[index] = condition
        } else {
            condition["lastTransitionTime"] = .string(now.rfc3339)
            conditions.append(condition)
        }
        object["status"]["conditions"] = .list(conditions)
        return true
    }
}
