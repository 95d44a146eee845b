package import Core
import Machinery
package import Tree

/// A pod as controllers read it: the questions that upstream's podutil answers, answered the same way.
package struct PodView: Sendable {
    package let node: Node
    package init(_ node: Node) { self.node = node }

    package var name: String { node.name }
    package var phase: String { node["status"]["phase"].string ?? "" }
    /// Empty until it is bound.
    package var nodeName: String { node["spec"]["nodeName"].string ?? "" }
    package var isTerminal: Bool { phase == "Succeeded" || phase == "Failed" }
    package var isActive: Bool { !isTerminal && !node.isBeingDeleted }
    package var isTerminating: Bool { !isTerminal && node.isBeingDeleted }
    package var isReady: Bool { PodConditions.isTrue(node, "Ready") }

    package var readySince: Timestamp? {
        guard let condition = PodConditions.get(node, "Ready"), condition["status"].string == "True" else { return nil }
        return condition["lastTransitionTime"].string.flatMap { Timestamp(rfc3339: $0) }
    }

    /// Ready for at least that long.
    package func isAvailable(minReadySeconds: Int64, now: Timestamp) -> Bool {
        guard isReady else { return false }
        guard minReadySeconds > 0 else { return true }
        guard let since = readySince else { return false }
        return since + .seconds(minReadySeconds) <= now
    }

    /// How long until a ready pod becomes available; nil when it is already, or is not ready.
    package func untilAvailable(minReadySeconds: Int64, now: Timestamp) -> Duration? {
        guard minReadySeconds > 0, let since = readySince else { return nil }
        let left = (since + .seconds(minReadySeconds)) - now
        return left > .zero ? left : nil
    }

    package var restarts: Int64 { node["status"]["containerStatuses"].list.map { $0["restartCount"].int ?? 0 }.max() ?? 0 }
    package var deletionCost: Int64 { node.annotations["controller.kubernetes.io/pod-deletion-cost"].flatMap { Int64($0) } ?? 0 }

    /// All addresses, the primary one first.
    package var addresses: [String] {
        let all = node["status"]["podIPs"].list.compactMap { $0["ip"].string }.filter { !$0.isEmpty }
        if all.isEmpty, let one = node["status"]["podIP"].string, !one.isEmpty { return [one] }
        return all
    }

    package var priority: Int64 { node["spec"]["priority"].int ?? 0 }

    /// The number of a container port by its name and protocol; init containers that go on running count.
    package func port(named name: String, protocol wanted: String) -> Int64? {
        let sidecars = node["spec"]["initContainers"].list.filter { $0["restartPolicy"].string == "Always" }
        for container in node["spec"]["containers"].list + sidecars {
            for port in container["ports"].list where port["name"].string == name && (port["protocol"].string ?? "TCP") == wanted {
                return port["containerPort"].int
            }
        }
        return nil
    }
}

/// A number, or a share of another number in percent.
package enum IntOrPercent {
    /// What a field such as `maxSurge` means for a total; nil where it is neither a number nor a percentage.
    package static func resolve(_ value: Node, of total: Int64, roundUp: Bool) -> Int64? {
        if let number = value.int { return number }
        guard let text = value.string, text.hasSuffix("%"), let percent = Int64(text.dropLast()) else { return nil }
        let product = percent * total
        return roundUp ? (product + 99) / 100 : product / 100
    }
}
