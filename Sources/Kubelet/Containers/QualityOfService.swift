import Machinery
import Tree

/// How a pod shares the node with others: from the requests and limits of its containers.
enum QualityOfService: String, Sendable {
    case guaranteed = "Guaranteed"
    case burstable = "Burstable"
    case bestEffort = "BestEffort"

    init(_ spec: Node) {
        let own = spec["resources"]
        let parts = own.has("requests") || own.has("limits") ? [own] : (spec["containers"].list + spec["initContainers"].list).map { $0["resources"] }
        var isNothing = true
        var isExact = true
        for resources in parts {
            for name in ["cpu", "memory"] {
                let request = QualityOfService.positive(resources["requests"][name])
                let limit = QualityOfService.positive(resources["limits"][name])
                if request != nil || limit != nil { isNothing = false }
                if limit == nil || (request ?? limit) != limit { isExact = false }
            }
        }
        self = isNothing ? .bestEffort : isExact ? .guaranteed : .burstable
    }

    private static func positive(_ node: Node) -> Quantity? {
        guard let quantity = Amount.quantity(node), quantity.sign > 0 else { return nil }
        return quantity
    }

    /// The part of the cgroup path below `kubepods`; guaranteed pods stand directly there.
    var group: String? {
        switch self {
        case .guaranteed: nil
        case .burstable: "burstable"
        case .bestEffort: "besteffort"
        }
    }
}

/// Amounts of resources out of a spec.
enum Amount {
    static func quantity(_ node: Node) -> Quantity? {
        switch node {
        case .string(let text): try? Quantity(parsing: text)
        case .int(let value): Quantity(value)
        case .double(let value): try? Quantity(parsing: "\(value)")
        default: nil
        }
    }
    static func bytes(_ node: Node) -> Int64? { quantity(node)?.value }
    static func milli(_ node: Node) -> Int64? { quantity(node)?.milliValue }
}
