import Client
import Kinds
import Machinery
import Tree

/// A change in the cluster, as far as it matters to pods that did not fit.
enum ClusterChange {
    /// New, or with other labels, taints or resources.
    case node(NodeInfo)
    /// Deleted or ended, or never bound after all.
    case podGone(PodInfo)
    case podPlaced(PodInfo)
    case volume
    /// A resource claim, a slice of devices or a device class.
    case device
    /// A device class, which may stand for an extended resource.
    case deviceClass

    /// The change without what it is about.
    enum Kind: String, CaseIterable { case node, podGone, podPlaced, volume, device, deviceClass }

    var kind: Kind {
        switch self {
        case .node: .node
        case .podGone: .podGone
        case .podPlaced: .podPlaced
        case .volume: .volume
        case .device: .device
        case .deviceClass: .deviceClass
        }
    }
}

/// Whether a change may let a pod pass a filter that refused it: what upstream's plugins answer as queueing hints.
enum QueueingHint {
    /// The kinds of change that are looked at for a filter at all.
    static func kinds(_ filter: Filter) -> Set<ClusterChange.Kind> {
        switch filter {
        case .nodeName: []
        case .unschedulable, .taints, .affinity: [.node]
        case .ports: [.node, .podGone]
        case .fit: [.node, .podGone, .deviceClass]
        case .volumes, .zones: [.node, .volume]
        case .restrictions, .limits: [.node, .volume, .podGone]
        case .devices: [.node, .device, .deviceClass]
        case .spread, .podAffinity, .extender: Set(ClusterChange.Kind.allCases)
        }
    }

    static func mayHelp(_ pod: PodInfo, refusedBy filter: Filter, _ change: ClusterChange, _ namespaceLabels: [String: [String: String]]) -> Bool {
        guard kinds(filter).contains(change.kind) else { return false }
        switch change {
        case .node(let node): return mayHelp(pod, filter, node)
        case .podGone(let other):
            switch filter {
            case .ports: return other.ports.contains { used in pod.ports.contains { $0.conflicts(with: used) } }
            case .restrictions, .limits: return !other.claims.isEmpty || !other.node["spec"]["volumes"].isEmpty
            case .spread: return isCounted(other, for: pod)
            case .podAffinity:
                return pod.antiAffinity.contains { $0.matches(other, namespaceLabels) } || other.antiAffinity.contains { $0.matches(pod, namespaceLabels) }
            default: return true
            }
        case .podPlaced(let other):
            switch filter {
            case .spread: return isCounted(other, for: pod)
            case .podAffinity: return pod.affinity.contains { $0.matches(other, namespaceLabels) }
            default: return true
            }
        case .volume, .device, .deviceClass: return true
        }
    }

    private static func isCounted(_ other: PodInfo, for pod: PodInfo) -> Bool {
        if pod.spreads.isEmpty { return true }
        return other.key.namespace == pod.key.namespace && pod.spreads.contains { $0.selector.matches(other.labels) }
    }

    private static func mayHelp(_ pod: PodInfo, _ filter: Filter, _ node: NodeInfo) -> Bool {
        switch filter {
        case .unschedulable: !node.isUnschedulable
        case .taints: !node.isForbidding || Tolerations.untolerated(node.taints, by: pod.tolerations, effects: Filters.forbidding) == nil
        case .affinity: pod.required.matchesAll || pod.required.matches(labels: node.labels, name: node.name)
        case .fit:
            node.maxPods > 0 && pod.requests.milliCPU <= node.allocatable.milliCPU && pod.requests.memory <= node.allocatable.memory
                && pod.requests.ephemeralStorage <= node.allocatable.ephemeralStorage
                && pod.requests.others.allSatisfy { $0.value <= (node.allocatable.others[$0.key] ?? 0) }
        default: true
        }
    }

    /// What must happen, in words.
    static func remedy(_ filter: Filter) -> String {
        switch filter {
        case .unschedulable: "a node is uncordoned or added"
        case .nodeName: "nothing: the node's name is fixed"
        case .taints: "a node's taints go, or a node without them is added"
        case .affinity: "a node gets the labels, or one with them is added"
        case .ports: "a pod with these host ports goes, or a node is added"
        case .fit: "a pod goes, a node grows, or one that is large enough is added"
        case .restrictions: "the pod that uses the volume goes"
        case .limits: "a pod with volumes of the driver goes, or a node is added"
        case .volumes: "a volume, a claim or a storage class changes, or a node is added"
        case .zones: "a volume changes, or a node in its zone is added"
        case .spread: "a pod that the constraint counts comes or goes, or a node in another domain is added"
        case .podAffinity: "a pod that the terms select comes or goes, or a node is added"
        case .devices: "a claim gives devices back, or a driver publishes more"
        case .extender: "anything changes: only the extender knows"
        }
    }
}
