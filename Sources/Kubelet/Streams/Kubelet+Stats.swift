package import Client
import Containers
import Core
import Linux
import Synchronization
import Tree

extension Kubelet {
    /// Read from the cgroups now; nothing is collected while nobody asks.
    package func stats() async -> NodeStats {
        let workers = workers
        let parts = parts
        return await parts.threads.run {
            let now = Timestamp.now()
            var pods: [NodeStats.Pod] = []
            for worker in workers {
                let (sandbox, containers) = worker.state.withLock { ($0.sandbox, $0.containers) }
                guard let sandbox else { continue }
                let running = containers.sorted { $0.key < $1.key }.compactMap { name, running -> NodeStats.Container? in
                    guard case .running(_, let startedAt) = running.container.state else { return nil }
                    return NodeStats.Container(name: name, startedAt: startedAt, usage: ResourceUsage(running.container.stats(), now))
                }
                pods.append(NodeStats.Pod(key: worker.key, uid: worker.uid, usage: ResourceUsage(sandbox.stats(), now), containers: running))
            }
            let group = parts.runtime.cgroups.group("\(parts.node.cgroup)/kubepods")
            return NodeStats(
                node: parts.node.name, startedAt: parts.startedAt, usage: ResourceUsage(group.stats(), now), pods: pods.sorted { $0.uid < $1.uid })
        }
    }
}

extension ResourceUsage {
    init(_ stats: CgroupStats, _ time: Timestamp) {
        self.init(
            time: time, cpuNanoseconds: stats.cpuNanoseconds, memoryWorkingSet: stats.memoryWorkingSet, memoryUsage: stats.memoryUsage,
            memoryRSS: stats.memoryRSS)
    }
}
