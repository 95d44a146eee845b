import Kinds
import Machinery
import Tree

/// Whether a pod may go to a node. Each filter looks at one aspect; the first that refuses is the reason told.
struct Filters {
    let pod: PodInfo
    let spread: SpreadState
    let podAffinity: PodAffinityState
    let volumes: VolumeState
    let restrictions: VolumeRestrictions
    let profile: Profile

    /// What all nodes are asked with, counted once.
    init(_ pod: PodInfo, _ cluster: SchedulingCluster, volumes: VolumeState, _ profile: Profile = .standard) {
        self.pod = pod
        self.volumes = volumes
        self.profile = profile
        restrictions = VolumeRestrictions(pod, cluster)
        spread = SpreadState(pod, cluster)
        podAffinity = PodAffinityState(pod, cluster)
    }

    func refusal(_ node: NodeInfo) -> Refusal? {
        for filter in Filter.allCases where profile.filters.contains(filter) {
            if let refusal = refusal(node, by: filter) { return refusal }
        }
        return nil
    }

    private func refusal(_ node: NodeInfo, by filter: Filter) -> Refusal? {
        switch filter {
        case .unschedulable: node.isUnschedulable && !toleratesUnschedulable ? Refusal(.unschedulable, "node(s) were unschedulable") : nil
        case .nodeName:
            pod.nodeName.isEmpty || pod.nodeName == node.name ? nil : Refusal(.nodeName, "node(s) didn't match the requested node name")
        case .taints:
            node.taints.isEmpty || Tolerations.untolerated(node.taints, by: pod.tolerations, effects: ["NoSchedule", "NoExecute"]) == nil
                ? nil : Refusal(.taints, "node(s) had untolerated taint(s)")
        case .affinity: affinity(node)
        case .ports:
            hasPortConflict(node) ? Refusal(.ports, "node(s) didn't have free ports for the requested pod ports", isResolvable: true) : nil
        case .fit: fit(node)
        case .restrictions: restrictions.refusal(node)
        case .limits: restrictions.limit(node)
        case .volumes: volumes.refusal(node)
        case .zones: volumes.zoneRefusal(node)
        case .spread: spread.refusal(pod, node)
        case .podAffinity: podAffinity.refusal(pod, node)
        }
    }

    private func affinity(_ node: NodeInfo) -> Refusal? {
        if let added = profile.addedAffinity, !added.matches(labels: node.labels, name: node.name) {
            return Refusal(.affinity, "node(s) didn't match scheduler-enforced node affinity")
        }
        if pod.required.matchesAll || pod.required.matches(labels: node.labels, name: node.name) { return nil }
        return Refusal(.affinity, "node(s) didn't match Pod's node affinity/selector")
    }

    private var toleratesUnschedulable: Bool {
        pod.tolerations.contains { Tolerations.tolerates($0, ["key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"]) }
    }

    private func hasPortConflict(_ node: NodeInfo) -> Bool {
        guard !pod.ports.isEmpty else { return false }
        return node.withPorts.contains { uid in
            guard let other = node.pods[uid] else { return false }
            return other.ports.contains { used in pod.ports.contains { $0.conflicts(with: used) } }
        }
    }

    private func fit(_ node: NodeInfo) -> Refusal? {
        var reasons: [String] = []
        var isResolvable = true
        if Int64(node.pods.count) + 1 > node.maxPods { reasons.append("Too many pods") }
        let wanted = pod.requests
        if !wanted.isZero {
            func check(_ name: String, _ wanted: Int64, _ used: Int64, _ capacity: Int64) {
                guard wanted > 0, wanted > capacity - used, !profile.ignores(name) else { return }
                reasons.append("Insufficient \(name)")
                if wanted > capacity { isResolvable = false }
            }
            check("cpu", wanted.milliCPU, node.requested.milliCPU, node.allocatable.milliCPU)
            check("memory", wanted.memory, node.requested.memory, node.allocatable.memory)
            check("ephemeral-storage", wanted.ephemeralStorage, node.requested.ephemeralStorage, node.allocatable.ephemeralStorage)
            for (name, amount) in wanted.others.sorted(by: { $0.key < $1.key }) {
                check(name, amount, node.requested.others[name] ?? 0, node.allocatable.others[name] ?? 0)
            }
        }
        return reasons.isEmpty ? nil : Refusal(.fit, reasons, isResolvable: isResolvable)
    }
}
