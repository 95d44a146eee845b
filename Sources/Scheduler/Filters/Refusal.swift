/// Why a pod cannot go to a node.
struct Refusal: Sendable, Equatable {
    let filter: Filter
    let reasons: [String]
    /// Whether removing other pods may help.
    let isResolvable: Bool

    init(_ filter: Filter, _ reason: String, isResolvable: Bool = false) {
        self.init(filter, [reason], isResolvable: isResolvable)
    }

    init(_ filter: Filter, _ reasons: [String], isResolvable: Bool) {
        self.filter = filter
        self.reasons = reasons
        self.isResolvable = isResolvable
    }
}

/// The filters by upstream's names, in the order in which they are asked.
enum Filter: String, Sendable, CaseIterable {
    case unschedulable = "NodeUnschedulable", nodeName = "NodeName", taints = "TaintToleration", affinity = "NodeAffinity", ports = "NodePorts"
    case fit = "NodeResourcesFit", restrictions = "VolumeRestrictions", limits = "NodeVolumeLimits", volumes = "VolumeBinding", zones = "VolumeZone", spread = "PodTopologySpread", podAffinity = "InterPodAffinity"

    /// Which changes of the cluster may let a pod pass that this filter refused.
    func mayPass(after event: ClusterChange) -> Bool {
        switch self {
        case .unschedulable, .nodeName, .taints, .affinity: event == .node
        case .ports, .fit: event == .node || event == .podGone
        case .volumes, .zones: event == .node || event == .volume
        case .restrictions, .limits: event == .node || event == .volume || event == .podGone
        case .spread, .podAffinity: true
        }
    }
}

/// A kind of change in the cluster, as far as it matters to pods that did not fit.
enum ClusterChange: Sendable { case node, podGone, podPlaced, volume }
