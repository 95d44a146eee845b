import Core
import Machinery
import Tree

/// Writing of status fields the way Go renders them.
extension Node {
    /// A number that is left out when it is 0.
    mutating func setCount(_ field: String, _ value: Int64) { self[field] = value == 0 ? .null : .int(value) }

    func condition(_ type: String) -> Node? { self["conditions"].list.first { $0["type"].string == type } }

    mutating func removeCondition(_ type: String) {
        let rest = self["conditions"].list.filter { $0["type"].string != type }
        self["conditions"] = rest.isEmpty ? .null : .list(rest)
    }

    /// Replaces a condition whose status, reason or message differs; its transition time moves with its status only.
    /// Written at the end of the list when `moves`, as the older controllers do.
    mutating func setCondition(
        _ type: String, _ status: String, reason: String, message: String, now: Timestamp, observedGeneration: Int64? = nil
    ) {
        var condition: Node = ["type": .string(type), "status": .string(status)]
        if let observedGeneration { condition["observedGeneration"] = .int(observedGeneration) }
        let old = self.condition(type)
        let isSame = old?["status"].string == status
        condition["lastTransitionTime"] = isSame ? (old?["lastTransitionTime"] ?? .string(now.rfc3339)) : .string(now.rfc3339)
        if !reason.isEmpty { condition["reason"] = .string(reason) }
        if !message.isEmpty { condition["message"] = .string(message) }
        var all = self["conditions"].list
        if let index = all.firstIndex(where: { $0["type"].string == type }) { all[index] = condition } else { all.append(condition) }
        self["conditions"] = .list(all)
    }
}

extension Node {
    /// The object with another status.
    func with(status: Node) -> Node {
        var copy = self
        copy["status"] = status
        return copy
    }

    var key: (String, String) { (namespace, name) }
    func time(_ field: String) -> Timestamp? { self[field].string.flatMap { Timestamp(rfc3339: $0) } }
}
