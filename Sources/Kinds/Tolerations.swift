package import Tree

/// Whether a pod bears what a node is tainted with.
package enum Tolerations {
    package static func tolerates(_ toleration: Node, _ taint: Node) -> Bool {
        let effect = toleration["effect"].string ?? ""
        if !effect.isEmpty, effect != taint["effect"].string { return false }
        let key = toleration["key"].string ?? ""
        if !key.isEmpty, key != taint["key"].string { return false }
        let value = toleration["value"].string ?? ""
        let other = taint["value"].string ?? ""
        switch toleration["operator"].string ?? "Equal" {
        case "", "Equal": return !key.isEmpty && value == other
        case "Exists": return true
        case "Lt", "Gt":
            guard let x = Int64(value), let y = Int64(other) else { return false }
            return toleration["operator"].string == "Lt" ? y < x : y > x
        default: return false
        }
    }

    /// The first taint of these effects that no toleration bears.
    package static func untolerated(_ taints: [Node], by tolerations: [Node], effects: Set<String>) -> Node? {
        taints.first { taint in
            effects.contains(taint["effect"].string ?? "") && !tolerations.contains { tolerates($0, taint) }
        }
    }
}
