package import Machinery
package import Tree

/// What a pod asks for, all containers together, as scheduling and quotas count it.
package enum PodRequests {
    /// `field` is `requests` or `limits`.
    package static func total(_ pod: Node, _ field: String = "requests") -> [String: Quantity] {
        let spec = pod["spec"]
        var total: [String: Quantity] = [:]
        for container in spec["containers"].list { add(amounts(container["resources"][field]), to: &total) }
        // Init containers run one after another, beside the sidecars that were started before them.
        var sidecars: [String: Quantity] = [:]
        var peak: [String: Quantity] = [:]
        for container in spec["initContainers"].list {
            var needed = amounts(container["resources"][field])
            if container["restartPolicy"].string == "Always" {
                add(needed, to: &sidecars)
                needed = sidecars
            } else {
                add(sidecars, to: &needed)
            }
            raise(&peak, to: needed)
        }
        add(sidecars, to: &total)
        raise(&total, to: peak)
        for (name, amount) in amounts(spec["resources"][field]) { total[name] = amount }
        if field == "requests" || !total.isEmpty { add(amounts(spec["overhead"]), to: &total) }
        return total
    }

    package static func amounts(_ list: Node) -> [String: Quantity] {
        var out: [String: Quantity] = [:]
        for (name, value) in list.fields { if let amount = quantity(value) { out[name] = amount } }
        return out
    }

    package static func quantity(_ value: Node) -> Quantity? {
        if let number = value.int { return Quantity(number) }
        guard let text = value.string else { return nil }
        return try? Quantity(parsing: text)
    }

    package static func add(_ amounts: [String: Quantity], to total: inout [String: Quantity]) {
        for (name, amount) in amounts { total[name] = (total[name] ?? .zero) + amount }
    }

    private static func raise(_ total: inout [String: Quantity], to amounts: [String: Quantity]) {
        for (name, amount) in amounts where amount > (total[name] ?? .zero) { total[name] = amount }
    }
}
