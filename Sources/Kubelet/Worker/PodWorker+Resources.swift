import Containers
import Core
import Linux
import Synchronization
import Tree

extension PodWorker {
    /// Containers in turn, between two settings of the pod's own group: a child never has more than its parent.
    func applyResources(_ containers: [String: Node], _ own: Node) async {
        let pod = pod
        let (sandbox, running) = state.withLock { ($0.sandbox, $0.containers) }
        guard let sandbox else { return send(.resourcesApplied(containers: [:], pod: own, error: nil)) }
        let failure = await parts.threads.run { () -> String? in
            do throws(SystemFailure) {
                let limits = ContainerResources.limits(pod)
                let before = self.state.withLock { $0.podLimits } ?? limits
                try sandbox.cgroup.apply(limits.widened(before))
                for (name, resources) in containers {
                    guard let container = running[name]?.container else { continue }
                    var limits = ContainerResources.limits(resources, isPrivileged: false)
                    // Which devices it may use stays as it was.
                    limits.devices = nil
                    try container.cgroup.apply(limits)
                }
                try sandbox.cgroup.apply(limits)
                self.state.withLock { $0.podLimits = limits }
                return nil
            } catch {
                return "\(error)"
            }
        }
        if failure == nil { record("Normal", "ResizeCompleted", "Pod resize completed: \(containers.keys.sorted().joined(separator: ", "))") }
        send(.resourcesApplied(containers: containers, pod: own, error: failure))
    }

    /// The pod's own group as its granted resources say, for a container that starts with others than the last one had.
    func makeRoom(_ sandbox: Sandbox, _ pod: PodView) throws(SystemFailure) {
        let limits = ContainerResources.limits(pod)
        guard let before = state.withLock({ $0.podLimits }), before != limits else { return }
        // Containers that still run with more keep the kernel from lowering it.
        do throws(SystemFailure) { try sandbox.cgroup.apply(limits) } catch { try sandbox.cgroup.apply(limits.widened(before)) }
        state.withLock { $0.podLimits = limits }
    }
}

extension CgroupLimits {
    /// What has room for both.
    func widened(_ other: CgroupLimits) -> CgroupLimits {
        var out = self
        func wider(_ a: Int64?, _ b: Int64?) -> Int64 {
            guard let a, let b, a >= 0, b >= 0 else { return -1 }
            return max(a, b)
        }
        out.memory = wider(memory, other.memory)
        out.cpuQuota = wider(cpuQuota, other.cpuQuota)
        return out
    }
}
