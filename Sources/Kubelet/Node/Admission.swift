import Machinery
import Tree

/// Whether this node takes a pod that was bound to it. Pure.
enum Admission {
    static func check(_ pod: PodView, node: NodeConfiguration, labels: [String: String], others: [PodView]) -> PodRejection? {
        for (key, value) in pod.spec["nodeSelector"].stringMap where labels[key] != value {
            return PodRejection(
                reason: "NodeAffinity",
                message: "Pod was rejected: Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector")
        }
        if let os = pod.spec["os"]["name"].string, os != "linux" {
            return PodRejection(
                reason: "PodOSNotSupported", message: "Pod was rejected: Failed to admit pod because node OS doesn't match pod.spec.os.name")
        }
        if !clashes(pod, others).isEmpty {
            return PodRejection(
                reason: "NodePorts", message: "Pod was rejected: Predicate NodePorts failed: node(s) didn't have free ports for the requested pod ports")
        }
        for name in ["cpu", "memory", "pods"] {
            guard let allocatable = node.allocatable[name] else { continue }
            let wanted = name == "pods" ? Quantity(1) : request(pod, name)
            guard name == "pods" || !wanted.isZero else { continue }
            let used = others.reduce(Quantity.zero) { $0 + (name == "pods" ? Quantity(1) : request($1, name)) }
            guard used + wanted > allocatable else { continue }
            let unit: (Quantity) -> Int64 = { name == "cpu" ? $0.milliValue : $0.value }
            return PodRejection(
                reason: "OutOf\(name)",
                message: "Pod was rejected: Node didn't have enough resource: \(name), requested: \(unit(wanted)), used: \(unit(used)), capacity: \(unit(allocatable))")
        }
        return nil
    }

    /// Host ports that others have. Programs on the host's network have theirs as host ports too.
    static func clashes(_ pod: PodView, _ others: [PodView]) -> [PodPort] {
        let taken = others.flatMap(PodPort.all)
        return PodPort.all(pod).filter { port in taken.contains { $0.clashes(port) } }
    }

    /// Whether the node has what a pod that runs on it asks for now.
    static func resize(_ pod: PodView, node: NodeConfiguration, others: [PodView]) -> ResizeVerdict {
        for name in ["cpu", "memory"] {
            guard let allocatable = node.allocatable[name] else { continue }
            let wanted = request(pod, name)
            let unit: (Quantity) -> Int64 = { name == "cpu" ? $0.milliValue : $0.value }
            if wanted > allocatable {
                return .infeasible(message: "Node didn't have enough capacity: \(name), requested: \(unit(wanted)), capacity: \(unit(allocatable))")
            }
            let used = others.reduce(Quantity.zero) { $0 + request($1, name) }
            if used + wanted > allocatable {
                return .deferred(
                    message: "Node didn't have enough resource: \(name), requested: \(unit(wanted)), used: \(unit(used)), capacity: \(unit(allocatable))")
            }
        }
        return .granted
    }

    /// What a pod asks for at most at one time.
    static func request(_ pod: PodView, _ name: String) -> Quantity {
        if let own = Amount.quantity(pod.spec["resources"]["requests"][name]) { return own }
        func amount(_ container: Node) -> Quantity { Amount.quantity(container["resources"]["requests"][name]) ?? .zero }
        var total = (pod.containers + pod.sidecars).reduce(Quantity.zero) { $0 + amount($1) }
        for container in pod.initContainers where amount(container) > total { total = amount(container) }
        if let overhead = Amount.quantity(pod.spec["overhead"][name]) { total += overhead }
        return total
    }
}
