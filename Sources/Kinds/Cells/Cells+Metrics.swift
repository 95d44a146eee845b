import Machinery
import Tree

extension KindCells {
    /// As the metrics server prints them: name, what is used, and over which time.
    static let metrics: [String: Row] = [
        "metrics.k8s.io/NodeMetrics": { object, _ in
            let usage = PodRequests.amounts(object["usage"])
            return [Cell.name(object), amount(usage["cpu"]), amount(usage["memory"]), text(object["window"])]
        },
        "metrics.k8s.io/PodMetrics": { object, _ in
            var total: [String: Quantity] = [:]
            for container in object["containers"].list { PodRequests.add(PodRequests.amounts(container["usage"]), to: &total) }
            return [Cell.name(object), amount(total["cpu"]), amount(total["memory"]), text(object["window"])]
        },
    ]

    private static func amount(_ quantity: Quantity?) -> Node { .string((quantity ?? .zero).description) }
}
