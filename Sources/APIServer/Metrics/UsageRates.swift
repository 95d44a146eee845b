package import Client
package import Core

/// Rates from counters: remembers the last sample of each node and container, and what came of it.
package struct UsageRates: Sendable {
    private struct ContainerName: Hashable { let uid: String; let name: String; let startedAt: Timestamp }

    /// What is younger than this is answered again as it is.
    package static let shortest: Duration = .seconds(5)
    /// A sample older than this says nothing of now.
    package static let longest: Duration = .seconds(120)

    private var nodes: [String: ResourceUsage] = [:]
    private var containers: [ContainerName: ResourceUsage] = [:]
    private var sampledAt: Timestamp?
    private var answer: [NodeUsage]?

    package init() {}

    /// The last answer while it is fresh.
    package func fresh(_ now: Timestamp) -> [NodeUsage]? {
        guard let answer, let sampledAt, now >= sampledAt, now - sampledAt < UsageRates.shortest else { return nil }
        return answer
    }

    /// Whether one more sample gives rates over a sensible time.
    package func hasBase(_ now: Timestamp) -> Bool {
        guard let sampledAt, now > sampledAt else { return false }
        return now - sampledAt <= UsageRates.longest
    }

    /// Takes a sample of all nodes. A node that is seen for the first time has no rate yet and is left out of the answer;
    /// a container that is new counts from its start. What is gone is forgotten.
    @discardableResult
    package mutating func add(_ sample: [NodeStats], now: Timestamp) -> [NodeUsage] {
        var nodes: [String: ResourceUsage] = [:]
        var containers: [ContainerName: ResourceUsage] = [:]
        var out: [NodeUsage] = []
        for stats in sample {
            nodes[stats.node] = stats.usage
            var pods: [NodeUsage.Pod] = []
            for pod in stats.pods {
                var window: Duration?
                var running: [NodeUsage.Container] = []
                for container in pod.containers {
                    let name = ContainerName(uid: pod.uid, name: container.name, startedAt: container.startedAt)
                    containers[name] = container.usage
                    let base = self.containers[name] ?? ResourceUsage(time: container.startedAt, cpuNanoseconds: 0, memoryWorkingSet: 0)
                    guard let rate = UsageRates.rate(base, container.usage) else { continue }
                    window = min(window ?? rate.window, rate.window)
                    running.append(NodeUsage.Container(name: container.name, usage: rate.usage))
                }
                if let window, !running.isEmpty { pods.append(NodeUsage.Pod(key: pod.key, uid: pod.uid, window: window, containers: running)) }
            }
            guard let base = self.nodes[stats.node], let rate = UsageRates.rate(base, stats.usage) else { continue }
            out.append(NodeUsage(node: stats.node, time: stats.usage.time, window: rate.window, usage: rate.usage, pods: pods))
        }
        self.nodes = nodes
        self.containers = containers
        sampledAt = now
        answer = out
        return out
    }

    /// Nil without time between the two. A counter that went back (its group was made anew) counts from zero.
    private static func rate(_ base: ResourceUsage, _ usage: ResourceUsage) -> (window: Duration, usage: NodeUsage.Amount)? {
        guard usage.time > base.time else { return nil }
        let window = usage.time - base.time
        let seconds = Double(window.components.seconds) + Double(window.components.attoseconds) / 1e18
        guard seconds > 0.01 else { return nil }
        let used = usage.cpuNanoseconds >= base.cpuNanoseconds ? usage.cpuNanoseconds - base.cpuNanoseconds : usage.cpuNanoseconds
        let rate = min(Double(used) / seconds, 1e15)
        return (window, NodeUsage.Amount(cpuNanocores: UInt64(rate), memoryWorkingSet: usage.memoryWorkingSet))
    }
}
