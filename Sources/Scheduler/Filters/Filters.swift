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
    let devices: DeviceState?
    let profile: Profile
    /// Those that have anything to say about this pod, in their order.
    private(set) var active: [Filter] = []
    private let toleratesUnschedulable: Bool

    /// What all nodes are asked with, counted once.
    init(_ pod: PodInfo, _ cluster: SchedulingCluster, volumes: VolumeState, _ profile: Profile = .standard, devices: DeviceState? = nil) {
        self.pod = pod
        self.volumes = volumes
        self.profile = profile
        self.devices = devices
        restrictions = VolumeRestrictions(pod, cluster)
        spread = SpreadState(pod, cluster, profile)
        podAffinity = PodAffinityState(pod, cluster)
        toleratesUnschedulable = pod.tolerations.contains { Tolerations.tolerates($0, ["key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"]) }
        active = Filter.asked.filter { profile.filters.contains($0) && concerns($0) }
    }

    private func concerns(_ filter: Filter) -> Bool {
        switch filter {
        case .unschedulable, .taints, .fit: true
        case .nodeName: !pod.nodeName.isEmpty
        case .affinity: profile.addedAffinity != nil || !pod.required.matchesAll
        case .ports: !pod.ports.isEmpty
        case .restrictions: restrictions.hasRestrictions
        case .limits: restrictions.hasLimits
        case .volumes: volumes.concernsNodes
        case .zones: !volumes.bound.isEmpty
        case .spread: spread.isAsked
        case .podAffinity: podAffinity.isAsked
        case .devices: devices != nil
        case .extender: false
        }
    }

    func refusal(_ node: NodeInfo) -> Refusal? {
        for filter in active { if let refusal = refusal(node, by: filter) { return refusal } }
        return nil
    }

    /// What every filter says, also after one has refused.
    func refusals(_ node: NodeInfo) -> [Refusal] { active.compactMap { refusal(node, by: $0) } }

    private func refusal(_ node: NodeInfo, by filter: Filter) -> Refusal? {
        switch filter {
        case .unschedulable: node.isUnschedulable && !toleratesUnschedulable ? Refusal(.unschedulable, "node(s) were unschedulable") : nil
        case .nodeName: pod.nodeName == node.name ? nil : Refusal(.nodeName, "node(s) didn't match the requested node name")
        case .taints:
            !node.isForbidding || Tolerations.untolerated(node.taints, by: pod.tolerations, effects: Filters.forbidding) == nil
                ? nil : Refusal(.taints, "node(s) had untolerated taint(s)")
        case .affinity: affinity(node)
        case .ports:
            hasPortConflict(node) ? Refusal(.ports, "node(s) didn't have free ports for the requested pod ports", isResolvable: true) : nil
        case .fit: fit(node)
        case .restrictions: restrictions.refusal(node)
        case .limits: restrictions.limit(node)
        case .volumes: volumes.refusal(node)
        case .zones: volumes.zoneRefusal(node)
        case .spread: spread.refusal(node)
        case .podAffinity: podAffinity.refusal(pod, node)
        case .devices: devices?.refusal(node)
        case .extender: nil
        }
    }

    static let forbidding: Set<String> = ["NoSchedule", "NoExecute"]

    private func affinity(_ node: NodeInfo) -> Refusal? {
        if let added = profile.addedAffinity, !added.matches(labels: node.labels, name: node.name) {
            return Refusal(.affinity, "node(s) didn't match scheduler-enforced node affinity")
        }
        if pod.required.matchesAll || pod.required.matches(labels: node.labels, name: node.name) { return nil }
        return Refusal(.affinity, "node(s) didn't match Pod's node affinity/selector")
    }

    private func hasPortConflict(_ node: NodeInfo) -> Bool {
        node.withPorts.contains { uid in
            guard let other = node.pods[uid] else { return false }
            return other.ports.contains { used in pod.ports.contains { $0.conflicts(with: used) } }
        }
    }

    private func fit(_ node: NodeInfo) -> Refusal? {
        let wanted = pod.requests
        if Int64(node.pods.count) < node.maxPods, wanted.others.isEmpty, wanted.milliCPU <= max(0, node.allocatable.milliCPU - node.requested.milliCPU),
            wanted.memory <= max(0, node.allocatable.memory - node.requested.memory),
            wanted.ephemeralStorage <= max(0, node.allocatable.ephemeralStorage - node.requested.ephemeralStorage)
        {
            return nil
        }
        return fitReasons(node, wanted)
    }

    private func fitReasons(_ node: NodeInfo, _ wanted: Amounts) -> Refusal? {
        var reasons: [String] = []
        var isResolvable = true
        if Int64(node.pods.count) + 1 > node.maxPods { reasons.append("Too many pods") }
        func check(_ name: String, _ wanted: Int64, _ used: Int64, _ capacity: Int64) {
            guard wanted > 0, wanted > capacity - used, !profile.ignores(name) else { return }
            reasons.append("Insufficient \(name)")
            if wanted > capacity { isResolvable = false }
        }
        check("cpu", wanted.milliCPU, node.requested.milliCPU, node.allocatable.milliCPU)
        check("memory", wanted.memory, node.requested.memory, node.allocatable.memory)
        check("ephemeral-storage", wanted.ephemeralStorage, node.requested.ephemeralStorage, node.allocatable.ephemeralStorage)
        for (name, amount) in wanted.others.sorted(by: { $0.key < $1.key }) where devices?.covers(name, on: node) != true {
            check(name, amount, node.requested.others[name] ?? 0, node.allocatable.others[name] ?? 0)
        }
        return reasons.isEmpty ? nil : Refusal(.fit, reasons, isResolvable: isResolvable)
    }
}
