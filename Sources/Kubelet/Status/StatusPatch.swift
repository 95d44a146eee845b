package import Tree

/// The strategic merge patch that brings a pod's status in the API to what the kubelet says, touching nobody else's conditions.
package enum StatusPatch {
    /// Nil where nothing differs.
    package static func make(uid: String, old: Node, new: Node) -> Node? {
        var patch: Node = [:]
        for (key, value) in new.fields where old[key] != value {
            switch key {
            case "conditions": if let list = conditions(old[key].list, value.list) { patch[key] = list }
            case "podIPs", "hostIPs": patch[key] = addresses(old[key].list, value.list)
            default: patch[key] = value
            }
        }
        // What only a kubelet writes and has no more.
        for key in ["reason", "message", "podIP"] where old.has(key) && !new.has(key) { patch.setNull(key) }
        if new["podIPs"].list.isEmpty, !old["podIPs"].list.isEmpty { patch["podIPs"] = addresses(old["podIPs"].list, []) }
        if patch.fields.isEmpty { return nil }
        return ["metadata": ["uid": .string(uid)], "status": patch]
    }

    /// Only those that differ; a field that went is said to go, since entries merge.
    private static func conditions(_ old: [Node], _ new: [Node]) -> Node? {
        var out: [Node] = []
        for condition in new {
            let before = old.first { $0["type"] == condition["type"] }
            if before == condition { continue }
            var entry = condition
            for (key, _) in before?.fields ?? Fields() where !condition.has(key) { entry.setNull(key) }
            out.append(entry)
        }
        for condition in old {
            guard let type = condition["type"].string, PodResize.conditionTypes.contains(type), !new.contains(where: { $0["type"].string == type }) else { continue }
            out.append(["type": .string(type), "$patch": "delete"])
        }
        return out.isEmpty ? nil : .list(out)
    }

    private static func addresses(_ old: [Node], _ new: [Node]) -> Node {
        let gone = old.filter { !new.contains($0) }.map { address -> Node in
            var entry = address
            entry["$patch"] = "delete"
            return entry
        }
        return .list(gone + new)
    }
}
